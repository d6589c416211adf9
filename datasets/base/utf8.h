/* UTF-8: is it valid, and what is the next code point. */
#ifndef MLS_UTF8_H
#define MLS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Offset of the first byte that is not UTF-8 (Unicode 3.9, D92); len when all is. */
size_t mls_utf8_check(const char *text, size_t len);

/** The code point at *i of valid UTF-8, and *i moved behind it; *i < len. */
int32_t mls_utf8_next(const char *text, size_t len, size_t *i);

/** Start of the code point that ends at i > 0. */
size_t mls_utf8_before(const char *text, size_t i);

/** Write a code point as UTF-8; the number of bytes, 1..4. */
size_t mls_utf8_put(int32_t code_point, char out[4]);

/** Unicode's White_Space property (PropList.txt, the same since Unicode 6.3). */
bool mls_is_white_space(int32_t code_point);

#endif
