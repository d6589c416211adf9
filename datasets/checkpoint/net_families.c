/*
 * A row of every file of the families, by its model_type; keys are words of one text.
 */
#include "datasets/checkpoint/net_families.h"

#include <string.h>

#include "datasets/checkpoint/net_rows.h"

const mls_net_family *mls_net_find(const char *model_type)
{
    static const mls_net_rows *const all[] = {&mls_net_dense,  &mls_net_gemma,
                                              &mls_net_gpt2,   &mls_net_experts,
                                              &mls_net_hybrid, &mls_net_latent};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (size_t k = 0; k < all[i]->n; k++)
            if (strcmp(all[i]->row[k].model_type, model_type) == 0)
                return &all[i]->row[k];
    return NULL;
}

bool mls_net_reads(const mls_net_family *f, const char *key)
{
    const size_t n = strlen(key);

    for (const char *at = f->keys; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, key, n) == 0 && (at[n] == ' ' || at[n] == '\0'))
            return true;
    }
    return false;
}
