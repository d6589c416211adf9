/*
 * What a class reads and what a file says differ in silence: a key that the class does
 * not know is refused, as "not computed", rather than passed over, since another
 * frequency gives another model and no error. Every type's numbers and defaults are
 * those of transformers' modeling_rope_utils.py. Nothing here changes a byte of a
 * cache: `size` goes on.
 */
#include "datasets/checkpoint/config_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/base/json.h"

/* The numbers of a rope object, and their limits. */
enum {
    THETA,
    FACTOR,
    LOW,
    HIGH,
    ORIGINAL,
    PARTIAL,
    BETA_FAST,
    BETA_SLOW,
    MSCALE,
    MSCALE_ALL,
    ATTENTION,
    QUERY_BETA,
    N_NUMBERS
};

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
    [BETA_FAST] = {"beta_fast", 1e-6, 1e6},
    [BETA_SLOW] = {"beta_slow", 1e-6, 1e6},
    [MSCALE] = {"mscale", 0, 1e6},
    [MSCALE_ALL] = {"mscale_all_dim", 0, 1e6},
    [ATTENTION] = {"attention_factor", 1e-6, 1e6},
    [QUERY_BETA] = {"llama_4_scaling_beta", 0, 1e6},
};

/*
 * Two dialects say the same: rope_theta and rope_scaling {rope_type or type, ...} at
 * the top, or rope_parameters {rope_type, rope_theta, ...}, flat or once per layer
 * type. Each is read into one of these.
 */
typedef struct dialect {
    char type[32];            /* "" when not given */
    double number[N_NUMBERS]; /* NaN when not given */
    const json_t *factors[2]; /* short, long; borrowed */
    bool by_fractions;        /* "truncate": false */
} dialect;

static const char *const factor_keys[2] = {"short_factor", "long_factor"};

static dialect of_type(const char *type)
{
    dialect d = {{0}, {0}, {NULL, NULL}, false};

    snprintf(d.type, sizeof d.type, "%s", type);
    for (size_t i = 0; i < N_NUMBERS; i++)
        d.number[i] = NAN;
    return d;
}

/* Types of transformers' modeling_rope_utils, and older spellings of them. */
static const struct {
    const char *name;
    mls_rope_type type;
} types[] = {
    {"default", MLS_ROPE_DEFAULT},
    {"linear", MLS_ROPE_LINEAR},
    {"llama3", MLS_ROPE_LLAMA3},
    {"yarn", MLS_ROPE_YARN},
    {"longrope", MLS_ROPE_LONGROPE},
    {"su", MLS_ROPE_LONGROPE},
    {"dynamic", MLS_ROPE_DYNAMIC},
    {"proportional", MLS_ROPE_PROPORTIONAL},
    /* A section of the head a place in the picture: of text the three are the same. */
    {"mrope", MLS_ROPE_DEFAULT},
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
            strcmp(json_string_value(v), "mrope") != 0 &&
            strcmp(json_string_value(v), "su") != 0)
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

/* What is not a number. */
static bool read_more(dialect *d, const char *key, const json_t *value)
{
    for (size_t i = 0; i < 2; i++)
        if (strcmp(key, factor_keys[i]) == 0) {
            d->factors[i] = value;
            return true;
        }
    if (strcmp(key, "truncate") == 0 && json_is_boolean(value)) {
        d->by_fractions = json_is_false(value);
        return true;
    }
    /* Of pictures; of the model, which its own key says too. */
    return strcmp(key, "mrope_section") == 0 || strcmp(key, "mrope_interleaved") == 0 ||
           strcmp(key, "max_position_embeddings") == 0;
}

/* Numbers that only some types read. */
static bool reads_number(const dialect *d, size_t i)
{
    mls_rope_type type = MLS_ROPE_DEFAULT;

    type_find(d->type, &type);
    return type == MLS_ROPE_YARN || type == MLS_ROPE_OTHER ||
           (type == MLS_ROPE_LONGROPE && i == ATTENTION);
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
    for (size_t i = BETA_FAST; i <= ATTENTION; i++)
        if (!isnan(d->number[i]) && !reads_number(d, i))
            mls_config_unsupported(r->config, "%s.%s is not known for RoPE type \"%s\"",
                                   name, numbers[i].key,
                                   d->type[0] ? d->type : "default");
    json_object_foreach(object, key, value)
    {
        mls_rope_type type = MLS_ROPE_DEFAULT;

        if (json_is_null(value) || strcmp(key, "type") == 0 ||
            strcmp(key, "rope_type") == 0 || is_number_key(key))
            continue;
        if (read_more(d, key, value))
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
    for (size_t i = 0; i < 2; i++)
        if (!d->factors[i])
            d->factors[i] = from->factors[i];
    d->by_fractions |= from->by_fractions;
}

/*
 * rope_parameters: flat, or {"full_attention": {...}, "sliding_attention": {...}}; the
 * second then says what layers with a window do.
 */
static mls_status read_parameters(mls_config_reader *r, json_t *object,
                                  const dialect *top, dialect *d, dialect *local)
{
    json_t *full = json_object_get(object, "full_attention");
    json_t *sliding = json_object_get(object, "sliding_attention");
    dialect f, s = of_type("");
    const dialect plain = of_type("default");
    mls_status st;

    if (!json_is_object(full) && !json_is_object(sliding) && r->net &&
        r->net->local_rope && json_object_size(object) > 0)
        mls_config_unsupported(r->config,
                               "rope_parameters: this class has one for each kind of "
                               "layer and reads no other");
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
    *local = s;
    fill(&s, top);
    fill(&s, &plain);
    if (first_difference(&f, &s) && !(r->net && r->net->local_rope))
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

/* A key, or an older name of it that the family's class reads. */
static const json_t *first_of(const mls_config_reader *r, const char *key,
                              const char *older, const char *oldest)
{
    const json_t *v = mls_config_get(r, key);

    if (!v && r->net && mls_net_reads(r->net, older))
        v = mls_config_get(r, older);
    if (!v && r->net && oldest && mls_net_reads(r->net, oldest))
        v = mls_config_get(r, oldest);
    return v;
}

/* Both dialects into one. */
static mls_status read_dialects(mls_config_reader *r, dialect *d, dialect *local)
{
    json_t *scaling = mls_config_get(r, "rope_scaling");
    json_t *parameters = mls_config_get(r, "rope_parameters");
    const json_t *theta = r->net && mls_net_reads(r->net, "rotary_emb_base")
                              ? mls_config_get(r, "rotary_emb_base")
                              : mls_config_get(r, "rope_theta");
    const json_t *partial =
        first_of(r, "partial_rotary_factor", "rotary_pct", "rope_pct");
    char shown[MLS_JSON_SHOW];
    dialect new = of_type("");
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
        dialect s = of_type("");

        st = read_object(r, "rope_scaling", scaling, &s);
        if (st)
            return st;
        if (!s.type[0] && json_object_size(scaling) > 0)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: rope_scaling has neither rope_type nor type", r->path);
        if (r->net && r->net->local_rope && !json_object_get(scaling, "rope_type"))
            mls_config_unsupported(r->config,
                                   "rope_scaling.type: classes with a RoPE for each "
                                   "kind of layer read rope_type only");
        if (differ(s.number[THETA], d->number[THETA]))
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: rope_theta is %g, but rope_scaling.rope_theta is %g",
                            r->path, d->number[THETA], s.number[THETA]);
        fill(&s, d);
        *d = s;
    }
    if (st || !parameters)
        return st;
    st = read_parameters(r, parameters, d, &new, local);
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

static double or_else(double x, double fallback)
{
    return isnan(x) ? fallback : x;
}

/* What yarn multiplies by: modeling_rope_utils.py, get_mscale. */
static double mscale(double factor, double by)
{
    return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

static bool is_phi3(const mls_config *c)
{
    return strcmp(c->model_type, "phi3") == 0 ||
           strcmp(c->model_type, "phi4_multimodal") == 0;
}

/* Tokens that the model was trained on before RoPE was stretched; 0: not known. */
static mls_status read_original(const mls_config_reader *r, const dialect *d,
                                double *out)
{
    const json_t *top = mls_config_get(r, "original_max_position_embeddings");
    mls_status st = MLS_OK;

    *out = or_else(d->number[ORIGINAL], (double)r->config->max_position);
    if (is_phi3(r->config)) /* of the class; transformers asks the top first */
        *out = 4096;
    if (top)
        st = mls_config_real(r, "original_max_position_embeddings", top, 1, 1e12, out);
    if (!st && *out == 0)
        mls_config_unsupported(r->config,
                               "RoPE type \"%s\" without "
                               "original_max_position_embeddings",
                               d->type);
    return st;
}

static mls_status read_yarn(const mls_config_reader *r, const dialect *d,
                            mls_rope_config *rope)
{
    const double m = d->number[MSCALE], all = d->number[MSCALE_ALL];
    const mls_status st = read_original(r, d, &rope->original_max_position);

    if (st)
        return st;
    if (isnan(d->number[FACTOR]))
        rope->factor = (double)r->config->max_position / rope->original_max_position;
    rope->beta_fast = or_else(d->number[BETA_FAST], 32);
    rope->beta_slow = or_else(d->number[BETA_SLOW], 1);
    /* Where each kind of layer has its own, transformers does not read `truncate`. */
    rope->whole_chunks = !d->by_fractions || (r->net && r->net->local_rope);
    rope->attention = d->number[ATTENTION];
    if (isnan(rope->attention))
        rope->attention = m > 0 && all > 0
                              ? mscale(rope->factor, m) / mscale(rope->factor, all)
                              : mscale(rope->factor, 1);
    return MLS_OK;
}

/* One factor for each chunk; others are not computed. */
static mls_status read_factors(const mls_config_reader *r, const dialect *d, size_t i,
                               size_t C, float *out)
{
    if (json_array_size(d->factors[i]) != C) {
        mls_config_unsupported(r->config,
                               "%s has %zu numbers, expected one for each of the %zu "
                               "chunks",
                               factor_keys[i], json_array_size(d->factors[i]), C);
        return MLS_OK;
    }
    for (size_t c = 0; c < C; c++) {
        double x;
        const mls_status st = mls_config_real(
            r, factor_keys[i], json_array_get(d->factors[i], c), 1e-6, 1e6, &x);

        if (st)
            return st;
        out[c] = (float)x;
    }
    return MLS_OK;
}

static mls_status read_longrope(const mls_config_reader *r, const dialect *d,
                                mls_rope_config *rope)
{
    const size_t C = rope->dims / 2;
    double original;
    mls_status st;

    if ((st = read_original(r, d, &original)) ||
        (st = read_factors(r, d, 0, C, rope->short_factor)) ||
        (st = read_factors(r, d, 1, C, rope->long_factor)))
        return st;
    rope->original_max_position = original;
    if (isnan(d->number[FACTOR]))
        rope->factor = (double)r->config->max_position / original;
    rope->attention = d->number[ATTENTION];
    if (isnan(rope->attention))
        rope->attention =
            rope->factor <= 1 ? 1 : sqrt(1 + log(rope->factor) / log(original));
    return MLS_OK;
}

static mls_status read_llama3(const mls_config_reader *r, const dialect *d,
                              mls_rope_config *rope)
{
    mls_status st;

    if ((st = need(r, d, d->number[FACTOR], "factor")) ||
        (st = need(r, d, d->number[LOW], "low_freq_factor")) ||
        (st = need(r, d, d->number[HIGH], "high_freq_factor")) ||
        (st = need(r, d, d->number[ORIGINAL], "original_max_position_embeddings")))
        return st;
    if (d->number[HIGH] <= d->number[LOW])
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: high_freq_factor is %g, expected more than "
                        "low_freq_factor %g",
                        r->path, d->number[HIGH], d->number[LOW]);
    rope->low_freq_factor = d->number[LOW];
    rope->high_freq_factor = d->number[HIGH];
    rope->original_max_position = d->number[ORIGINAL];
    return MLS_OK;
}

/*
 * Mistral 4: partial_rotary_factor is the rotating key's share of head_dim. Where the
 * two give 2 dims, transformers turns all pairs of the key by one radian a token.
 */
static void turn_latent(mls_config_reader *r, const dialect *d, mls_rope_config *rope)
{
    const mls_config *c = r->config;
    const size_t K = c->mla_nope_dim + c->mla_rope_dim;
    const json_t *own = mls_config_get(r, "head_dim");
    const double head =
        json_is_integer(own) ? (double)json_integer_value(own) : (double)K;
    const double share =
        or_else(d->number[PARTIAL], (double)c->mla_rope_dim / (double)K);
    const size_t dims = (size_t)(head * share + 1e-9);

    if (dims == c->mla_rope_dim)
        return;
    if (dims == 2) {
        rope->type = MLS_ROPE_DEFAULT;
        rope->theta = 1;
    } else {
        mls_config_unsupported(r->config,
                               "partial_rotary_factor: %zu of %zu dims of the rotating "
                               "key",
                               dims, c->mla_rope_dim);
    }
}

/* One set of parameters for heads whose D dims can turn. */
static mls_status make_rope(mls_config_reader *r, const dialect *d, size_t D,
                            double theta, mls_rope_config *rope)
{
    /* Classes that do not know the key turn whole heads, unless RoPE is of a type. */
    const double own = r->net && r->net->partial > 0 ? r->net->partial : 1;
    const bool reads = !r->net || r->net->partial > 0 ||
                       (d->type[0] && strcmp(d->type, "default") != 0);
    const bool latent = strcmp(r->config->model_type, "mistral4") == 0;
    const double partial = latent  ? 1 /* it says the latent's share of a head */
                           : reads ? or_else(d->number[PARTIAL], own)
                                   : 1;
    size_t rotary = 0;
    mls_status st = MLS_OK;

    *rope = (mls_rope_config){.type = MLS_ROPE_DEFAULT, .partial = partial};
    if (d->type[0])
        type_find(d->type, &rope->type);
    rope->theta = or_else(d->number[THETA], theta);
    rope->factor = or_else(d->number[FACTOR], 1);
    if (r->config->mla_kv_lora_rank && partial != 1)
        mls_config_unsupported(r->config, "partial_rotary_factor: a part of the "
                                          "rotating key of latent attention");
    rope->dims =
        rope->type == MLS_ROPE_PROPORTIONAL ? D : (size_t)((double)D * partial);
    if (r->net && mls_net_reads(r->net, "rotary_dim") &&
        json_is_integer(mls_config_get(r, "rotary_dim"))) {
        rotary = (size_t)json_integer_value(mls_config_get(r, "rotary_dim"));
        rope->dims = rotary ? rotary : rope->dims;
    }
    if (rope->dims == 0) { /* too few dims for a part of them: nothing turns */
        r->config->net.still = true;
        rope->dims = D;
    }
    if (rope->dims % 2 != 0 || rope->dims > D || rope->dims < 2)
        mls_config_unsupported(r->config,
                               "partial_rotary_factor: %zu of %zu dims of a head turn",
                               rope->dims, D);
    if (partial != 1 && !r->net)
        mls_config_unsupported(r->config, "partial_rotary_factor is %g, expected 1",
                               partial);
    switch (rope->type) {
    case MLS_ROPE_DEFAULT:
        if (rope->factor != 1.0)
            mls_config_unsupported(r->config,
                                   "factor %g with RoPE type \"default\" is not known",
                                   rope->factor);
        break;
    case MLS_ROPE_LINEAR:
        st = need(r, d, d->number[FACTOR], "factor");
        break;
    case MLS_ROPE_LLAMA3:
        st = read_llama3(r, d, rope);
        break;
    case MLS_ROPE_YARN:
        st = read_yarn(r, d, rope);
        break;
    case MLS_ROPE_LONGROPE:
        st = rope->dims > MLS_DIM_MAX ? MLS_OK : read_longrope(r, d, rope);
        break;
    case MLS_ROPE_DYNAMIC:
        st = need(r, d, d->number[FACTOR], "factor");
        rope->max_position = (double)r->config->max_position;
        if (!st && rope->max_position == 0)
            mls_config_unsupported(r->config, "rope_type \"dynamic\" without "
                                              "max_position_embeddings");
        break;
    case MLS_ROPE_PROPORTIONAL:
        break;
    case MLS_ROPE_OTHER:
        mls_config_unsupported(r->config, "rope_type \"%s\" is not computed", d->type);
        break;
    }
    if (!st && latent)
        turn_latent(r, d, rope);
    return st;
}

/* A number that the class has where the file says nothing. */
static double class_number(const mls_config_reader *r, const char *key, double fallback)
{
    const json_t *v = mls_fact(&r->keys, key);

    return json_is_number(v) ? json_number_value(v) : fallback;
}

static mls_status read_rope(mls_config_reader *r)
{
    mls_config *c = r->config;
    const mls_net_family *f = r->net;
    const bool given =
        mls_config_get(r, "rope_scaling") || mls_config_get(r, "rope_parameters");
    const double theta =
        f && f->theta > 0 ? f->theta : class_number(r, "default_rope_theta", 10000.0);
    const size_t D = c->mla_kv_lora_rank ? c->mla_rope_dim : c->D;
    /* Classes whose own parameters have a base ask the file for none. */
    const bool whole =
        strncmp(c->model_type, "apertus", 7) == 0 || strcmp(c->model_type, "cwm") == 0;
    dialect d = of_type(""), local = of_type("");
    mls_status st = read_dialects(r, &d, &local);

    if (st)
        return st;
    if (f && f->own_rope && !mls_config_get(r, "rope_parameters")) {
        d = local = of_type("");
        if (f->own_partial > 0)
            d.number[PARTIAL] = f->own_partial;
    }
    if (!given && f && f->rope.type == MLS_ROPE_DEFAULT && !f->local_rope &&
        json_is_object(mls_fact_peek(&r->keys, "default_rope_parameters")))
        mls_config_unsupported(c, "rope_parameters is missing, and what the class "
                                  "takes instead is not computed");
    if (!given && f && f->rope.type != MLS_ROPE_DEFAULT) {
        c->rope = f->rope;
        c->rope.theta = whole ? theta : or_else(d.number[THETA], theta);
        c->rope.dims = D;
    } else if ((st = make_rope(r, &d, D, theta, &c->rope))) {
        return st;
    }
    /* DeepSeek's scores grow with the square of what YaRN multiplies by. */
    if (c->mla_kv_lora_rank && d.type[0] && strcmp(d.type, "default") != 0 &&
        d.number[MSCALE_ALL] > 0) {
        const double m = mscale(c->rope.factor, d.number[MSCALE_ALL]);

        c->net.score_scale = m * m / sqrt((double)(c->mla_nope_dim + c->mla_rope_dim));
    }
    if (!isnan(d.number[QUERY_BETA])) {
        c->net.query_beta = d.number[QUERY_BETA];
        c->net.query_period = c->rope.original_max_position;
    }
    c->rope_local = c->rope;
    if (!f || !f->local_rope)
        return MLS_OK;
    if (isnan(local.number[THETA]) && mls_net_reads(f, "rope_local_base_freq") &&
        mls_config_get(r, "rope_local_base_freq") &&
        (st = mls_config_real(r, "rope_local_base_freq",
                              mls_config_get(r, "rope_local_base_freq"), 1e-3, 1e15,
                              &local.number[THETA])))
        return st;
    return make_rope(r, &local, D, f->local_theta, &c->rope_local);
}

/* How keys turn changes no byte of the cache: what is wrong here stops no `size`. */
mls_status mls_config_rope(mls_config_reader *r)
{
    mls_err *const outer = r->err;
    const size_t path = strlen(r->path) + 2;
    mls_err e = {0};
    mls_status st;

    r->err = &e;
    st = read_rope(r);
    r->err = outer;
    if (st != MLS_E_INPUT)
        return st;
    mls_config_unsupported(r->config, "%s",
                           strlen(e.text) > path ? e.text + path : e.text);
    r->config->rope = r->config->rope_local =
        (mls_rope_config){.type = MLS_ROPE_OTHER, .theta = 10000, .factor = 1};
    return MLS_OK;
}
