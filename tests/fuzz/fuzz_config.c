/* libFuzzer: config.json. */
#include <stdint.h>
#include <stdlib.h>

#include "datasets/checkpoint/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mls_config c;
    mls_err err = {0};

    if (mls_config_parse(&c, (const char *)data, size, "fuzz", &err)) {
        if (!err.text[0])
            abort();
        return 0;
    }
    if (c.L < 1 || c.L > MLS_LAYERS_MAX || c.H < 1 || c.H > MLS_HEADS_MAX || c.G < 1 ||
        c.D < 1 || c.D > MLS_DIM_MAX || c.V > MLS_VOCAB_MAX ||
        (!c.unsupported[0] && (c.D % 2 || c.V < 1)) || c.E < 1 || c.E > MLS_WIDTH_MAX ||
        !(c.rope.theta > 0))
        abort();
    for (size_t l = 0; l < c.L; l++) /* the heads of an MLA layer are all its own */
        if (c.layer[l].kind == MLS_LAYER_ATTENTION && c.layer[l].H % c.layer[l].G)
            abort();
    return 0;
}
