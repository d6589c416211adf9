/* The windows of one layer out of a capture file, ready for scores. */
#ifndef MLS_LAYER_WINDOWS_H
#define MLS_LAYER_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/frequency/greedy.h"
#include "common/base/status.h"

typedef struct mls_layer_windows {
    mls_chunk_windows set; /* borrows from the rest; per_query_head is false */
    mls_chunk_window *window;
    float *data;
    double *inv_freq, *turns;
} mls_layer_windows;

/**
 * Read q and k (and v) of some windows of layer l. A layer with a sliding window sees
 * only that; ask no layer without RoPE.
 *
 * @param which    (n) numbers of windows; NULL: the first n
 * @param tokens   of each window only the first; 0: all
 * @param[out] out release with mls_layer_windows_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (the capture holds fewer windows or none, D is odd),
 *         MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_layer_windows_load(mls_layer_windows *out, mls_capture *capture,
                                  size_t l, const size_t *which, size_t n,
                                  bool with_values, size_t tokens, mls_err *err);
void mls_layer_windows_free(mls_layer_windows *w); /* {0} is accepted */

#endif
