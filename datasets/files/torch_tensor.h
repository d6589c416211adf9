/* Tensors of numbers out of PyTorch files and pickles, without PyTorch. */
#ifndef MLS_TORCH_TENSOR_H
#define MLS_TORCH_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/files/pickle.h"

enum { MLS_TORCH_RANK = 4 };

typedef struct mls_torch_tensor {
    size_t rank, shape[MLS_TORCH_RANK], n; /* n: elements */
    double *values;                        /* (n), row-major */
    bool real;                             /* a floating-point type */
} mls_torch_tensor;

void mls_torch_tensor_free(mls_torch_tensor *t); /* {0} is accepted */

/**
 * A file of torch.save (a zip archive with one data.pkl) or of pickle.dump, open: its
 * root and where its tensors' numbers lie.
 */
typedef struct mls_torch_file mls_torch_file;

/**
 * Files larger than this are refused; rank files of the largest models stay far below.
 */
#define MLS_TORCH_FILE_MAX ((uint64_t)1 << 24)

/**
 * @param[out] out  release with mls_torch_file_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (missing, not such a file, a compressed or damaged
 *         member, a pickle that is refused), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_torch_file_open(mls_torch_file **out, const char *path, mls_err *err);
void mls_torch_file_close(mls_torch_file *f); /* NULL is accepted */
const mls_pickle_node *mls_torch_file_root(const mls_torch_file *f);

/** Could this node be a tensor? */
bool mls_torch_is_tensor(const mls_pickle_node *node);

/**
 * The numbers of a tensor: torch._utils._rebuild_tensor_v2 on a storage of the archive,
 * or on bytes of the older format (as pickle.dump writes tensors), or torch.tensor on
 * nested lists. Types uint8, int8, int16, int32, int64, float32, float64.
 *
 * @param what      for messages: "tensor qk_tensor"
 * @param[out] out  release with mls_torch_tensor_free(); {0} on error
 */
mls_status mls_torch_tensor_read(mls_torch_tensor *out, const mls_torch_file *f,
                                 const mls_pickle_node *node, const char *what,
                                 mls_err *err);

#endif
