/* The config.json of a sound Llama, changed key by key. */
#include "tests/support/config_fixture.h"

char *config_with(const char *patch)
{
    json_t *config, *change, *v;
    const char *key;
    char *text;

    assert_ok(mls_json_parse(&config, base_config, strlen(base_config), "base", &err));
    assert_ok(mls_json_parse(&change, patch, strlen(patch), patch, &err));
    json_object_foreach(change, key, v)
    {
        if (json_is_string(v) && strcmp(json_string_value(v), "(none)") == 0)
            json_object_del(config, key);
        else
            json_object_set(config, key, v);
    }
    text = json_dumps(config, 0);
    json_decref(change);
    json_decref(config);
    return text;
}

mls_config read_with(const char *patch)
{
    char *text = config_with(patch);
    mls_config c;
    mls_err e = {0};

    if (mls_config_parse(&c, text, strlen(text), "config.json", &e))
        fail_msg("%s: %s", patch, e.text);
    free(text);
    return c;
}
