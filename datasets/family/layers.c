/*
 * The layers of a model: their number, order and shapes (order.c, heads.c, state.c),
 * who reads whose cache, and how often a layer runs with a cache of its own.
 */
#include "datasets/family/layers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/layers_inner.h"

void mls_layers_doubt(mls_layers *out, const char *format, ...)
{
    va_list args;

    if (out->doubt[0])
        return;
    va_start(args, format);
    vsnprintf(out->doubt, sizeof out->doubt, format, args);
    va_end(args);
}

bool mls_layers_has(const mls_layers_reader *r, const char *key)
{
    return mls_fact_belongs(r->k, key);
}

/* ---- how many ---- */

/* Keys of the file whose name has the part, and their numbers: ", n_layer 12". */
static void name_alike(const mls_layers_reader *r, const char *part, char *out,
                       size_t size)
{
    const char *key;
    json_t *value;
    size_t used = 0;

    out[0] = '\0';
    json_object_foreach(r->k->file, key, value)
    {
        char shown[MLS_JSON_SHOW];

        if (strstr(key, part) && json_is_integer(value) && used + 80 < size)
            used += (size_t)snprintf(out + used, size - used, "%s %s %s",
                                     used ? "," : "; the file has", key,
                                     mls_json_show(shown, value));
    }
}

/* A number that the file of a whole model must say; of heads it may be a list. */
static mls_status must(const mls_layers_reader *r, const char *key, const char *part,
                       size_t max, size_t *out)
{
    char alike[320];

    if (mls_fact_peek(r->k, key) && (!r->whole || mls_fact_given(r->k, key)))
        return strcmp(part, "head") == 0 && json_is_array(mls_fact_peek(r->k, key))
                   ? MLS_OK
                   : mls_fact_whole(r->k, key, 1, max, out);
    name_alike(r, part, alike, sizeof alike);
    return mls_fail(r->k->err, MLS_E_INPUT, "%s: %s is %s%s", r->k->path, key,
                    json_is_null(json_object_get(r->k->file, key)) ? "null" : "missing",
                    alike);
}

/* Nemotron-H counts its layers by the pattern that orders them. */
static bool count_by_pattern(const mls_layers_reader *r, size_t *L)
{
    const json_t *pattern = mls_fact_peek(r->k, "hybrid_override_pattern");
    const json_t *list = mls_fact_peek(r->k, "layers_block_type");

    if (strcmp(r->model_type, "nemotron_h") != 0)
        return false;
    if (!list)
        list = mls_fact_peek(r->k, "layer_types");
    if (list)
        *L = json_array_size(list);
    else if (json_is_string(pattern))
        *L = json_string_length(pattern);
    else
        *L = 4;
    return true;
}

static mls_status read_counts(mls_layers_reader *r)
{
    mls_layers *out = r->out;
    const bool recurrent = r->rule->pattern && strcmp(r->rule->pattern, "l") == 0 &&
                           !mls_layers_has(r, "num_attention_heads");
    size_t heads = 0;
    mls_status st;

    if (strcmp(r->model_type, "longcat_flash") == 0)
        st = must(
            r, mls_fact_peek(r->k, "num_layers") ? "num_layers" : "num_hidden_layers",
            "layer", MLS_LAYERS_MAX, &out->L);
    else if (strcmp(r->model_type, "hrm_text") == 0 &&
             mls_fact_peek(r->k, "num_layers_per_stack"))
        st = mls_fact_whole(r->k, "num_layers_per_stack", 1, MLS_LAYERS_MAX, &out->L);
    else if (count_by_pattern(r, &out->L))
        st = MLS_OK;
    else if (json_is_array(mls_fact_peek(r->k, "block_configs")) &&
             !mls_fact_peek(r->k, "num_hidden_layers")) {
        out->L = json_array_size(mls_fact_peek(r->k, "block_configs"));
        st = MLS_OK;
    } else
        st = must(r, "num_hidden_layers", "layer", MLS_LAYERS_MAX, &out->L);
    if (st || (st = must(r, "hidden_size", "size", MLS_WIDTH_MAX, &out->E)))
        return st;
    if (out->L < 1 || out->L > MLS_LAYERS_MAX)
        return mls_fail(r->k->err, MLS_E_INPUT, "%s: %zu layers, expected 1 to %d",
                        r->k->path, out->L, MLS_LAYERS_MAX);
    return recurrent || strcmp(r->model_type, "jetmoe") == 0
               ? MLS_OK
               : must(r, "num_attention_heads", "head", MLS_HEADS_MAX, &heads);
}

/* ---- who reads whose cache ---- */

/* The last n layers read the last earlier layer of their own kind. */
static void share_last(mls_layers_reader *r, size_t n)
{
    mls_layers *out = r->out;
    const size_t first = n < out->L ? out->L - n : 0;

    for (size_t l = first; l < out->L; l++)
        for (size_t from = first; from-- > 0;)
            if (r->letter[from] == r->letter[l]) {
                out->layer[l].reads_other = true;
                out->layer[l].other = (uint16_t)from;
                break;
            }
}

/* Each layer reads the cache of the layer that a list names: Mistral Large 4. */
static mls_status share_sources(mls_layers_reader *r, const json_t *list)
{
    if (json_array_size(list) != r->out->L)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: kv_source_layers has %zu items, expected "
                        "num_hidden_layers %zu",
                        r->k->path, json_array_size(list), r->out->L);
    for (size_t l = 0; l < r->out->L; l++) {
        size_t from;
        const mls_status st = mls_fact_whole_of(r->k, "kv_source_layers[]",
                                                json_array_get(list, l), 0, l, &from);

        if (st)
            return st;
        r->out->layer[l].reads_other = from != l;
        r->out->layer[l].other = (uint16_t)from;
    }
    return MLS_OK;
}

static mls_status share(mls_layers_reader *r)
{
    const json_t *sources = mls_layers_has(r, "kv_source_layers")
                                ? mls_fact(r->k, "kv_source_layers")
                                : NULL;
    size_t n = 0, factor = 0;
    bool cla = false;
    mls_status st;

    if (sources)
        return share_sources(r, sources);
    if (mls_layers_has(r, "num_kv_shared_layers") &&
        (st = mls_fact_whole(r->k, "num_kv_shared_layers", 0, r->out->L, &n)))
        return st;
    share_last(r, n);
    /* Hunyuan: of cla_share_factor layers the first has a cache. */
    if ((st = mls_fact_flag(r->k, "use_cla", &cla)) || !cla)
        return st;
    if ((st = mls_fact_whole(r->k, "cla_share_factor", 1, MLS_LAYERS_MAX, &factor)))
        return st;
    for (size_t l = 0; factor && l < r->out->L; l++) {
        r->out->layer[l].reads_other = l % factor != 0;
        r->out->layer[l].other = (uint16_t)(l - l % factor);
    }
    return MLS_OK;
}

/* Indexers whose choice a layer takes from an earlier one keep no keys there. */
static mls_status share_indexers(mls_layers_reader *r)
{
    const json_t *types = mls_fact(r->k, "indexer_types");
    const json_t *pattern = mls_fact(r->k, "index_topk_pattern");
    size_t every = 1, skip = 2;
    mls_status st;

    if ((st = mls_fact_whole(r->k, "index_topk_freq", 0, MLS_LAYERS_MAX, &every)) ||
        (st = mls_fact_whole(r->k, "index_skip_topk_offset", 0, MLS_LAYERS_MAX, &skip)))
        return st;
    if (!types && !pattern && strncmp(r->model_type, "hy_v4", 5) == 0) {
        every = 4; /* of the class */
        skip = 2;
    }
    for (size_t l = 0; l < r->out->L; l++) {
        const json_t *one = json_array_get(types ? types : pattern, l);
        const char *word = json_string_value(one);
        bool full = every <= 1 || (l + 1 > skip ? l + 1 - skip : 0) % every == 0;

        if (word)
            full = word[0] == 'f' || word[0] == 'F';
        else if (json_is_string(pattern) && json_string_length(pattern) > l)
            full = json_string_value(pattern)[l] == 'F';
        if (!full)
            r->out->layer[l].index = (mls_layer_extra){0};
    }
    return MLS_OK;
}

/* ---- how often ---- */

/* Layers first .. end-1 have n caches each. */
static void repeat(mls_layers *out, size_t first, size_t end, size_t n)
{
    for (size_t l = first; l < end && l < out->L; l++)
        out->layer[l].copies = (uint16_t)n;
}

/* Looped and stacked models: each pass has a cache of its own. */
static mls_status loops(mls_layers_reader *r)
{
    mls_layers *out = r->out;
    size_t steps = 1, high = 2, low = 3, first = 0, n = 0, tail = 0;
    mls_status st;

    if ((st = mls_fact_whole(r->k, "total_ut_steps", 1, 1024, &steps)))
        return st;
    repeat(out, 0, out->L, steps);
    if (strcmp(r->model_type, "falcon") == 0) { /* as transformers keeps them */
        bool new_decoder = false;

        if ((st = mls_fact_flag(r->k, "new_decoder_architecture", &new_decoder)))
            return st;
        if (new_decoder)
            repeat(out, 0, out->L, out->layer[0].H / out->layer[0].G);
    }
    if (strcmp(r->model_type, "longcat_flash") == 0)
        repeat(out, 0, out->L, 2); /* two attentions a layer */
    if (strcmp(r->model_type, "hrm_text") == 0) {
        if ((st = mls_fact_whole(r->k, "H_cycles", 1, 64, &high)) ||
            (st = mls_fact_whole(r->k, "L_cycles", 1, 64, &low)))
            return st;
        repeat(out, 0, out->L, high * (low + 1));
    }
    if (strcmp(r->model_type, "inkling2_loop_text") == 0) {
        tail = out->L;
        if ((st = mls_fact_whole(r->k, "loop_layer_index_start", 0, out->L, &first)) ||
            (st = mls_fact_whole(r->k, "loop_layer_index_end", 0, out->L, &tail)) ||
            (st = mls_fact_whole(r->k, "loop_num_passes", 1, 1024, &steps)))
            return st;
        repeat(out, first, tail, steps);
    }
    if (strcmp(r->model_type, "dory") == 0) {
        const char *mode = json_string_value(mls_fact(r->k, "recurrent_kv_cache_mode"));

        if ((st = mls_fact_whole(r->k, "n_input_layers", 0, out->L, &first)) ||
            (st = mls_fact_whole(r->k, "n_output_layers", 0, out->L, &tail)) ||
            (st = mls_fact_whole(r->k, "n_recurrent_loops", 1, 1024, &steps)))
            return st;
        n = out->L > first + tail ? out->L - first - tail : 0;
        if ((st = mls_fact_whole(r->k, "n_recurrent_layers", 0, out->L, &n)))
            return st;
        if (!mode || strcmp(mode, "per_loop") == 0)
            repeat(out, first, first + n, steps);
    }
    return MLS_OK;
}

/* ---- all ---- */

static mls_status read_all(mls_layers_reader *r)
{
    mls_status st;

    if ((st = read_counts(r)) || (st = mls_layers_order(r)) ||
        (st = mls_layers_heads(r)) || (st = mls_layers_states(r)) ||
        (st = share_indexers(r)) || (st = loops(r)))
        return st;
    return share(r);
}

/* What the reader did not understand: a family, or a key. */
static void judge(mls_layers_reader *r, const char *model_type)
{
    const char *key = mls_facts_doubtful(r->k);
    char shown[MLS_JSON_SHOW];

    if (key && r->k->class && strcmp(key, "sliding_window") == 0)
        mls_layers_doubt(
            r->out,
            "sliding_window is %.40s, which the class of model_type \"%.60s\" does not "
            "read: its attention sees every token, and transformers' cache keeps the "
            "window's",
            mls_json_show(shown, json_object_get(r->k->file, key)), model_type);
    else if (key)
        mls_layers_doubt(
            r->out,
            "the key %.80s is not understood for model_type \"%.60s\" (its "
            "value is %.40s)",
            key, model_type, mls_json_show(shown, json_object_get(r->k->file, key)));
}

/* No Transformer keeps nothing at all: a key was not understood. */
static mls_status refuse_empty(const mls_layers_reader *r)
{
    for (size_t l = 0; l < r->out->L; l++) {
        const mls_layer_shape *s = &r->out->layer[l];

        if (mls_layer_numbers(s) > 0 || s->conv_numbers + s->state_numbers > 0)
            return MLS_OK;
    }
    return mls_fail(r->k->err, MLS_E_INPUT,
                    "%s: none of the %zu layers has attention or a state that is kept",
                    r->k->path, r->out->L);
}

mls_status mls_layers_read(mls_layers *out, const mls_facts *k, const char *model_type,
                           bool whole)
{
    mls_layers_reader *r = calloc(1, sizeof *r);
    mls_status st;

    if (!r)
        return mls_fail(k->err, MLS_E_NOMEM, "no memory to read the layers of %s",
                        k->path);
    memset(out, 0, sizeof *out);
    r->k = k;
    r->model_type = mls_family_like(model_type);
    r->rule = mls_layer_rule_find(r->model_type);
    r->out = out;
    r->whole = whole;
    st = read_all(r);
    if (!st)
        st = refuse_empty(r);
    if (!st)
        judge(r, model_type);
    free(r);
    return st;
}
