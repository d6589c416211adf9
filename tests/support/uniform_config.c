/* The config of a model whose layers are all alike, without a file. */
#include "tests/support/uniform_config.h"

mls_config uniform_config(size_t L, size_t E, size_t H, size_t G, size_t D)
{
    mls_config c = {.model_type = "llama", .L = L, .E = E, .H = H, .G = G, .D = D};

    mls_config_uniform(&c);
    return c;
}
