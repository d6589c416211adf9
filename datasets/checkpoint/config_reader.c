/* How the parts of the config reader take a value and say what they cannot. */
#include "datasets/checkpoint/config_reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "datasets/base/json.h"

json_t *mls_config_get(const mls_config_reader *r, const char *key)
{
    json_t *v = json_object_get(r->inner, key);

    if ((!v || json_is_null(v)) && r->inner != r->outer)
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
