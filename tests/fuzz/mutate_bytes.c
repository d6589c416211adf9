/*
 * Mutations of a binary file whose parts point at each other: bytes are changed where
 * they are, some to values that lengths and addresses stumble over. One try in sixteen
 * is libFuzzer's own, which also inserts and cuts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const uint8_t telling[] = {0, 1, 2, 4, 8, 16, 0x7f, 0x80, 0xfe, 0xff};
    uint64_t state = seed;
    size_t n;

    state = state * 6364136223846793005U + 1442695040888963407U;
    if (size == 0 || state >> 60 == 0)
        return LLVMFuzzerMutate(data, size, max);
    for (n = 1 + (state >> 40) % 6; n > 0; n--) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        const size_t at = (state >> 33) % size;
        const unsigned kind = (state >> 28) % 4;

        if (kind == 0)
            data[at] ^= (uint8_t)(1U << (state >> 20) % 8);
        else if (kind == 1)
            data[at] = telling[(state >> 20) % sizeof telling];
        else if (kind == 2)
            data[at] = (uint8_t)(state >> 20);
        else /* a whole word, as of another place */
            memmove(data + at, data + (state >> 13) % size,
                    size - at < 8 || size - (state >> 13) % size < 8 ? 0 : 8);
    }
    return size;
}
