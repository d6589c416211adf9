/* What products through oneDNN share; only where there is oneDNN. */
#ifndef MLS_PACKED_INNER_H
#define MLS_PACKED_INNER_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** oneDNN's products run on the calling thread alone from now. */
void mls_dnnl_one_thread(void);

/** A matrix at its strides. */
bool mls_dnnl_describe(dnnl_memory_desc_t *out, dnnl_data_type_t type, size_t rows,
                       size_t cols, size_t row_stride, size_t col_stride);

/** Has it a kernel of its own for this, not plain loops? */
bool mls_dnnl_is_fast(const_dnnl_primitive_desc_t how);

bool mls_dnnl_run(dnnl_engine_t engine, dnnl_primitive_t run, int n,
                  const dnnl_exec_arg_t *args);

/** To nearest even, as mls_float_to_bf16(); NaN stays NaN. */
void mls_bf16_round(uint16_t *restrict y, const float *restrict x, size_t n);

#endif
