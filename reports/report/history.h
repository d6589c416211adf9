/* One CSV that reports add their answers to, so that a model can be followed. */
#ifndef MLS_HISTORY_H
#define MLS_HISTORY_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * Can a history be kept there? Not where a file is that is no history.
 * @return MLS_OK, MLS_E_INPUT (its first line, and how a history begins), MLS_E_IO
 */
mls_status mls_history_check(const char *path, mls_err *err);

/**
 * Add the rows of a finished report's data/answer.csv with the day, the program, the
 * model and the texts. The file is made when it is missing; rows that it has already,
 * but for the day, are not added again; it is locked meanwhile, and stays as it was
 * when the disk is full.
 *
 * @param folder     of the report
 * @param[out] rows  added
 * @return MLS_OK, MLS_E_INPUT (no history; no answer in the folder), MLS_E_IO,
 *         MLS_E_NOMEM
 */
mls_status mls_history_add(const char *path, const char *folder, size_t *rows,
                           mls_err *err);

#endif
