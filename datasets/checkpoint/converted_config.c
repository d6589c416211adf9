#include "datasets/checkpoint/converted_config.h"

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

mls_status mls_converted_config_read(mls_converted_config *c, const char *folder,
                                     mls_err *err)
{
    char *path = mls_path_join(folder, "config.json");
    json_t *file = NULL;
    const json_t *mha2mla;
    mls_status st;

    *c = (mls_converted_config){0};
    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
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

done:
    json_decref(file);
    free(path);
    return st;
}
