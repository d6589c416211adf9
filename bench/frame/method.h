/* A compression method: one file, one const mls_method, one line in methods.c. */
#ifndef MLS_METHOD_H
#define MLS_METHOD_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/latent/latent.h"
#include "analysis/latent/size.h"
#include "analysis/model/model.h"
#include "analysis/serving/serving.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/form_cache.h"
#include "bench/setting/setting.h"
#include "common/base/status.h"

struct mls_method_input;
struct mls_scheme; /* bench/frame/scheme.h */
struct mls_parts;  /* datasets/files/parts.h */

/**
 * KL of the whole model to the original when a scheme converts one layer alone.
 *
 * @param scheme     (n)
 * @param converted  (L) the layers asked for
 * @param sequences  of the capture, its first ones, on which it is measured
 * @param[out] kl    (L, n), nat; 0 for the other layers
 */
typedef mls_status mls_isolated_kl(const struct mls_method_input *in,
                                   const struct mls_scheme *scheme, size_t n,
                                   const bool *converted, size_t sequences, double *kl,
                                   mls_err *err);

/** What a method may look at. model and capture are NULL when only sizes are asked. */
typedef struct mls_method_input {
    const mls_config *config;
    const mls_model *model;
    mls_capture *capture;
    mls_pool *pool;
    mls_isolated_kl *isolated_kl; /* of a whole model: what methods cannot run */
    struct mls_parts *parts; /* of a run that several processes share; NULL: not so */
    mls_form_cache *forms; /* what was made is looked up and kept here; NULL: nowhere */
} mls_method_input;

struct mls_fits; /* bench/frame/fit.h */

/** A setting for a model: all that its text says, read once. */
typedef struct mls_parsed {
    const struct mls_method *method;
    mls_common_keys common; /* layers and quantizers */
    char *text;   /* the setting without quantizers; NULL: it reads a file, which may
                   change */
    void *params; /* what the method's own keys say */
} mls_parsed;

typedef struct mls_method {
    const char *name;    /* "mha2mla", as in a setting */
    const char *title;   /* "MHA2MLA" */
    const char *source;  /* paper and project file */
    const mls_key *keys; /* its own, NULL: none */
    const char *formula; /* numbers cached per token and layer: "G d_r + G rank" */
    bool full_rope;      /* every key keeps all its chunks, whatever is cached */
    bool plain_keys;     /* rope keys of its forms are the model's own keys */
    bool exact;          /* false: a proxy for a method that trains something */
    bool identity;       /* full rank and full RoPE give the original model */
    bool folds_norm; /* whole keys are read, yet QK-norm's gains go into the weights */
    bool fits_need_data; /* the settings of `fit` cannot be built without a capture */

    bool own_quantizers; /* its forms say how they are quantized */

    /**
     * Is this what the project's own code makes and runs on this model, no variant of
     * ours? `project` is then the class of who serves it. NULL: it has no code that
     * serves.
     */
    bool (*theirs)(const mls_config *config, const mls_parsed *p);
    mls_serve project;

    size_t params_size; /* of what `keys` are read into */
    /**
     * What the keys mean together, once they are read. MLS_E_INPUT with a sentence when
     * the model cannot take the setting (names the nearest that it can). What it makes
     * is released by `forget`, also on error. NULL: nothing to do.
     */
    mls_status (*settle)(const mls_parsed *p, const mls_config *config, mls_err *err);
    void (*forget)(void *params); /* before free(); NULL: nothing to release */

    /** MLS_E_INPUT when what is cached follows from the data, too; NULL: never. */
    mls_status (*sized)(const mls_config *config, const mls_parsed *p, mls_err *err);
    /** Layers that `layers` leaves out are replaced by some that cache nothing. */
    bool (*drops_rest)(const mls_parsed *p);

    /**
     * The form of layer l without numbers: what is cached and how heads read it.
     * @param prepared  NULL where only the config is known; what follows from the data
     *                  is then taken as the setting gives it on average
     */
    mls_status (*shape)(mls_latent_form *f, const mls_config *config,
                        const mls_parsed *p, const void *prepared, size_t l,
                        mls_err *err);

    /**
     * Settings that cache about `elements` numbers per token and layer and not more,
     * the project's own choice first, through mls_fits_add(); NULL: nothing to choose.
     * What the model cannot take is dropped by mls_method_fit().
     */
    void (*fit)(const mls_config *config, size_t elements, struct mls_fits *out);

    /**
     * The same for settings whose ranks follow from the data, at least one set of
     * them: those with a mean take it, those with a threshold the one that is found by
     * bisection, at the cost of one look at every layer; NULL: none aims at a size.
     * model and capture are given.
     */
    mls_status (*fit_data)(const mls_method_input *in, size_t elements,
                           struct mls_fits *out, mls_err *err);

    /**
     * Model-wide decisions (ranks per layer, shared layers); NULL when there are none.
     */
    mls_status (*prepare)(const mls_method_input *in, const mls_parsed *p,
                          void **prepared, mls_err *err);
    void (*release)(void *prepared);

    /** The layer whose cache layer l uses, or MLS_NONE; NULL: none ever does. */
    int (*shares)(const void *prepared, size_t l);

    /**
     * The model that everything but attention comes from, borrowed from what was
     * prepared: a converted checkpoint that was trained further has weights of its own.
     * NULL, or a result of NULL: the original's.
     */
    const mls_model *(*body)(const void *prepared);

    /**
     * Give the shape its numbers, beginning with mls_latent_start(); who calls ends
     * with mls_latent_end(). stats may be NULL for methods that use no data. NULL: the
     * shape comes with its numbers.
     */
    mls_status (*build)(const mls_method_input *in, const mls_parsed *p,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err);
} mls_method;

/** Does it quantize anything? */
bool mls_parsed_quantizes(const mls_parsed *p);

/** Those that others name; bench/methods/methods.c has the list of all. */
extern const mls_method mls_method_baseline, mls_method_converted, mls_method_eigen,
    mls_method_elitekv, mls_method_matryoshka, mls_method_mha2mla, mls_method_transmla,
    mls_method_truncate, mls_method_x_ecomla;

/**
 * NULL-terminated, in the order of tables; `converted`, which reads files, is not in
 * it.
 */
extern const mls_method *const mls_methods[];
/** MLS_E_ARG names the nearest method when there is none of that name. */
mls_status mls_method_find(const mls_method **out, const char *name, mls_err *err);

/**
 * The settings that the projects' papers and READMEs use, fitted to the model: what a
 * table shows when nobody asks for more. Some may be refused by mls_method_layout().
 *
 * @param[out] out  released by the caller with free()
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_method_typical(const mls_config *config, mls_setting **out, size_t *n,
                              mls_err *err);

/**
 * Do the ranks of this setting follow from the data? Its layout then needs the forms.
 */
bool mls_method_by_data(const mls_setting *s);

/** Can KV heads of a layer get different ranks or chunks by it? */
bool mls_method_by_head(const mls_config *config, const mls_setting *s);

/**
 * @param[out] p  release with mls_parsed_free(); {0} on error
 * @return MLS_OK, MLS_E_ARG (unknown method, key or word), MLS_E_INPUT (the model
 *         cannot take it) or MLS_E_NOMEM
 */
mls_status mls_method_parse(mls_parsed *p, const mls_config *config,
                            const mls_setting *s, mls_err *err);
void mls_parsed_free(mls_parsed *p); /* {0} is accepted */

/** What it says for one of the method's own keys; NULL: the method has no such key. */
const char *mls_parsed_say(const mls_parsed *p, const mls_config *config,
                           const char *key, char out[MLS_SETTING_WORD]);

/** Does it convert every layer? */
bool mls_parsed_all(const mls_parsed *p, const mls_config *config);

/** MLS_E_INPUT: "METHOD: WHAT follows from the data; the size needs the weights". */
mls_status mls_needs_weights(const mls_parsed *p, const char *what, mls_err *err);

/**
 * One layer's form: its method's, or the model's own where `layers` leaves it out.
 * @param[out] f  release with mls_latent_free(); {0} on error
 */
mls_status mls_method_form(mls_latent_form *f, const mls_method_input *in,
                           const mls_parsed *p, const void *prepared,
                           const mls_layer *layer, const mls_layer_stats *stats,
                           mls_err *err);

/**
 * The cache of a setting, from the config alone: the layout of its shapes.
 * @return MLS_OK, what mls_method_parse() says, or MLS_E_INPUT (the model caches a
 *         latent already, a quantizer does not fit, ranks follow from the data)
 */
mls_status mls_method_layout(mls_cache_layout *out, const mls_config *config,
                             const mls_setting *s, mls_err *err);

/**
 * Has the model a layer that this method can convert? Its sizes are told all the same.
 * @return MLS_OK, or MLS_E_INPUT with what mls_latent_other() says of a layer
 */
mls_status mls_method_converts(const mls_method *method, const mls_config *config,
                               mls_err *err);

/**
 * What is known at once of a setting, before any work with it.
 * @return MLS_OK, what mls_method_parse() or mls_method_converts() says, or MLS_E_INPUT
 *         (no such cache)
 */
mls_status mls_method_possible(const mls_config *config, const mls_setting *s,
                               mls_err *err);

#endif
