/*
 * --shard of commands whose work several processes share, and what joins their parts.
 */
#ifndef MLS_TOOL_PARTS_H
#define MLS_TOOL_PARTS_H

#include "datasets/files/parts.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"

/** Value is a const char **. */
#define MLS_SHARD_OPTION(value)                                                        \
    {                                                                                  \
        "--shard", 0, MLS_OPT_TEXT, value, 0, 0                                        \
    }

/**
 * After parsing: the part that this command is to make, or what it is to join, or NULL.
 *
 * @param[out] out  release with mls_tool_parts_close()
 * @return MLS_OK, MLS_E_ARG (--shard without -o FILE) or MLS_E_INPUT
 */
mls_status mls_tool_parts(mls_parts **out, const mls_command *c, int argc, char **argv,
                          const mls_option *options, mls_err *err);
void mls_tool_parts_close(mls_parts *p); /* NULL is accepted */

/** What the run is about: model, text and capture of s, as far as there are such. */
mls_status mls_tool_parts_about(mls_parts *p, const mls_tool_subject *s, mls_err *err);

/** The part is made: finish it and say so. */
mls_status mls_tool_parts_finish(mls_parts *p, mls_err *err);

/**
 * Run the command that made the parts at path (n) with what they hold, and with `extra`
 * (n_extra) words: -o, --format.
 *
 * @param commands  ends with NULL: those that can be split
 * @return the exit status
 */
int mls_tool_parts_join(const mls_command *const *commands, const char *const *path,
                        size_t n, char *const *extra, size_t n_extra);

#endif
