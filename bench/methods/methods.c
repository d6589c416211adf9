/* The list of methods. */
#include <string.h>

#include "bench/frame/method.h"
#include "common/base/words.h"

/* In the order of tables; a method is its file and its line here. */
#define EACH_METHOD(M)                                                                 \
    M(baseline)                                                                        \
    M(mha2mla)                                                                         \
    M(elitekv)                                                                         \
    M(x_ecomla)                                                                        \
    M(transmla)                                                                        \
    M(gqa2mla)                                                                         \
    M(lorc)                                                                            \
    M(asvd)                                                                            \
    M(svdllm)                                                                          \
    M(palu)                                                                            \
    M(eigen)                                                                           \
    M(matryoshka)                                                                      \
    M(care)                                                                            \
    M(kqsvd)                                                                           \
    M(lillama)                                                                         \
    M(kvsharer)                                                                        \
    M(dbudgetkv)                                                                       \
    M(kq)                                                                              \
    M(truncate)

#define DECLARE(name) extern const mls_method mls_method_##name;
#define LISTED(name) &mls_method_##name,

EACH_METHOD(DECLARE)
const mls_method *const mls_methods[] = {EACH_METHOD(LISTED) NULL};

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
