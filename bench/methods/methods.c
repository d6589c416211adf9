/* The list of methods. */
#include <stdio.h>
#include <string.h>

#include "bench/frame/method.h"
#include "common/base/words.h"

const mls_method *const mls_methods[] = {
    &mls_method_baseline,
    &mls_method_mha2mla,
    &mls_method_elitekv,
    &mls_method_x_ecomla,
    &mls_method_transmla,
    &mls_method_gqa2mla,
    &mls_method_lorc,
    &mls_method_asvd,
    &mls_method_svdllm,
    &mls_method_palu,
    &mls_method_eigen,
    &mls_method_matryoshka,
    &mls_method_care,
    &mls_method_kqsvd,
    &mls_method_lillama,
    &mls_method_kvsharer,
    &mls_method_dbudgetkv,
    &mls_method_kq,
    NULL,
};

mls_status mls_method_find(const mls_method **out, const char *name, mls_err *err)
{
    const char *names[sizeof mls_methods / sizeof mls_methods[0]];
    size_t n = 0;

    for (; mls_methods[n]; n++) {
        if (strcmp(mls_methods[n]->name, name) == 0) {
            *out = mls_methods[n];
            return MLS_OK;
        }
        names[n] = mls_methods[n]->name;
    }
    names[n] = NULL;
    *out = NULL;
    if (strcmp(name, mls_method_converted.name) == 0) {
        *out = &mls_method_converted;
        return MLS_OK;
    }

    char suggestion[MLS_SUGGESTION];

    return mls_fail(err, MLS_E_ARG, "there is no method \"%s\"%s", name,
                    mls_suggest(name, names, suggestion));
}

bool mls_method_by_data(const mls_setting *s)
{
    const mls_method *method;

    return !mls_method_find(&method, s->method, NULL) && mls_keys_open(method->keys, s);
}
