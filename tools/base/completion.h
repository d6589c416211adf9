/* Completion for bash, zsh and fish, made from the commands' tables of options. */
#ifndef MLS_COMPLETION_H
#define MLS_COMPLETION_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "tools/base/command.h"

/**
 * @param shell     bash, zsh or fish
 * @param commands  ends with NULL
 * @return MLS_OK or MLS_E_ARG (no such shell)
 */
mls_status mls_completion(mls_buf *out, const char *shell,
                          const mls_command *const *commands, mls_err *err);

#endif
