#include "datasets/checkpoint/config_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/base/json.h"

/* The numbers of a rope object, and their limits. */
enum { THETA, FACTOR, LOW, HIGH, ORIGINAL, PARTIAL, N_NUMBERS };

static const struct {
    const char *key;
    double min, max;
} numbers[N_NUMBERS] = {
    [THETA] = {"rope_theta", 1e-3, 1e15},
    [FACTOR] = {"factor", 1, 1e6},
    [LOW] = {"low_freq_factor", 1e-6, 1e6},
    [HIGH] = {"high_freq_factor", 1e-6, 1e6},
    [ORIGINAL] = {"original_max_position_embeddings", 1, 1e12},
    [PARTIAL] = {"partial_rotary_factor", 0, 1},
};

/*
 * Two dialects say the same: rope_theta and rope_scaling {rope_type or type, ...} at
 * the top, or rope_parameters {rope_type, rope_theta, ...}, flat or once per layer
 * type. Each is read into one of these.
 */
typedef struct dialect {
    char type[32];            /* "" when not given */
    double number[N_NUMBERS]; /* NaN when not given */
} dialect;

static const dialect plain = {"default", {NAN, NAN, NAN, NAN, NAN, NAN}};
static const dialect nothing = {"", {NAN, NAN, NAN, NAN, NAN, NAN}};

/* Types of transformers' modeling_rope_utils, and older spellings of them. */
static const struct {
    const char *name;
    mls_rope_type type;
} types[] = {
    {"default", MLS_ROPE_DEFAULT}, {"linear", MLS_ROPE_LINEAR},
    {"llama3", MLS_ROPE_LLAMA3},   {"yarn", MLS_ROPE_OTHER},
    {"longrope", MLS_ROPE_OTHER},  {"su", MLS_ROPE_OTHER},
    {"dynamic", MLS_ROPE_OTHER},   {"mrope", MLS_ROPE_OTHER},
};

static bool type_find(const char *name, mls_rope_type *type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0) {
            *type = types[i].type;
            return true;
        }
    return false;
}

static mls_status read_type(const mls_config_reader *r, const char *name,
                            const json_t *object, dialect *d)
{
    static const char *const keys[] = {"rope_type", "type"};
    char shown[MLS_JSON_SHOW];

    for (size_t i = 0; i < 2; i++) {
        const json_t *v = json_object_get(object, keys[i]);
        mls_rope_type known;

        if (!v || json_is_null(v))
            continue;
        if (!json_is_string(v) || !type_find(json_string_value(v), &known))
            return mls_fail(r->err, MLS_E_INPUT, "%s: %s.%s is %s: unknown RoPE type",
                            r->path, name, keys[i], mls_json_show(shown, v));
        /* Qwen2-VL writes {"rope_type": "default", "type": "mrope"} and means mrope. */
        if (d->type[0] && strcmp(d->type, json_string_value(v)) != 0 &&
            strcmp(json_string_value(v), "mrope") != 0)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: %s.rope_type is \"%s\", but %s.type is \"%s\"",
                            r->path, name, d->type, name, json_string_value(v));
        snprintf(d->type, sizeof d->type, "%s", json_string_value(v));
    }
    return MLS_OK;
}

static bool is_number_key(const char *key)
{
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (strcmp(numbers[i].key, key) == 0)
            return true;
    return false;
}

/* One rope object: its type, its numbers, and no key that we do not know. */
static mls_status read_object(mls_config_reader *r, const char *name, json_t *object,
                              dialect *d)
{
    const char *key;
    json_t *value;
    mls_status st = read_type(r, name, object, d);

    if (st)
        return st;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const json_t *v = json_object_get(object, numbers[i].key);
        char full[96];

        if (!v || json_is_null(v))
            continue;
        snprintf(full, sizeof full, "%s.%s", name, numbers[i].key);
        st = mls_config_real(r, full, v, numbers[i].min, numbers[i].max, &d->number[i]);
        if (st)
            return st;
    }
    json_object_foreach(object, key, value)
    {
        mls_rope_type type = MLS_ROPE_DEFAULT;

        if (json_is_null(value) || strcmp(key, "type") == 0 ||
            strcmp(key, "rope_type") == 0 || is_number_key(key))
            continue;
        if (!type_find(d->type, &type) || type != MLS_ROPE_OTHER)
            mls_config_unsupported(r->config,
                                   "%s.%.40s is not known for RoPE type \"%s\"", name,
                                   key, d->type[0] ? d->type : "default");
    }
    return MLS_OK;
}

static bool differ(double a, double b)
{
    return !isnan(a) && !isnan(b) && a != b;
}

/* The two dialects, or two layer types, must not say different things. */
static const char *first_difference(const dialect *a, const dialect *b)
{
    if (a->type[0] && b->type[0] && strcmp(a->type, b->type) != 0)
        return "rope_type";
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (differ(a->number[i], b->number[i]))
            return numbers[i].key;
    return NULL;
}

/* What d does not give is taken from `from`. */
static void fill(dialect *d, const dialect *from)
{
    if (!d->type[0])
        memcpy(d->type, from->type, sizeof d->type);
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (isnan(d->number[i]))
            d->number[i] = from->number[i];
}

/* rope_parameters: flat, or {"full_attention": {...}, "sliding_attention": {...}}. */
static mls_status read_parameters(mls_config_reader *r, json_t *object,
                                  const dialect *top, dialect *d)
{
    json_t *full = json_object_get(object, "full_attention");
    json_t *sliding = json_object_get(object, "sliding_attention");
    dialect f, s = nothing;
    mls_status st;

    if (!json_is_object(full) && !json_is_object(sliding))
        return read_object(r, "rope_parameters", object, d);
    if (!json_is_object(full))
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: rope_parameters has sliding_attention, but no "
                        "full_attention",
                        r->path);
    st = read_object(r, "rope_parameters.full_attention", full, d);
    if (st || !json_is_object(sliding))
        return st;
    st = read_object(r, "rope_parameters.sliding_attention", sliding, &s);
    if (st)
        return st;
    f = *d;
    fill(&f, top);
    fill(&f, &plain);
    fill(&s, top);
    fill(&s, &plain);
    if (first_difference(&f, &s))
        mls_config_unsupported(r->config,
                               "rope_parameters.sliding_attention.%s differs from that "
                               "of full_attention",
                               first_difference(&f, &s));
    return MLS_OK;
}

static mls_status contradiction(const mls_config_reader *r, const char *what,
                                const char *old_key)
{
    return mls_fail(r->err, MLS_E_INPUT,
                    "%s: %s and rope_parameters.%s contradict each other", r->path,
                    old_key, what);
}

/* Both dialects into one. */
static mls_status read_dialects(mls_config_reader *r, dialect *d)
{
    json_t *scaling = mls_config_get(r, "rope_scaling");
    json_t *parameters = mls_config_get(r, "rope_parameters");
    const json_t *theta = mls_config_get(r, "rope_theta");
    const json_t *partial = mls_config_get(r, "partial_rotary_factor");
    char shown[MLS_JSON_SHOW];
    dialect new = nothing;
    const char *key;
    mls_status st = MLS_OK;

    if (scaling && !json_is_object(scaling))
        return mls_fail(r->err, MLS_E_INPUT, "%s: rope_scaling is %s, expected {...}",
                        r->path, mls_json_show(shown, scaling));
    if (parameters && !json_is_object(parameters))
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: rope_parameters is %s, expected {...}", r->path,
                        mls_json_show(shown, parameters));
    if (theta)
        st = mls_config_real(r, "rope_theta", theta, 1e-3, 1e15, &d->number[THETA]);
    if (!st && partial)
        st = mls_config_real(r, "partial_rotary_factor", partial, 0, 1,
                             &d->number[PARTIAL]);
    if (!st && scaling) {
        dialect s = nothing;

        st = read_object(r, "rope_scaling", scaling, &s);
        if (st)
            return st;
        if (!s.type[0] && json_object_size(scaling) > 0)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: rope_scaling has neither rope_type nor type", r->path);
        if (differ(s.number[THETA], d->number[THETA]))
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: rope_theta is %g, but rope_scaling.rope_theta is %g",
                            r->path, d->number[THETA], s.number[THETA]);
        fill(&s, d);
        *d = s;
    }
    if (st || !parameters)
        return st;
    st = read_parameters(r, parameters, d, &new);
    if (st)
        return st;
    key = first_difference(d, &new);
    if (key) {
        char old[96];

        if (strcmp(key, "rope_theta") == 0 || strcmp(key, "partial_rotary_factor") == 0)
            return contradiction(r, key, key);
        snprintf(old, sizeof old, "rope_scaling.%s", key);
        return contradiction(r, key, old);
    }
    fill(&new, d);
    *d = new;
    return MLS_OK;
}

static mls_status need(const mls_config_reader *r, const dialect *d, double value,
                       const char *key)
{
    if (!isnan(value))
        return MLS_OK;
    return mls_fail(r->err, MLS_E_INPUT, "%s: RoPE type \"%s\" needs %s, not given",
                    r->path, d->type, key);
}

mls_status mls_config_rope(mls_config_reader *r)
{
    mls_rope_config *rope = &r->config->rope;
    dialect d = nothing;
    mls_status st = read_dialects(r, &d);

    if (st)
        return st;
    rope->type = MLS_ROPE_DEFAULT;
    if (d.type[0])
        type_find(d.type, &rope->type);
    rope->theta = isnan(d.number[THETA]) ? 10000.0 : d.number[THETA];
    rope->factor = isnan(d.number[FACTOR]) ? 1.0 : d.number[FACTOR];
    if (!isnan(d.number[PARTIAL]) && d.number[PARTIAL] != 1.0)
        mls_config_unsupported(r->config, "partial_rotary_factor is %g, expected 1",
                               d.number[PARTIAL]);
    switch (rope->type) {
    case MLS_ROPE_DEFAULT:
        if (rope->factor != 1.0)
            mls_config_unsupported(r->config,
                                   "factor %g with RoPE type \"default\" is not known",
                                   rope->factor);
        break;
    case MLS_ROPE_LINEAR:
        st = need(r, &d, d.number[FACTOR], "factor");
        break;
    case MLS_ROPE_LLAMA3:
        if ((st = need(r, &d, d.number[FACTOR], "factor")) ||
            (st = need(r, &d, d.number[LOW], "low_freq_factor")) ||
            (st = need(r, &d, d.number[HIGH], "high_freq_factor")) ||
            (st = need(r, &d, d.number[ORIGINAL], "original_max_position_embeddings")))
            break;
        if (d.number[HIGH] <= d.number[LOW])
            st = mls_fail(r->err, MLS_E_INPUT,
                          "%s: high_freq_factor is %g, expected more than "
                          "low_freq_factor %g",
                          r->path, d.number[HIGH], d.number[LOW]);
        rope->low_freq_factor = d.number[LOW];
        rope->high_freq_factor = d.number[HIGH];
        rope->original_max_position = d.number[ORIGINAL];
        break;
    case MLS_ROPE_OTHER:
        mls_config_unsupported(r->config, "rope_type \"%s\" is not computed", d.type);
        break;
    }
    r->config->rope_local = *rope;
    return st;
}
