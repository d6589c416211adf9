/* libFuzzer: the header of a safetensors file; data of as many bytes as it asks for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/safetensors_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mls_tensor_table table;
    mls_err err = {0};
    uint64_t bytes = 0;
    char *header;

    if (size < 2)
        return 0;
    memcpy(&bytes, data, 2); /* the data's length comes first */
    header = malloc(size - 2 ? size - 2 : 1);
    if (!header)
        return 0;
    memcpy(header, data + 2, size - 2);
    if (mls_tensor_table_parse(&table, header, size - 2, bytes, "fuzz", &err)) {
        if (!err.text[0] || table.tensor)
            abort();
        return 0;
    }
    for (size_t i = 0; i < table.n; i++) {
        const mls_tensor_info *t = &table.tensor[i];

        if (mls_tensor_table_find(&table, t->name) != t || t->offset > bytes ||
            t->n_bytes > bytes - t->offset)
            abort();
    }
    mls_tensor_table_free(&table);
    return 0;
}
