/*
 * The latent form: every method as one object. What a layer caches per token, and how a
 * head reads it back (docs/METHODS.md, "The latent form").
 *
 *   cached     c_j   = Down_j x + b_j                j: latents
 *              k^R_b = rotate(KR_b x + b_b, freq_b)  b: rope keys
 *   read back  key_g   = [ UpK_g c_j(g) + b ; k^R_b(g) ]
 *              value_g = UpV_g c_j'(g) + b
 *              query_h = [ QN_h y ; rotate(QR_h y, freq_b(g(h))) ]
 *   where y = x, or Q_down x when the query is low-rank too
 */
#ifndef MLS_LATENT_H
#define MLS_LATENT_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/size.h"
#include "analysis/model/forward.h"
#include "analysis/model/model.h"
#include "analysis/numeric/affine.h"
#include "analysis/numeric/packed.h"
#include "analysis/quant/quantizer.h"
#include "common/base/status.h"

/** Weights of an RMSNorm; n 0: there is none. */
typedef struct mls_norm {
    size_t n;
    float *w;
} mls_norm;

typedef enum mls_latent_source {
    MLS_LATENT_OF_X,       /* down is (r, E), acts on the normed input x */
    MLS_LATENT_OF_ROT_KEY, /* down is (r, D), acts on the rotated key of KV head `head`,
                              which is made by form->key.w (MatryoshkaKV, KQ-SVD) */
} mls_latent_source;

typedef struct mls_latent_vector {
    size_t r; /* numbers cached per token */
    mls_latent_source source;
    size_t head;
    mls_affine down; /* (r, E) or (r, D); none: the rotated key itself, r = D */
    mls_norm norm;   /* (r) before caching (DeepSeek's kv_a_layernorm), only of x */
    mls_affine rms;  /* (n, E) or none: what is cached is divided by the rms of this */
    bool holds_keys, holds_values;
    mls_quant quant;
    /* Expected loss at rank 0, 1 .. n_tail - 1, falling, in a unit of the layer's own,
       where the method chose its directions by one; else NULL. */
    double *tail;
    size_t n_tail;
} mls_latent_vector;

typedef struct mls_rope_key {
    size_t n;         /* dims = 2 * chunks, half-split inside */
    mls_affine map;   /* (n, E) */
    double *inv_freq; /* (n/2), radians per token */
    bool uneven;      /* they form no geometric series, which config.json could say */
    mls_quant quant;
} mls_rope_key;

enum { MLS_NONE = -1 };

/** Whether the dims that come from the latent are rotated, and when. */
typedef enum mls_key_rotation {
    MLS_ROTATE_NEVER,      /* chunks that lost their RoPE */
    MLS_ROTATE_AFTER_READ, /* the latent holds unrotated full keys (Palu, LoRC) */
    MLS_ROTATE_BEFORE,     /* the latent holds rotated keys: only queries still turn */
} mls_key_rotation;

/** How the query heads of one KV head read keys and values. */
typedef struct mls_read_head {
    int key_latent; /* index, or MLS_NONE when keys are rope keys only */
    size_t n_key;   /* dims read from the latent; D when they are rotated */
    mls_affine key; /* (n_key, r); none: the latent itself, n_key = r */
    mls_key_rotation rotation;
    int rope_key;     /* index, or MLS_NONE */
    int value_latent; /* index */
    size_t n_value;
    mls_affine value; /* (n_value, r); none: the latent itself, n_value = r */
} mls_read_head;

/**
 * One layer. A form without numbers is its shape: what is cached and how it is read,
 * known from the config and the setting alone. mls_latent_allocate() makes room for
 * the numbers, which the form owns.
 */
typedef struct mls_latent_form {
    size_t layer, E, H, G, D; /* G: KV heads as read back; g(h) = h / (H/G) */
    size_t n_latents, n_rope_keys;
    mls_latent_vector *latent; /* (n_latents) */
    mls_rope_key *rope_key;    /* (n_rope_keys) */
    mls_read_head *head;       /* (G) */
    size_t q_rank;             /* 0: the query is full rank */
    mls_affine q_down;         /* (q_rank, E), or none */
    mls_norm q_down_norm;      /* (q_rank) of Q_down x (DeepSeek's q_a_layernorm) */
    mls_affine query;          /* per head [n_key; rope dims] rows, heads in order:
                                  (sum over h, E or q_rank) */
    mls_affine output;         /* (E, sum over h of n_value) */
    double scale;              /* of the scores */
    double score_cap;          /* scores become cap tanh(score / cap); 0: none */
    mls_norm sinks;            /* (H) scores beside those of the keys, or none */
    mls_affine gate;           /* (H D, E), or none: what heads read is weighed by a
                                  sigmoid of it, or by softplus */
    bool gate_soft;
    mls_affine key;          /* (G D, E): only for MLS_LATENT_OF_ROT_KEY */
    bool turns;              /* inv_freq is there: something of full D is rotated */
    double *inv_freq;        /* (D/2) */
    mls_norm q_norm, k_norm; /* (D) QK-norm of full queries and keys, before their
                                  rotation */
    /* (H D, E), (G D, E), or none: what 1/rms of a head's query and key is taken of,
       two factors of every score of that head. The key's is cached: G numbers. */
    mls_affine q_own, k_own;
    double norm_eps; /* of every RMSNorm above */
    /* Not NULL, borrowed: the layer's own attention, which no form says. Only the
       sizes are set, mls_own_attention_run runs it. */
    const mls_config *own;
    size_t sliding_window; /* tokens a query sees, 0: all */
    int share_layer;       /* layer whose cache is used instead, or MLS_NONE */
    double token_budget;   /* kept share of tokens, 1: all; first tokens and newest */
    void *numbers;         /* one block for all arrays of numbers; NULL: only a shape */
} mls_latent_form;

/**
 * What the token at t does not see of 0 .. t, by the form's window and budget: keys
 * *begin .. *end - 1. A budget keeps its share of the tokens, at least
 * MLS_BUDGET_SINKS + 1 of them: the first MLS_BUDGET_SINKS and the newest; once the
 * window has left the first token, the newest of the window.
 */
void mls_latent_hidden(const mls_latent_form *f, size_t t, size_t *begin, size_t *end);

void mls_latent_free(mls_latent_form *f); /* {0} is accepted */

/**
 * The same shape and numbers again.
 * @param[out] to  release with mls_latent_free(); {0} on error
 */
mls_status mls_latent_copy(mls_latent_form *to, const mls_latent_form *from,
                           mls_err *err);

/** Memory that a form takes. */
size_t mls_latent_bytes(const mls_latent_form *f);

/** Every size, index and pointer consistent; MLS_E_INPUT with a sentence otherwise. */
mls_status mls_latent_check(const mls_latent_form *f, mls_err *err);

/**
 * What of the attention of layer l no latent form can say, in words that name it; NULL:
 * nothing, every method may convert the layer.
 */
const char *mls_latent_other(const mls_config *config, size_t l);

/**
 * What of layer l's scores only forms and our own runner know, in words that name it;
 * NULL: nothing. Such a layer is converted and measured, and nothing else takes it.
 */
const char *mls_latent_ours(const mls_config *config, size_t l);

/**
 * The shape of layer l with nothing cached yet: sizes, scale 1/sqrt(D), window, biases
 * as the model has them; heads read nothing. On error *f is {0}.
 */
mls_status mls_latent_begin(mls_latent_form *f, const mls_config *config, size_t l,
                            size_t n_latents, size_t n_rope_keys, mls_err *err);

/**
 * Room for every array of the shape, all zero, in one block: it holds
 * from here on. Sizes of the query and of the output follow from the heads. On error
 * the form is freed.
 */
mls_status mls_latent_allocate(mls_latent_form *f, mls_err *err);

/**
 * The same, and the layer's output projection, frequencies and QK-norm are in their
 * places.
 * @return MLS_OK, MLS_E_INPUT (what mls_latent_other() says) or MLS_E_NOMEM
 */
mls_status mls_latent_start(mls_latent_form *f, const mls_config *config,
                            const mls_layer *layer, mls_err *err);

/** Check the finished form, or free it when st says that filling it failed. */
mls_status mls_latent_end(mls_latent_form *f, mls_status st, mls_err *err);

/** A model's projections as maps; borrowed. */
mls_affine mls_latent_queries(const mls_config *config, const mls_layer *layer);
mls_affine mls_latent_keys(const mls_config *config, const mls_layer *layer);
mls_affine mls_latent_values(const mls_config *config, const mls_layer *layer);

/** One array of numbers of a form. */
typedef struct mls_latent_array {
    char name[48];     /* "latent.0.down" */
    size_t rows, cols; /* cols 0: a vector */
    float **f32;       /* one of these two */
    double **f64;
    bool needed;    /* false: a form of this shape may be without */
    size_t *absent; /* set to 0 to be without, where it is not needed; */
    bool *unbiased; /* or this to false */
} mls_latent_array;

/**
 * Every array that the shape has, in the order of its files; the one list by which they
 * are allocated, written and read.
 * @param[out] out  released by the caller with free()
 */
mls_status mls_latent_arrays(mls_latent_form *f, mls_latent_array **out, size_t *n,
                             mls_err *err);

/**
 * The shape of the model's own layer: full keys and values, nothing lost. Where no form
 * can say it, `own` is set.
 */
mls_status mls_latent_identity_shape(mls_latent_form *f, const mls_config *config,
                                     size_t l, mls_err *err);
/** Fill that shape. */
mls_status mls_latent_identity_fill(mls_latent_form *f, const mls_config *config,
                                    const mls_layer *layer, mls_err *err);
/** Both: the model's own layer as a latent form. */
mls_status mls_latent_identity(mls_latent_form *f, const mls_config *config,
                               const mls_layer *layer, mls_err *err);

/**
 * A layer of latent attention (MLS_LAYER_MLA) as a form: whole, or with `rank` numbers
 * in place of its latent, whose maps, down and those of the heads, the caller makes.
 * @param rank  0: all
 * @return MLS_OK, MLS_E_INPUT (it keeps more than that, or depends on the length) or
 *         MLS_E_NOMEM
 */
mls_status mls_latent_mla_shape(mls_latent_form *f, const mls_config *config, size_t l,
                                size_t rank, mls_err *err);
/** Fill that shape, allocated. */
void mls_latent_mla_fill(mls_latent_form *f, const mls_config *config,
                         const mls_layer *layer);

/**
 * Give the numbers of latent j the signs that do not depend on who made the form:
 * latent_signs.c. The function stays the same.
 */
void mls_latent_sign(mls_latent_form *f, size_t j);

/** What this layer caches, for mls_size(). */
mls_status mls_latent_layout(const mls_latent_form *f, mls_cache_layer *out,
                             mls_err *err);

/** Numbers cached per token: all latents and rope keys. */
size_t mls_latent_elements(const mls_latent_form *f);

/** Parameters of the attention block in this form (down, up, query, output). */
size_t mls_latent_parameters(const mls_latent_form *f);

/** Query dims of head h: n_key plus the dims of its rope key. */
size_t mls_latent_query_dims(const mls_latent_form *f, size_t h);

/** Scratch and tables for running forms; one for all layers. */
typedef struct mls_latent_runner mls_latent_runner;

/**
 * @param absorbed  scores and values straight from the latents (as a decoder would);
 *                  false: read keys and values back first. Same result to rounding.
 */
mls_status mls_latent_runner_new(mls_latent_runner **out, size_t T_max,
                                 size_t n_workers, bool absorbed, mls_err *err);
void mls_latent_runner_free(mls_latent_runner *r); /* NULL is accepted */
/** How forms that are chosen from now on are multiplied; float at first. */
void mls_latent_runner_compute(mls_latent_runner *r, mls_compute compute);
/**
 * Choose the form that mls_latent_attention() runs next; borrowed.
 * @param keep_for  keep this layer's keys and values of all these sequences, because a
 *                later form's share_layer names it; NULL: they are not needed again
 */
mls_status mls_latent_runner_set(mls_latent_runner *r, const mls_latent_form *f,
                                 const mls_states *keep_for, mls_err *err);
/** An mls_attention; arg is the runner. Quantizers of the form are applied. */
mls_status mls_latent_attention(void *arg, size_t sequence, size_t worker,
                                const float *x, size_t T, float *out, float *carried,
                                mls_err *err);

/** Dims of all heads' outputs together: the columns of wo. */
size_t mls_latent_output_dims(const mls_latent_form *f);
/** The same without the output projection: out (T, mls_latent_output_dims()). */
mls_status mls_latent_heads(mls_latent_runner *r, size_t sequence, size_t worker,
                            const float *x, size_t T, float *out, mls_err *err);

#endif
