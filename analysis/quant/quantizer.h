/* Cache quantizers: what each format does to numbers, and what it costs to the bit. */
#ifndef MLS_QUANTIZER_H
#define MLS_QUANTIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct mls_quant_format mls_quant_format;

/**
 * Parameters of one format. A plain value; {0} with format NULL means 16-bit, no loss.
 */
typedef struct mls_quant {
    const mls_quant_format *format; /* from mls_quant_parse(); NULL: none */
    unsigned bits; /* payload bits per number, where the format lets you choose */
    size_t group;  /* numbers that share a scale; 0: the whole vector (or channel) */
    size_t window; /* newest tokens kept in 16 bits (residual) */
    size_t sinks;  /* first tokens kept in 16 bits */
    bool rotate;   /* Hadamard over the vector before quantizing */
    uint64_t seed; /* formats with a random rotation or sketch */
} mls_quant;

/**
 * Read [h:]NAME[/GROUP][+WINDOW][@SINKS][#SEED]: "int4", "int4/64", "int4/64+128"
 * (group 64, window 128), "kivi2", "q4_0", "fp8", "h:int4" (Hadamard first) ...; "16"
 * and "none" give {0}. docs/methods/quantizers.md lists the names.
 * @return MLS_OK or MLS_E_ARG with the nearest known name
 */
mls_status mls_quant_parse(mls_quant *q, const char *text, mls_err *err);
enum { MLS_QUANT_NAME = 128 }; /* room for every name */
/** The same text back; what is the format's default is left out. Returns out. */
const char *mls_quant_name(const mls_quant *q, char *out, size_t size);

/** Bits that T tokens of vectors of n numbers take, of one head (or one latent). */
typedef struct mls_quant_cost {
    double payload;  /* codes only: what a paper prints */
    double metadata; /* scales, zero points, norms, outliers with their indices */
    double window;   /* tokens kept in 16 bits */
    double constant; /* once per layer and head: codebooks, ranges; not per token */
} mls_quant_cost;

/**
 * Exact for a cache of T tokens, all of them given at once (a prompt).
 * @param is_key  as in mls_quant_apply()
 */
mls_quant_cost mls_quant_bits(const mls_quant *q, bool is_key, size_t n, size_t T);

/** MLS_E_INPUT with a sentence when vectors of n numbers cannot take this format. */
mls_status mls_quant_fits(const mls_quant *q, size_t n, mls_err *err);

/**
 * Quantize and dequantize in place: T tokens, row t is n numbers at x + t * stride; one
 * head (or one latent). Whatever the window and sinks protect is left as it is.
 * Before or after RoPE is the caller's choice of x.
 *
 * @param is_key  formats that treat keys and values differently (KIVI, KVQuant, QJL)
 * @return MLS_OK; MLS_E_NUMERIC for NaN, infinity and numbers that a half cannot hold;
 *         MLS_E_INPUT when n does not fit; MLS_E_NOMEM. x is unchanged on error
 */
mls_status mls_quant_apply(const mls_quant *q, bool is_key, float *x, size_t stride,
                           size_t T, size_t n, mls_err *err);

/** Every format, NULL at the end: for help texts and "all quantizers". */
const mls_quant_format *const *mls_quant_formats(void);
/** What the bare name with so many bits stands for; bits within the format's range. */
mls_quant mls_quant_default(const mls_quant_format *f, unsigned bits);
/** How the name is written, "int{2..8}s". Returns out. */
const char *mls_quant_format_pattern(const mls_quant_format *f, char *out, size_t size);
/** One line that says what it does. */
const char *mls_quant_format_help(const mls_quant_format *f);

#endif
