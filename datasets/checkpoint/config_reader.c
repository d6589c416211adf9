/* How the parts of the config reader take a value and say what they cannot. */
#include "datasets/checkpoint/config_reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "datasets/base/json.h"

/* Keys that the file of a whole model says for the text model inside, too. */
static bool is_outer(const char *key)
{
    static const char *const outer[] = {"architectures", "torch_dtype",
                                        "dtype",         "tie_word_embeddings",
                                        "bos_token_id",  "eos_token_id"};

    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++)
        if (strcmp(key, outer[i]) == 0)
            return true;
    return false;
}

json_t *mls_config_get(const mls_config_reader *r, const char *key)
{
    json_t *v = mls_fact(&r->keys, key);

    if (!v && r->inner != r->outer && is_outer(key))
        v = json_object_get(r->outer, key);
    return v && !json_is_null(v) ? v : NULL;
}

void mls_config_unsupported(mls_config *config, const char *format, ...)
{
    va_list args;

    if (config->unsupported[0])
        return;
    va_start(args, format);
    vsnprintf(config->unsupported, sizeof config->unsupported, format, args);
    va_end(args);
}

mls_status mls_config_real(const mls_config_reader *r, const char *key,
                           const json_t *value, double min, double max, double *out)
{
    char shown[MLS_JSON_SHOW];
    const double x = json_number_value(value); /* 0 for what is not a number */

    if (!json_is_number(value) || !(x >= min && x <= max))
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: %s is %s, expected a number from %g to %g", r->path, key,
                        mls_json_show(shown, value), min, max);
    *out = x;
    return MLS_OK;
}
