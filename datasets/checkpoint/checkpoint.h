/*
 * A checkpoint: a folder with config.json and one model.safetensors, or shards with an
 * index; or a GGUF file, or the first of the parts it was split into.
 *
 * Whatever the file, tensors have Hugging Face's names and shapes, and rows of q and k
 * are half-split: GGUF files of some architectures interleave them, which reading
 * undoes.
 */
#ifndef MLS_CHECKPOINT_H
#define MLS_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/system/progress.h"
#include "datasets/checkpoint/config.h"
#include "datasets/files/gguf.h"
#include "datasets/files/safetensors.h"

/** Thread-safe for reading. */
typedef struct mls_checkpoint mls_checkpoint;

/**
 * Open a folder, or a GGUF file, which its first bytes tell. Open all shards and check
 * them against the index (both ways) and each other.
 *
 * @param[out] out  release with mls_checkpoint_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_checkpoint_open(mls_checkpoint **out, const char *folder, mls_err *err);
void mls_checkpoint_close(mls_checkpoint *c); /* NULL is accepted */

/** As given to mls_checkpoint_open(); borrowed. */
const char *mls_checkpoint_folder(const mls_checkpoint *c);
/**
 * The text of config.json, of len bytes and a NUL; of a GGUF model the one that
 * mls_gguf_config() makes of its metadata. Borrowed.
 */
const char *mls_checkpoint_config_json(const mls_checkpoint *c, size_t *len);
/** The GGUF file, or the first of its parts; NULL for a folder. Borrowed. */
const mls_gguf *mls_checkpoint_gguf(const mls_checkpoint *c);
/**
 * Shapes and flags; biases and QK-norm as the tensors show, not only as the keys say.
 */
const mls_config *mls_checkpoint_config(const mls_checkpoint *c);

/**
 * Remarks that do not stop anybody: tensors that the index does not list or the model
 * does not use, a total_size that is wrong, biases that the config does not announce.
 * One sentence each, at most 100.
 */
size_t mls_checkpoint_warnings(const mls_checkpoint *c);
/** Sentence i, 0 <= i < mls_checkpoint_warnings(); borrowed. */
const char *mls_checkpoint_warning(const mls_checkpoint *c, size_t i);

/**
 * The one of them that says that another output head is used than config.json tells;
 * NULL when that is not so. It changes every figure, so every command says it.
 */
const char *mls_checkpoint_head_remark(const mls_checkpoint *c);

/** Files of the model, at least 1; the names of file i are borrowed. */
size_t mls_checkpoint_shards(const mls_checkpoint *c);
const char *mls_checkpoint_shard_path(const mls_checkpoint *c, size_t i);
/** The same without the folder. */
const char *mls_checkpoint_shard_name(const mls_checkpoint *c, size_t i);

/** How many tensors there are. */
size_t mls_checkpoint_tensors(const mls_checkpoint *c);
/** Tensor i, by file and place in it; borrowed. @param[out] shard  may be NULL */
const mls_tensor_info *mls_checkpoint_tensor(const mls_checkpoint *c, size_t i,
                                             size_t *shard);

/** The tensor of a name; NULL when there is none. @param[out] i  its number, or NULL */
const mls_tensor_info *mls_checkpoint_find(const mls_checkpoint *c, const char *name,
                                           size_t *i);

/** Whether tensor i has numbers that can be read as float. */
bool mls_checkpoint_readable(const mls_checkpoint *c, size_t i);
/** Elements first .. first+n-1 of tensor i as float, finite or not. */
mls_status mls_checkpoint_read_at(const mls_checkpoint *c, size_t i, uint64_t first,
                                  size_t n, float *out, mls_err *err);
/** Whether the bytes of tensor i can go into a safetensors file as they are. */
bool mls_checkpoint_copyable(const mls_checkpoint *c, size_t i);
/** A byte range of tensor i as the file has it. */
mls_status mls_checkpoint_read_raw(const mls_checkpoint *c, size_t i,
                                   uint64_t first_byte, size_t n, void *out,
                                   mls_err *err);

/** A tensor is there with a shape and a dtype that mls_checkpoint_read() takes. */
mls_status mls_checkpoint_has(const mls_checkpoint *c, const char *name, size_t rows,
                              size_t cols, mls_err *err);

/**
 * Every tensor of tensors.h is there with its shape; the first that is not is
 * named. Only for a config that is runnable: of others the tensors are not known.
 */
mls_status mls_checkpoint_complete(const mls_checkpoint *c, mls_err *err);

/**
 * The tensor is read soon: the system may fetch it meanwhile. Heard for plain tensors
 * of safetensors files alone; no tensor of that name is no error.
 */
void mls_checkpoint_want(const mls_checkpoint *c, const char *name);

/**
 * Read a whole tensor as float and check its shape.
 *
 * @param name      e.g. "model.layers.3.self_attn.q_proj.weight"
 * @param rows,cols expected shape; cols = 0 for a vector of `rows`
 * @param[out] out  (rows, cols)
 * @return MLS_OK, MLS_E_INPUT (missing, wrong shape, a number that is NaN, infinite or
 *         too large for a float: file, tensor, found and expected, or the first such
 *         number and its index, are named), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_checkpoint_read(const mls_checkpoint *c, const char *name, size_t rows,
                               size_t cols, float *out, mls_err *err);

/** The same for rows first .. first+n-1 only of a (rows, cols) tensor. */
mls_status mls_checkpoint_read_rows(const mls_checkpoint *c, const char *name,
                                    size_t rows, size_t cols, size_t first, size_t n,
                                    float *out, mls_err *err);

/** Total bytes of all tensors, and their number of elements. */
uint64_t mls_checkpoint_bytes(const mls_checkpoint *c);
uint64_t mls_checkpoint_parameters(const mls_checkpoint *c);

/**
 * One SHA-256 for the whole model: over the sorted list of (file name, size, SHA-256 of
 * the file) of config.json and every shard; a GGUF model has no config.json, and its
 * files are numbered from 1, because people rename them. Reads all bytes.
 */
mls_status mls_checkpoint_sha256(const mls_checkpoint *c, char hex[65],
                                 const mls_progress *progress, mls_err *err);

/** The same, and the SHA-256 of every shard by itself. @param[out] shards  (shards) */
mls_status mls_checkpoint_sha256_shards(const mls_checkpoint *c, char hex[65],
                                        char (*shards)[65],
                                        const mls_progress *progress, mls_err *err);

#endif
