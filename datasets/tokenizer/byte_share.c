/*
 * Bytes of characters that a vocabulary has no token for: <0xE4> where SentencePiece
 * falls back to bytes; in byte-level vocabularies a token that is one byte of 0x80 or
 * more, which GPT-2's alphabet shows as one character (bytes 0xA1 to 0xFF but 0xAD as
 * themselves, 0x80 to 0xA0 as U+0122 to U+0142, 0xAD as U+0143).
 */
#include <string.h>

#include "datasets/tokenizer/tokenizer.h"

static bool is_fallback(const char *token)
{
    return token && strlen(token) == 6 && strncmp(token, "<0x", 3) == 0 &&
           token[5] == '>';
}

/* One character of two bytes in UTF-8, which stands for a byte of 0x80 or more. */
static bool is_high_byte(const char *token)
{
    if (!token || strlen(token) != 2 || ((unsigned char)token[0] & 0xE0) != 0xC0)
        return false;
    const unsigned c =
        ((unsigned char)token[0] & 0x1Fu) << 6 | ((unsigned char)token[1] & 0x3Fu);

    return (c >= 0xA1 && c <= 0xFF && c != 0xAD) || (c >= 0x122 && c <= 0x143);
}

double mls_tokenizer_byte_share(const mls_tokenizer *tok, const int32_t *ids, size_t n)
{
    const size_t V = mls_tokenizer_vocabulary(tok);
    bool falls_back = false, byte_level = false;
    size_t bytes = 0;

    for (size_t v = 0; v < V; v++) {
        const char *token = mls_tokenizer_token(tok, (int32_t)v);

        falls_back |= is_fallback(token);
        byte_level |= token && strncmp(token, "\xC4\xA0", 2) == 0; /* a space */
    }
    for (size_t i = 0; i < n && (falls_back || byte_level); i++) {
        const char *token = mls_tokenizer_token(tok, ids[i]);

        bytes += falls_back ? is_fallback(token) : is_high_byte(token);
    }
    return n ? (double)bytes / (double)n : 0;
}
