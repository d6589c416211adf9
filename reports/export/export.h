/*
 * Exports: a setting turned into the files that a converter reads, or into the
 * converted model itself (docs/format/export.md). A target is one file,
 * export_<name>.c.
 */
#ifndef MLS_EXPORT_H
#define MLS_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/serving/table.h"
#include "bench/frame/scheme.h"
#include "common/base/status.h"
#include "common/system/progress.h"

/**
 * What stands where DeepSeek-V3 normalizes its latents (docs/format/export.md).
 */
typedef enum mls_export_norm {
    MLS_NORM_LINEAR, /* a norm that changes nothing, for code that always has one */
    MLS_NORM_NONE,   /* nothing, as in TransMLA's checkpoints */
    MLS_NORM_FITTED, /* a norm with one constant weight, for training in such code */
} mls_export_norm;

/** What is exported, for whom and where; all borrowed. */
typedef struct mls_export {
    const char *target;         /* "mha2mla": one of mls_export_names[] */
    const char *folder;         /* output: new, or empty */
    const char *model_name;     /* what the user typed */
    const char *command;        /* the command line */
    const mls_method_input *in; /* config and model; capture where a method uses data */
    const mls_scheme *scheme;
    const char *dtype;  /* of the weights: "F32", "BF16" or "F16"; NULL: the model's */
    bool first_release; /* mha2mla: the float32 file of its first release */
    mls_export_norm norm;       /* deepseek */
    const mls_kernels *kernels; /* deepseek: whom the shape is held against; or NULL */
    const mls_progress *progress;
} mls_export;

/** NULL-terminated: deepseek, elitekv, gguf, latent, mha2mla, transmla, x-ecomla. */
extern const char *const mls_export_names[];

/**
 * Write the folder and its README.md: all of it or nothing. The folder is made under
 * another name beside the final one and renamed when it is complete.
 *
 * @return MLS_OK, MLS_E_ARG (no such target), MLS_E_INPUT (the folder holds files; the
 *         target cannot express the scheme: the constraint and the nearest that it can
 *         are named), MLS_E_IO, MLS_E_NOMEM, MLS_E_NUMERIC or MLS_E_STOPPED
 */
mls_status mls_export_write(const mls_export *job, mls_err *err);

#endif
