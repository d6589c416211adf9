/*
 * What the parts of the checkpoint reader share; include checkpoint.h from elsewhere.
 */
#ifndef MLS_CHECKPOINT_INNER_H
#define MLS_CHECKPOINT_INNER_H

#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/gguf_order.h"
#include "datasets/checkpoint/packed.h"
#include "datasets/files/gguf_parts.h"

/** A tensor of the model and where it is. */
typedef struct mls_checkpoint_entry {
    const mls_tensor_info *info; /* with Hugging Face's name */
    const mls_gguf_place *place; /* in a GGUF file; NULL: in a folder */
    size_t shard;
    mls_packed *packed; /* its numbers are codes; NULL: they are not */
} mls_checkpoint_entry;

/** One file; exactly one of the two readers is not NULL, once it is open. */
typedef struct mls_checkpoint_shard_file {
    char *name, *path;
    mls_safetensors *file;
    const mls_gguf *gguf; /* of parts */
} mls_checkpoint_shard_file;

/** A tensor under the name that the config's family gives it. */
typedef struct mls_checkpoint_renamed {
    mls_tensor_info info; /* info.name is name */
    char name[96];
    size_t shard;
    mls_gguf_place place;
} mls_checkpoint_renamed;

struct mls_checkpoint {
    char *folder; /* or the GGUF file */
    mls_config config;
    char *config_json;
    size_t config_json_len;
    mls_checkpoint_shard_file *shards;
    size_t n_shards;
    mls_gguf_parts gguf;
    mls_checkpoint_renamed *renamed; /* (n_tensors); NULL: of a folder */
    mls_checkpoint_entry *tensors;   /* (n_tensors), by file and place in it */
    const mls_checkpoint_entry **by_name;
    size_t n_tensors;
    uint64_t bytes, parameters;
    char **warnings;
    size_t n_warnings;
    size_t head_remark; /* 1 + its number among the warnings; 0: none */
};

/** Remember a remark. */
void mls_checkpoint_warn(mls_checkpoint *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

mls_status mls_checkpoint_no_memory(const mls_checkpoint *c, mls_err *err);

/** Make c->tensors of the shards' tensors, and sort them. */
mls_status mls_checkpoint_join(mls_checkpoint *c, mls_err *err);

/** Sort c->tensors by their names; two of one name are refused. */
mls_status mls_checkpoint_sort(mls_checkpoint *c, mls_err *err);

/** Rows of `cols` numbers, however many indices count the rows (experts, say). */
bool mls_checkpoint_has_shape(const mls_tensor_info *t, size_t rows, size_t cols);

/** Make one tensor of the parts of each quantized matrix of a folder. */
mls_status mls_checkpoint_find_packed(mls_checkpoint *c, mls_err *err);
void mls_checkpoint_free_packed(mls_checkpoint *c);

/** Of a folder that MLX wrote: its stacks of experts, or why it is not computed. */
void mls_checkpoint_find_mlx(mls_checkpoint *c);

/** Give the tensors of a text model under another root the names of its family. */
mls_status mls_checkpoint_find_root(mls_checkpoint *c, mls_err *err);

/** NULL: no tensor of that name. */
const mls_checkpoint_entry *mls_checkpoint_entry_of(const mls_checkpoint *c,
                                                    const char *name);

/** Where in the parts of a GGUF file each tensor of the config's family lies. */
mls_status mls_checkpoint_place_tensors(mls_checkpoint *c, mls_err *err);

/** Shards and tensors of a folder whose config is known. */
mls_status mls_checkpoint_open_weights(mls_checkpoint *c, mls_err *err);

/** Config, shards and tensors of a folder, or of a GGUF file. */
mls_status mls_checkpoint_open_folder(mls_checkpoint *c, mls_err *err);
mls_status mls_checkpoint_open_gguf(mls_checkpoint *c, mls_err *err);

#endif
