/* Progress of a whole run of many parts, as mls_schedule tells it. */
#ifndef MLS_RUN_PROGRESS_H
#define MLS_RUN_PROGRESS_H

#include <stddef.h>

#include "common/system/progress.h"

/**
 * As mls_tool_progress(), but what is done may fall without a new phase beginning: the
 * time that is left is that of all.
 */
const mls_progress *mls_tool_run_progress(void);

/** Seconds for people: "3 min 20 s". */
void mls_tool_time(char *out, size_t size, double seconds);

#endif
