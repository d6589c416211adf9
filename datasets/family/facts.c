/*
 * One object from three: the class's defaults, the file's keys over them, and older
 * names turned into the one that the class reads. transformers does the same when it
 * builds a config object: a key that the file has counts, null included, and only a key
 * that is missing takes the class's default (configuration_utils.py).
 */
#include "datasets/family/facts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/rules.h"

/* Spellings that configs outside transformers use for the same. */
static const char any_names[] =
    "n_layer=num_hidden_layers n_layers=num_hidden_layers num_layers=num_hidden_layers "
    "n_head=num_attention_heads n_heads=num_attention_heads "
    "num_heads=num_attention_heads n_embd=hidden_size d_model=hidden_size "
    "num_transformer_layers=num_hidden_layers num_query_heads=num_attention_heads "
    "n_embed=hidden_size "
    "model_dim=hidden_size n_kv_heads=num_key_value_heads "
    "num_kv_heads=num_key_value_heads n_head_kv=num_key_value_heads "
    "multi_query_group_num=num_key_value_heads "
    "num_attention_groups=num_key_value_heads "
    "kv_channels=head_dim attention_head_dim=head_dim attention_head_size=head_dim";

const mls_class *mls_class_find(const char *model_type)
{
    for (size_t i = 0; i < mls_classes_n; i++)
        if (strcmp(mls_classes[i].model_type, model_type) == 0)
            return &mls_classes[i];
    return NULL;
}

/* The row's JSON, written with ' for ". */
static json_t *class_defaults(const mls_class *class)
{
    char *text = strdup(class->defaults);
    json_error_t e;
    bool no_memory;
    json_t *out;

    if (!text)
        return NULL;
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    out = mls_json_load(text, strlen(text), 0, &e, &no_memory);
    free(text);
    return out;
}

/* The next pair of "old=new ...", or false: no more. */
static bool next_pair(const char **names, char old[64], char new[64])
{
    const char *at = *names;

    if (!at || !*at)
        return false;
    const size_t n = strcspn(at, " "), eq = strcspn(at, "=");

    snprintf(old, 64, "%.*s", (int)eq, at);
    snprintf(new, 64, "%.*s", (int)(n - eq - 1), at + eq + 1);
    *names = at + n + (at[n] == ' ');
    return true;
}

/*
 * Gives a value under either of two names the other, too: a class takes both, and which
 * of them its readers here ask for differs. false: no memory.
 */
static bool rename_keys(const char *names, json_t *object)
{
    char name[2][64];

    while (next_pair(&names, name[0], name[1]))
        for (int i = 0; i < 2; i++) {
            json_t *value = json_object_get(object, name[i]);

            if (value && !json_object_get(object, name[!i]) &&
                json_object_set(object, name[!i], value))
                return false;
        }
    return true;
}

/* Names beside the class's own: of a model_type that is no class. */
static const char *more_names(const mls_facts *k)
{
    return !k->class || k->alike ? any_names : NULL;
}

/* Old names become new ones; a key that is there under both keeps the new one. */
static mls_status fill(mls_facts *k)
{
    const bool has_defaults = k->class && k->class->defaults;
    json_t *file = json_object(); /* json_copy() loses keys without memory */

    k->defaults = has_defaults ? class_defaults(k->class) : NULL;
    k->full = json_object();
    k->asked = json_object();
    const bool made = file && k->full && k->asked &&
                      !json_object_update(file, k->file) &&
                      (k->defaults || !has_defaults) &&
                      rename_keys(k->class ? k->class->names : NULL, file) &&
                      rename_keys(more_names(k), file) &&
                      (!k->defaults || (rename_keys(k->class->names, k->defaults) &&
                                        !json_object_update(k->full, k->defaults))) &&
                      !json_object_update(k->full, file);

    json_decref(file);
    return made
               ? MLS_OK
               : mls_fail(k->err, MLS_E_NOMEM, "no memory for the keys of %s", k->path);
}

mls_status mls_facts_init(mls_facts *k, const char *path, json_t *file,
                          const char *model_type, mls_err *err)
{
    const char *like = mls_family_like(model_type);

    *k = (mls_facts){.path = path,
                     .file = file,
                     .class = mls_class_find(like),
                     .alike = strcmp(like, model_type) != 0,
                     .err = err};
    return fill(k);
}

void mls_facts_free(mls_facts *k)
{
    json_decref(k->full);
    json_decref(k->asked);
    json_decref(k->defaults);
    *k = (mls_facts){0};
}

json_t *mls_fact_peek(const mls_facts *k, const char *name)
{
    json_t *v = json_object_get(k->full, name);

    return v && !json_is_null(v) ? v : NULL;
}

json_t *mls_fact(const mls_facts *k, const char *name)
{
    json_object_set_new(k->asked, name, json_true());
    return mls_fact_peek(k, name);
}

/* Whether the object has the other name of a pair. */
static bool has_other_name(const char *names, const char *name, const json_t *object)
{
    char old[64], new[64];

    while (next_pair(&names, old, new))
        if ((strcmp(new, name) == 0 && json_object_get(object, old)) ||
            (strcmp(old, name) == 0 && json_object_get(object, new)))
            return true;
    return false;
}

/* Another word for a key that readers asked for, with that key's value. */
static bool is_other_word(const mls_facts *k, const char *key, const json_t *value)
{
    const char *names = more_names(k);
    char old[64], new[64];

    while (next_pair(&names, old, new))
        if (strcmp(old, key) == 0 && json_object_get(k->asked, new) &&
            json_equal(value, json_object_get(k->full, new)))
            return true;
    return false;
}

bool mls_fact_given(const mls_facts *k, const char *name)
{
    return json_object_get(k->file, name) != NULL ||
           has_other_name(k->class ? k->class->names : NULL, name, k->file) ||
           has_other_name(more_names(k), name, k->file);
}

bool mls_fact_belongs(const mls_facts *k, const char *name)
{
    return !k->defaults || json_object_get(k->defaults, name) ||
           has_other_name(k->class->names, name, k->defaults);
}

mls_status mls_fact_whole_of(const mls_facts *k, const char *name, const json_t *value,
                             size_t min, size_t max, size_t *out)
{
    char shown[MLS_JSON_SHOW];

    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)min ||
        json_integer_value(value) > (json_int_t)max)
        return mls_fail(k->err, MLS_E_INPUT,
                        "%s: %s is %s, expected a whole number from %zu to %zu",
                        k->path, name, mls_json_show(shown, value), min, max);
    *out = (size_t)json_integer_value(value);
    return MLS_OK;
}

mls_status mls_fact_whole(const mls_facts *k, const char *name, size_t min, size_t max,
                          size_t *out)
{
    const json_t *v = mls_fact(k, name);

    return v ? mls_fact_whole_of(k, name, v, min, max, out) : MLS_OK;
}

mls_status mls_fact_flag(const mls_facts *k, const char *name, bool *out)
{
    const json_t *v = mls_fact(k, name);
    char shown[MLS_JSON_SHOW];

    if (!v)
        return MLS_OK;
    if (!json_is_boolean(v))
        return mls_fail(k->err, MLS_E_INPUT, "%s: %s is %s, expected true or false",
                        k->path, name, mls_json_show(shown, v));
    *out = json_is_true(v);
    return MLS_OK;
}

/* ---- what nobody understood ---- */

/* Parts of names of keys that change what is cached. */
static const char *const telling[] = {
    "linear_",
    "ssm",
    "conv",
    "indexer",
    "index_",
    "sparse",
    "share",
    "swa",
    "window",
    "interval",
    "pattern",
    "loop",
    "mamba",
    "recurrent",
    "kda",
    "delta",
    "gdn",
    "rwkv",
    "wkv",
    "layer_types",
    "block_type",
    "chunk_size",
    "local_att",
    "global_att",
    "full_att",
    "cross_att",
    "kv_",
    "_kv",
    "compress",
    "_ut_",
    "lightning",
    "retention",
    "hybrid",
    "cla_",
    "layer_group",
    "attn_type",
    "attention_type",
    "key_value",
    "state_size",
    "d_state",
    "num_memory",
    "per_layer",
    "head_dim",
    "value_dim",
    "key_dim",
    "dilat",
    "eviction",
    "depth_recur",
};

/* Parts of names that such a key may have, too, and then changes no byte. */
static const char *const soothing[] = {
    "bias",
    "norm",
    "alpha",
    "beta",
    "dropout",
    "_act",
    "expert",
    "moe_",
    "theta",
    "rope_s",
    "topk",
    "top_k",
    "_init",
    "initializ",
    "scal",
    "_eps",
    "mlp",
    "chunk_size_feed",
    "_intermediate_size",
    "interleave",
};

/* Whole names of the same kind. */
static const char *const innocent[] = {
    "activation_sparsity_pattern",
    "decoder_sparse_step",
    "hidden_size_per_layer_input",
    "kv_cache_scheme",
    "mamba_chunk_size",
    "vocab_size_per_layer_input",
    "share_expert_dim",
    "chunk_size",
    "mtp_transformer_layers",
    "share_q_dim",
    "num_gqa_groups",
    "qkv_multipliers",
    "share_input_output_layers",
};

/* Keys of which 1 says that nothing is left out. */
static const char *const off_at_1[] = {"compression_ratio", "full_attn_mod"};

static bool is_off(const char *key, const json_t *value)
{
    for (size_t i = 0; i < sizeof off_at_1 / sizeof off_at_1[0]; i++)
        if (strcmp(key, off_at_1[i]) == 0 && json_number_value(value) == 1)
            return true;
    return json_is_null(value) || json_is_false(value) ||
           (json_is_integer(value) && json_integer_value(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* In any case of letters, and with dots and dashes as the file has them. */
static bool tells(const char *key)
{
    char low[128];
    size_t n = 0;

    for (; key[n] && n + 1 < sizeof low; n++)
        low[n] = (char)tolower((unsigned char)key[n]);
    low[n] = '\0';
    for (size_t i = 0; i < sizeof innocent / sizeof innocent[0]; i++)
        if (strcmp(low, innocent[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof soothing / sizeof soothing[0]; i++)
        if (strstr(low, soothing[i]))
            return false;
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
        if (strstr(low, telling[i]))
            return true;
    return false;
}

/* Whether a list of words with one space between has the word. */
static bool has_word(const char *words, const char *word)
{
    const size_t n = strlen(word);

    while (words && *words) {
        const size_t m = strcspn(words, " ");

        if (m == n && memcmp(words, word, n) == 0)
            return true;
        words += m + (words[m] == ' ');
    }
    return false;
}

bool mls_fact_known(const mls_facts *k, const char *name)
{
    return k->class && (mls_fact_belongs(k, name) || has_word(k->class->knows, name));
}

const char *mls_facts_doubtful(const mls_facts *k)
{
    const char *key;
    json_t *value;

    json_object_foreach(k->file, key, value)
    {
        const bool twin = key[0] == '_' /* what an object keeps for itself */
                          && json_equal(json_object_get(k->file, key + 1), value);

        if (!is_off(key, value) && tells(key) && !json_object_get(k->asked, key) &&
            !mls_fact_known(k, key) && !twin && !is_other_word(k, key, value))
            return key;
    }
    return NULL;
}
