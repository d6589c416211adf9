/* Sizes from files are untrusted: multiply and add them here before taking memory. */
#ifndef MLS_CHECKED_H
#define MLS_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** *out = a * b or a + b; false when it does not fit, and then *out is left alone. */
bool mls_mul_size(size_t *out, size_t a, size_t b);
bool mls_add_size(size_t *out, size_t a, size_t b);
bool mls_mul_u64(uint64_t *out, uint64_t a, uint64_t b);
bool mls_add_u64(uint64_t *out, uint64_t a, uint64_t b);

/**
 * Zeroed memory for a * b * c elements of size bytes; NULL when the product overflows
 * or memory is short. Release with free(). A product of 0 gives a pointer, not NULL.
 */
void *mls_calloc3(size_t a, size_t b, size_t c, size_t size);

/** free() for each of some pointers; NULL among them is accepted. */
#define mls_free_all(...)                                                              \
    mls_free_each((void *[]){__VA_ARGS__},                                             \
                  sizeof((void *[]){__VA_ARGS__}) / sizeof(void *))
void mls_free_each(void *const *p, size_t n);

#endif
