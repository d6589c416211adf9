/*
 * RoPE in the words of config.json. Llama 3's scaling is found again from the factors
 * in rope_freqs.weight, Phi-3's from its two lists, Gemma 4's share of turning chunks
 * from those whose factor is 1; what the file's other keys say is taken as llama.cpp
 * takes it (src/llama-model.cpp, src/llama-context.cpp).
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/shape.h"
#include "datasets/checkpoint/gguf_config_inner.h"

static const double PI = 3.14159265358979323846, LOW = 1, HIGH = 4;

/*
 * What llama3 scaling divides the frequency of each chunk by (modeling_rope_utils.py).
 */
static void llama3_factors(double *factor, size_t C, double theta, double by,
                           double original)
{
    for (size_t c = 0; c < C; c++) {
        const double turns = original * pow(theta, -(double)c / (double)C) / (2 * PI);
        const double smooth = (turns - LOW) / (HIGH - LOW);

        factor[c] = turns < LOW    ? by
                    : turns > HIGH ? 1
                                   : 1 / ((1 - smooth) / by + smooth);
    }
}

/* The original length that a chunk in the blended band tells; 0: none is in it. */
static double original_of(const float *factor, size_t C, double theta, double by)
{
    for (size_t c = 0; c < C; c++) {
        const double f = (double)factor[c];

        if (f > 1.001 && f < 0.999 * by) {
            const double smooth = (1 / f - 1 / by) / (1 - 1 / by);
            const double turn = 2 * PI * pow(theta, (double)c / (double)C);

            return round((LOW + smooth * (HIGH - LOW)) * turn);
        }
    }
    return 0;
}

static bool are_llama3(const float *factor, size_t C, double theta, double by,
                       double original)
{
    double want[MLS_DIM_MAX / 2];
    size_t same = 0;

    llama3_factors(want, C, theta, by, original);
    while (same < C && fabs((double)factor[same] - want[same]) <= 1e-5 * want[same])
        same++;
    return same == C;
}

/*
 * Llama 3's converter stores the factors themselves in rope_freqs.weight. All its
 * models have low_freq_factor 1 and high_freq_factor 4; the largest factor and the
 * original length follow from the numbers.
 */
static mls_status put_rope_factors(mls_gguf_writer *w, double theta)
{
    const mls_gguf *part = NULL;
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, "rope_freqs.weight", &part);
    float found[MLS_DIM_MAX / 2];
    double by = 1, original;
    const size_t C = (size_t)w->rope_dims / 2;
    mls_status st;

    if (!t)
        return MLS_OK;
    if (t->n_elements != C || C > MLS_DIM_MAX / 2)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: tensor \"rope_freqs.weight\" has %" PRIu64
                        " numbers, expected one for each of the %zu chunks",
                        mls_gguf_path(part), t->n_elements, C);
    if ((st = mls_gguf_read_f32(part, t, 0, C, found, w->err)))
        return st;
    for (size_t c = 0; c < C; c++)
        by = (double)found[c] > by ? (double)found[c] : by;
    original = original_of(found, C, theta, by);
    /* Without a chunk in the band several lengths give the same factors. */
    for (double power = 32; original == 0 && power <= 1 << 20; power *= 2)
        original = are_llama3(found, C, theta, by, power) ? power : 0;
    if (original == 0 || !are_llama3(found, C, theta, by, original))
        mls_gguf_put_text(w, "rope_freqs.weight",
                          "factors that are not those of Llama 3");
    else if (by != 1)
        json_object_set_new(
            w->out, "rope_scaling",
            json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor", by,
                      "low_freq_factor", LOW, "high_freq_factor", HIGH,
                      "original_max_position_embeddings", (json_int_t)original));
    return MLS_OK;
}

/* YaRN's other numbers. */
static mls_status put_yarn(mls_gguf_writer *w, json_t *scaling)
{
    static const struct {
        const char *gguf, *hf;
    } keys[] = {{"rope.scaling.yarn_beta_fast", "beta_fast"},
                {"rope.scaling.yarn_beta_slow", "beta_slow"}};
    double by = 0;
    mls_status st;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        double x = 0;

        if ((st = mls_gguf_real(w->f, mls_gguf_key(w, keys[i].gguf), &x, w->err)))
            return st;
        if (x > 0)
            json_object_set_new(scaling, keys[i].hf, json_real(x));
    }
    if (!w->is_mla)
        return MLS_OK;
    /* The converter writes a tenth of mscale_all_dim; mscale is the same in all. */
    st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.scaling.yarn_log_multiplier"), &by,
                       w->err);
    if (by > 0) {
        by = round(1e6 * 10 * by) / 1e6;
        json_object_set_new(scaling, "mscale", json_real(by));
        json_object_set_new(scaling, "mscale_all_dim", json_real(by));
    }
    return st;
}

/* The keys of rope.scaling; absent ones mean what llama.cpp takes them for. */
static mls_status put_scaling(mls_gguf_writer *w)
{
    double factor = 1, original = 0;
    uint64_t length = 0;
    char *type = NULL;
    json_t *scaling;
    mls_status st;

    if ((st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.scale_linear"), &factor,
                            w->err)) ||
        (st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.scaling.factor"), &factor,
                            w->err)) ||
        (st = mls_gguf_whole(w->f,
                             mls_gguf_key(w, "rope.scaling.original_context_length"),
                             &length, w->err)) ||
        (st = mls_gguf_text(w->f, mls_gguf_key(w, "rope.scaling.type"), &type, w->err)))
        return st;
    original = (double)length;
    if (factor == 0)
        factor = 1;
    if ((type && strcmp(type, "none") == 0) ||
        ((!type || strcmp(type, "linear") == 0) && factor == 1)) {
        free(type);
        return MLS_OK;
    }
    scaling =
        json_pack("{s:s,s:f}", "rope_type", type ? type : "linear", "factor", factor);
    if (original > 0)
        json_object_set_new(scaling, "original_max_position_embeddings",
                            json_real(original));
    if (json_object_get(w->out, "rope_scaling"))
        st = mls_fail(w->err, MLS_E_INPUT,
                      "%s: RoPE is scaled by rope_freqs.weight and by "
                      "%s.rope.scaling.type %s",
                      mls_gguf_path(w->f), w->arch, type ? type : "linear");
    else
        json_object_set(w->out, "rope_scaling", scaling);
    if (!st && type && strcmp(type, "yarn") == 0)
        st = put_yarn(w, scaling);
    if (strcmp(w->model_type, "gpt_oss") == 0) /* trained so; no key says it */
        json_object_set_new(scaling, "truncate", json_false());
    json_decref(scaling);
    free(type);
    return st;
}

/* One of Phi-3's two lists of factors, behind a key of rope_scaling. */
static mls_status put_long_factors(mls_gguf_writer *w, json_t *scaling,
                                   const char *name, const char *hf)
{
    const mls_gguf *part = NULL;
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, name, &part);
    const size_t C = (size_t)w->rope_dims / 2;
    float factor[MLS_DIM_MAX / 2];
    json_t *list = json_array();
    mls_status st = MLS_OK;

    if (!t || t->n_elements != C || C > MLS_DIM_MAX / 2)
        st = mls_fail(w->err, MLS_E_INPUT, "%s: tensor \"%s\" %s, expected %zu numbers",
                      mls_gguf_path(w->f), name,
                      t ? "has another length" : "is missing", C);
    else
        st = mls_gguf_read_f32(part, t, 0, C, factor, w->err);
    for (size_t c = 0; !st && c < C; c++)
        json_array_append_new(list, json_real((double)factor[c]));
    json_object_set_new(scaling, hf, list);
    return st;
}

/*
 * Phi-3's LongRoPE: factors in tensors, what queries and keys are scaled by as
 * rope.scaling.attn_factor, which follows from both lengths (transformers,
 * modeling_rope_utils.py).
 */
static mls_status put_longrope(mls_gguf_writer *w)
{
    uint64_t length = 0, context = 0;
    double scale = 0;
    json_t *scaling;
    mls_status st;

    if (!mls_gguf_parts_find(w->p, "rope_factors_long.weight", NULL))
        return MLS_OK;
    if (strcmp(w->model_type, "phi3") != 0) {
        mls_gguf_put_text(w, "rope_factors_long.weight", "factors of LongRoPE");
        return MLS_OK;
    }
    if ((st = mls_gguf_whole(w->f,
                             mls_gguf_key(w, "rope.scaling.original_context_length"),
                             &length, w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "context_length"), &context,
                             w->err)) ||
        (st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.scaling.attn_factor"), &scale,
                            w->err)))
        return st;
    if (!length)
        return mls_gguf_missing(w, "rope.scaling.original_context_length");
    scaling = json_pack("{s:s,s:I}", "rope_type", "longrope",
                        "original_max_position_embeddings", (json_int_t)length);
    mls_gguf_put_whole(w, "original_max_position_embeddings", length);
    /* Rounded in the file: what the class makes is taken where it is that. */
    const double own =
        sqrt(1 + log((double)context / (double)length) / log((double)length));

    if (scale > 0 && !(fabs(scale - own) <= 1e-6 * own))
        json_object_set_new(scaling, "attention_factor", json_real(scale));
    if (!(st = put_long_factors(w, scaling, "rope_factors_long.weight", "long_factor")))
        st = put_long_factors(w, scaling, "rope_factors_short.weight", "short_factor");
    json_object_set_new(w->out, "rope_scaling", scaling);
    return st;
}

/*
 * Gemma 4: in layers that see all tokens the chunks turn whose factor is 1; the others'
 * is so large that they do not.
 */
static mls_status put_proportional(mls_gguf_writer *w, double theta)
{
    const mls_gguf *part = NULL;
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, "rope_freqs.weight", &part);
    const size_t C = (size_t)w->D / 2;
    float factor[MLS_DIM_MAX / 2];
    double local = 10000;
    size_t turning = C;
    mls_status st;

    if ((st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.freq_base_swa"), &local,
                            w->err)))
        return st;
    if (t && (C > MLS_DIM_MAX / 2 || t->n_elements != C))
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: tensor \"rope_freqs.weight\" has %" PRIu64
                        " numbers, expected one for each of the %zu chunks",
                        mls_gguf_path(part), t->n_elements, C);
    if (t && (st = mls_gguf_read_f32(part, t, 0, C, factor, w->err)))
        return st;
    for (turning = 0; t && turning < C && factor[turning] == 1;)
        turning++;
    for (size_t c = turning; t && c < C; c++)
        if (factor[c] < 1e20F)
            mls_gguf_put_text(w, "rope_freqs.weight",
                              "factors that are not those of Gemma 4");
    json_object_set_new(w->out, "rope_parameters",
                        json_pack("{s:{s:s,s:f,s:f},s:{s:s,s:f}}", "full_attention",
                                  "rope_type", "proportional", "partial_rotary_factor",
                                  t ? (double)turning / (double)C : 1.0, "rope_theta",
                                  theta, "sliding_attention", "rope_type", "default",
                                  "rope_theta", local));
    return MLS_OK;
}

mls_status mls_gguf_put_rope(mls_gguf_writer *w)
{
    double theta = 10000; /* of llama.cpp, when the key is missing */
    mls_status st;

    if ((st = mls_gguf_real(w->f, mls_gguf_key(w, "rope.freq_base"), &theta, w->err)))
        return st;
    if (strcmp(w->model_type, "gemma4_text") == 0)
        return put_proportional(w, theta);
    mls_gguf_put_real(w, "rope_theta", theta);
    if ((st = put_rope_factors(w, theta)) || (st = put_scaling(w)))
        return st;
    return put_longrope(w);
}
