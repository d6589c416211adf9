/*
 * Ids and sizes are ggml.c's type_traits. What has no decoder is known by its size, so
 * that the file around it can be read.
 */
#include "datasets/files/ggml_types.h"

#include <string.h>

#include "datasets/files/ggml_blocks.h"

/* ggml.c, type_traits. Types that are known by size only have no decoder. */
static const mls_ggml_type types[] = {
    {0, "F32", 1, 4, NULL, NULL},
    {1, "F16", 1, 2, NULL, NULL},
    {2, "Q4_0", 32, 18, &mls_ggml_q4_0, NULL},
    {3, "Q4_1", 32, 20, &mls_ggml_q4_1, NULL},
    {6, "Q5_0", 32, 22, &mls_ggml_q5_0, NULL},
    {7, "Q5_1", 32, 24, &mls_ggml_q5_1, NULL},
    {8, "Q8_0", 32, 34, &mls_ggml_q8_0, NULL},
    {9, "Q8_1", 32, 36, NULL, NULL},
    {10, "Q2_K", 256, 84, NULL, mls_ggml_decode_q2_k},
    {11, "Q3_K", 256, 110, NULL, mls_ggml_decode_q3_k},
    {12, "Q4_K", 256, 144, NULL, mls_ggml_decode_q4_k},
    {13, "Q5_K", 256, 176, NULL, mls_ggml_decode_q5_k},
    {14, "Q6_K", 256, 210, NULL, mls_ggml_decode_q6_k},
    {15, "Q8_K", 256, 292, NULL, mls_ggml_decode_q8_k},
    {16, "IQ2_XXS", 256, 66, NULL, mls_ggml_decode_iq2_xxs},
    {17, "IQ2_XS", 256, 74, NULL, mls_ggml_decode_iq2_xs},
    {18, "IQ3_XXS", 256, 98, NULL, mls_ggml_decode_iq3_xxs},
    {19, "IQ1_S", 256, 50, NULL, mls_ggml_decode_iq1_s},
    {20, "IQ4_NL", 32, 18, &mls_ggml_iq4_nl, NULL},
    {21, "IQ3_S", 256, 110, NULL, mls_ggml_decode_iq3_s},
    {22, "IQ2_S", 256, 82, NULL, mls_ggml_decode_iq2_s},
    {23, "IQ4_XS", 256, 136, NULL, mls_ggml_decode_iq4_xs},
    {24, "I8", 1, 1, NULL, NULL},
    {25, "I16", 1, 2, NULL, NULL},
    {26, "I32", 1, 4, NULL, NULL},
    {27, "I64", 1, 8, NULL, NULL},
    {28, "F64", 1, 8, NULL, NULL},
    {29, "IQ1_M", 256, 56, NULL, mls_ggml_decode_iq1_m},
    {30, "BF16", 1, 2, NULL, NULL},
    {34, "TQ1_0", 256, 54, NULL, mls_ggml_decode_tq1_0},
    {35, "TQ2_0", 256, 66, NULL, mls_ggml_decode_tq2_0},
    {39, "MXFP4", 32, 17, &mls_ggml_mxfp4, NULL},
    {40, "NVFP4", 64, 36, NULL, NULL},
    {41, "Q1_0", 128, 18, NULL, NULL},
    {42, "Q2_0", 64, 18, NULL, NULL},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

const mls_ggml_type *mls_ggml_type_of(uint32_t id)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const mls_ggml_type *mls_ggml_type_named(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

bool mls_ggml_decodes(const mls_ggml_type *t)
{
    return t->small || t->super;
}

void mls_ggml_decode(const mls_ggml_type *t, const uint8_t *block, float *x)
{
    if (t->small)
        t->small->decode(block, x);
    else
        t->super(block, x);
}
