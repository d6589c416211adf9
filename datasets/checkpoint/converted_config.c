/*
 * Projects write what they made of a model into config.json under keys of their own.
 * Every number is checked for its kind and range before it is used: files come from
 * strangers, and a shape that does not fit is refused before weights are read.
 */
#include "datasets/checkpoint/converted_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/shape.h"
#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/base/json_members.h"

enum { CONFIG_BYTES_MAX = 1 << 24 };

/* A text member into a buffer of n bytes; "" when it is missing or null. */
static mls_status read_text(const json_t *object, const char *where, const char *key,
                            char *out, size_t n, mls_err *err)
{
    const json_t *v = json_object_get(object, key);
    char shown[MLS_JSON_SHOW];

    out[0] = '\0';
    if (!v || json_is_null(v))
        return MLS_OK;
    if (!json_is_string(v) || json_string_length(v) >= n)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s is %s, expected text of fewer than %zu bytes", where,
                        key, mls_json_show(shown, v), n);
    snprintf(out, n, "%s", json_string_value(v));
    return MLS_OK;
}

/* A number above 0; 0 when it is missing or null. */
static mls_status read_positive(const json_t *object, const char *where,
                                const char *key, double *out, mls_err *err)
{
    const json_t *v = json_object_get(object, key);
    char shown[MLS_JSON_SHOW];

    *out = json_number_value(v);
    if (!v || json_is_null(v) || (*out > 0 && *out < 1e9))
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "%s: %s is %s, expected a number above 0", where,
                    key, mls_json_show(shown, v));
}

/* arguments.py of MHA2MLA; uniform_start_point and qk_tensor_path may be null. */
static mls_status read_mha2mla(mls_converted_config *c, const json_t *o,
                               const char *path, mls_err *err)
{
    const json_t *start = json_object_get(o, "uniform_start_point");
    char where[MLS_CONVERTED_PATH + 32];
    int64_t dims, first = 0;
    mls_status st;

    snprintf(where, sizeof where, "%s: mha2mla", path);
    if (!json_is_object(o))
        return mls_fail(err, MLS_E_INPUT, "%s is %s, expected an object", where,
                        mls_json_kind(o));
    c->is_mha2mla = true;
    if ((st = read_text(o, where, "partial_rope_version", c->rule, sizeof c->rule,
                        err)) ||
        (st = read_text(o, where, "qk_tensor_path", c->rank_file, sizeof c->rank_file,
                        err)) ||
        (st = mls_json_count(o, where, "rope_dim_for_mla", MLS_DIM_MAX, &dims, err)) ||
        (st =
             mls_json_bool(o, where, "is_gqa2mha2mla", false, &c->per_query_head, err)))
        return st;
    if (start && !json_is_null(start) &&
        (st =
             mls_json_count(o, where, "uniform_start_point", MLS_DIM_MAX, &first, err)))
        return st;
    if (!c->rule[0])
        return mls_fail(err, MLS_E_INPUT, "%s: partial_rope_version is missing", where);
    if (dims == 0 || dims % 2)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rope_dim_for_mla is %lld, expected an even number", where,
                        (long long)dims);
    c->rope_dim = (size_t)dims;
    c->uniform_start = (size_t)first;
    return MLS_OK;
}

/* convert.py of EliteKV: half_of_rope_dim, and in auto_map which chunks it means. */
static mls_status read_elitekv(mls_converted_config *c, const json_t *o,
                               const char *path, mls_err *err)
{
    json_t *map = json_object_get(o, "auto_map"), *value;
    const char *key;
    int64_t chunks;
    const mls_status st =
        mls_json_count(o, path, "half_of_rope_dim", MLS_DIM_MAX / 2, &chunks, err);

    if (st)
        return st;
    c->is_elitekv = true;
    c->chunks = (size_t)chunks;
    json_object_foreach(map, key,
                        value) if (json_is_string(value) &&
                                   strstr(json_string_value(value), "Uniform"))
        c->uniform_chunks = true;
    return MLS_OK;
}

/* A count of mla_layer_config.json, which holds what differs from its class. */
static mls_status read_count(const json_t *o, const char *path, const char *key,
                             size_t otherwise, size_t *out, mls_err *err)
{
    int64_t value = (int64_t)otherwise;
    const mls_status st = json_object_get(o, key)
                              ? mls_json_count(o, path, key, MLS_DIM_MAX, &value, err)
                              : MLS_OK;

    *out = (size_t)value;
    return st;
}

/* A number above 0, or what its class has. */
static mls_status read_or(const json_t *o, const char *path, const char *key,
                          double otherwise, double *out, mls_err *err)
{
    const mls_status st = read_positive(o, path, key, out, err);

    if (*out <= 0)
        *out = otherwise;
    return st;
}

/* yarn_get_mscale() of DeepSeek's code. */
static double gain_of(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/*
 * rope_scaling of the source model, which X-EcoMLA's attention reads as YaRN whatever
 * its type was: rope_type stands beside it and is "yarn" unless it was set.
 */
static mls_status read_scaling(mls_converted_config *c, const json_t *o,
                               const json_t *type, const char *path, mls_err *err)
{
    char where[MLS_CONVERTED_PATH + 32];
    double mscale, all = json_number_value(json_object_get(o, "mscale_all_dim"));
    mls_status st;

    snprintf(where, sizeof where, "%s: rope_scaling", path);
    if (!json_is_object(o) ||
        (json_is_string(type) && strcmp(json_string_value(type), "yarn") != 0))
        return mls_fail(err, MLS_E_INPUT,
                        "%s with another rope_type than yarn is not computed", where);
    c->rope.type = MLS_ROPE_YARN;
    c->rope.whole_chunks = true;
    if ((st = read_or(o, where, "factor", 1, &c->rope.factor, err)) ||
        (st = read_or(o, where, "original_max_position_embeddings", 4096,
                      &c->rope.original_max_position, err)) ||
        (st = read_or(o, where, "beta_fast", 32, &c->rope.beta_fast, err)) ||
        (st = read_or(o, where, "beta_slow", 1, &c->rope.beta_slow, err)) ||
        (st = read_or(o, where, "mscale", 1, &mscale, err)))
        return st;
    c->rope.attention = gain_of(c->rope.factor, mscale) / gain_of(c->rope.factor, all);
    c->rope_scale = all > 0 ? pow(gain_of(c->rope.factor, all), 2) : 1;
    return MLS_OK;
}

/* hybrid_mla_config.py of X-EcoMLA, with the defaults of its class. */
static mls_status read_x_ecomla(mls_converted_config *c, const char *path, mls_err *err)
{
    json_t *file = NULL;
    const json_t *scaling;
    mls_status st = mls_json_read(&file, path, CONFIG_BYTES_MAX, NULL, err);

    c->is_x_ecomla = true;
    c->rope_interleaved = true;
    c->norm_eps = 1e-6; /* its RMSNorm is made without another */
    if (st ||
        (st = read_count(file, path, "qk_rope_head_dim", 64, &c->rope_dim, err)) ||
        (st = read_count(file, path, "qk_nope_head_dim", 128, &c->nope_dim, err)) ||
        (st = read_count(file, path, "v_head_dim", 128, &c->value_dim, err)) ||
        (st = read_or(file, path, "rope_theta", 10000, &c->rope.theta, err)))
        goto done;
    scaling = json_object_get(file, "rope_scaling");
    if (scaling && !json_is_null(scaling))
        st = read_scaling(c, scaling, json_object_get(file, "rope_type"), path, err);

done:
    json_decref(file);
    return st;
}

mls_status mls_converted_config_read(mls_converted_config *c, const char *folder,
                                     mls_err *err)
{
    char *path = mls_path_join(folder, "config.json");
    char *layers = mls_path_join(folder, "mla_layer_config.json");
    json_t *file = NULL;
    const json_t *mha2mla;
    mls_status st;

    *c = (mls_converted_config){0};
    if (!path || !layers) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        goto done;
    }
    if ((st = mls_json_read(&file, path, CONFIG_BYTES_MAX, NULL, err)) ||
        (st = mls_json_bool(file, path, "rope_interleave", true, &c->rope_interleaved,
                            err)) ||
        (st = read_text(file, path, "mlascope_model", c->model_sha256,
                        sizeof c->model_sha256, err)))
        goto done;
    if ((st = read_positive(file, path, "query_pre_attn_scalar", &c->query_scalar,
                            err)) ||
        (st = read_positive(file, path, "mlascope_norm_eps", &c->norm_eps, err)) ||
        (st = read_positive(file, path, "mlascope_residual_scale", &c->residual, err)))
        goto done;
    mha2mla = json_object_get(file, "mha2mla");
    if (!st && mha2mla && !json_is_null(mha2mla))
        st = read_mha2mla(c, mha2mla, path, err);
    if (!st && json_object_get(file, "half_of_rope_dim"))
        st = read_elitekv(c, file, path, err);
    if (!st && mls_file_exists(layers))
        st = read_x_ecomla(c, layers, err);

done:
    json_decref(file);
    free(layers);
    free(path);
    return st;
}
