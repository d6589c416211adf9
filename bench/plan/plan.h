/* A plan: ranks, chunks and bits of every layer under one budget, and what it costs. */
#ifndef MLS_PLAN_H
#define MLS_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/numeric/interval.h"
#include "analysis/serving/table.h"
#include "bench/evaluate/evaluate.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"
#include "bench/heal/heal.h"
#include "common/base/status.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

enum { MLS_PLAN_TEXT = 256 };

/** What one KV head of a layer caches; 0 where heads share it. */
typedef struct mls_plan_head {
    size_t chunks;               /* that keep their rotation */
    size_t key_rank, value_rank; /* numbers of latents that this head alone reads */
} mls_plan_head;

typedef struct mls_plan_layer {
    mls_setting setting;
    mls_plan_head *head; /* (G) where heads differ, else NULL */
    size_t G;
    bool stays;   /* cannot be converted: as it is, whatever the setting says */
    double bytes; /* per token, this layer */
    double growing, fixed; /* of a sequence of its tokens; NaN where not known */
    double loss;           /* predicted, nat: its share of the plan's KL */
} mls_plan_layer;

/** What a whole-model setting or plan was predicted and measured to do. */
typedef struct mls_plan_quality {
    char name[MLS_PLAN_TEXT]; /* "plan", or a setting's text */
    mls_serve serve;          /* who can serve it */
    double bytes, kept;       /* per token; share of the model's own cache */
    double growing, fixed;    /* of a sequence: by each token from there on, and not */
    double predicted;         /* KL, nat; NaN where nothing predicts it */
    mls_mean kl, nll;         /* measured on windows that the plan was not made on */
    double top1;
    double reduction; /* 1 - the plan's KL over this one's; NaN for the plan itself */
    mls_mean difference; /* KL - the plan's KL, paired by window */
} mls_plan_quality;

/** Starts as {0}; released with mls_plan_free(). */
/** Settings that the model cannot take, each with the reason. */
typedef struct mls_plan_refused {
    size_t n;
    struct {
        char name[MLS_SCHEME_NAME], why[sizeof((mls_err *)0)->text];
    } * row; /* (n) */
} mls_plan_refused;

mls_status mls_plan_refuse(mls_plan_refused *list, const char *name, const char *why,
                           mls_err *err);

typedef struct mls_plan {
    char model_sha256[65], text_sha256[65];
    char capture_sha256[65]; /* of the file; "" in plans of version 0.1.0 */
    char doubt[256];         /* mls_config.doubt; not read back */
    size_t L;
    mls_plan_layer *layer; /* (L) */
    size_t tokens;         /* context length of all bytes */
    double budget;         /* bytes per token that were allowed */
    bool has_fixed; /* some layer keeps bytes that do not grow; not in the file */
    double price;   /* nat that one more byte per token saves, predicted */
    double scale;   /* measured over summed KL of the uniform setting */
    double bound;   /* predicted KL that no allocation of these costs is below */
    size_t search_windows, verify_windows, length;
    size_t n_measured;
    mls_plan_quality *measured; /* (n_measured): the plan, uniform, projects */
    mls_plan_refused refused;   /* what was left out of both; only written */
} mls_plan;

typedef struct mls_plan_request {
    mls_method_input in;       /* all of it */
    const char *model_sha256;  /* mls_checkpoint_sha256() */
    const mls_corpus *search;  /* windows that costs are measured on */
    const mls_corpus *verify;  /* others, that the plan is verified on */
    const mls_setting *method; /* (n_methods) settings without rank and bits */
    size_t n_methods;
    const mls_serve *serve; /* only what this class serves; NULL: anything */
    const size_t *bits;     /* (n_bits) 16: none, N: quant=intN/64 */
    size_t n_bits;
    size_t multiple;            /* ranks are multiples of it */
    size_t first_last;          /* rank of the first and last layer; 0: as any other */
    size_t cap;                 /* largest rank of a layer; 0: none */
    const mls_kernels *kernels; /* with a kernel's name: */
    const char *kernel; /* a converted layer caches what it reads; NULL: not asked */
    bool per_head;      /* split a layer's rank over its heads, where a method can */
    size_t tokens;      /* context length of the bytes */
    double budget;      /* bytes per token; not read when max_kl is given */
    double max_kl;      /* nat: the smallest cache that stays under it; 0: not asked */
    bool projects;      /* also measure what the four projects make of the budget */
    const mls_heal_job *heal; /* everything but scheme and folder: all that is measured
                                 is healed so first; NULL: as the methods make it */
    const char *heal_folder;  /* below which the forms are kept */
} mls_plan_request;

/**
 * Methods to search when none is named: those of a class, with their ranks open.
 *
 * @param share     of the model's own cache that the plan is to keep
 * @param each      of each method so many at most
 * @param[out] out  (*n) released by the caller with free()
 * @return MLS_OK, MLS_E_INPUT (no method makes what the class serves), MLS_E_NOMEM
 */
mls_status mls_plan_methods(mls_setting **out, size_t *n, const mls_config *config,
                            mls_serve serve, double share, size_t each, mls_err *err);

/**
 * Make and verify a plan (docs/methods/plan.md): isolated KL of every layer at
 * reference ranks, curves between them, allocation, and everything measured on other
 * windows. While a part is made (in.parts) only what does not follow from other
 * measurements is measured, and the plan is not one.
 *
 * @return MLS_OK, MLS_E_INPUT (impossible budget, with the smallest possible; nothing
 *         that the constraints allow; a KL that no candidate stays under), what
 *         mls_evaluate() says
 */
mls_status mls_plan_make(mls_plan *out, const mls_plan_request *r,
                         const mls_progress *progress, mls_err *err);
void mls_plan_free(mls_plan *p); /* {0} is accepted */

/** @param[out] s  release with mls_scheme_free() */
mls_status mls_plan_scheme(mls_scheme *s, const mls_plan *p, const char *name,
                           mls_err *err);

/** docs/format/plan.md. @param command  for the record */
mls_status mls_plan_write(const mls_plan *p, const char *path, const char *command,
                          mls_err *err);

/**
 * Read a plan back. The file is not trusted: every member is checked, every setting
 * parsed.
 *
 * @param[out] out  release with mls_plan_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (file, member, found, expected), MLS_E_NOMEM
 */
mls_status mls_plan_read(mls_plan *out, const char *path, mls_err *err);

/**
 * Is the plan at path as it was written? Its member `sha256` is that of all others.
 * @return MLS_OK, MLS_E_INPUT (changed; written before 0.2.0, without a hash)
 */
mls_status mls_plan_verify(const char *path, mls_err *err);

/**
 * A plan made with statistics is for that capture: MLS_E_INPUT when the file at
 * `capture` (NULL: none, MLS_OK) has another hash.
 */
mls_status mls_plan_check_capture(const mls_plan *p, const char *path,
                                  const char *capture, mls_err *err);

/**
 * A plan is for one model. MLS_E_INPUT names both hashes when they differ, and the
 * layers and settings that the model cannot take.
 */
mls_status mls_plan_check(const mls_plan *p, const char *path, const mls_config *config,
                          const char *model_sha256, mls_err *err);

#endif
