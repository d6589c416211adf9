/* The result file of `mlascope frequency` (docs/format/frequency.md). */
#ifndef MLS_FREQUENCY_FILE_H
#define MLS_FREQUENCY_FILE_H

#include "analysis/capture/capture.h"
#include "analysis/frequency/frequency.h"
#include "common/base/status.h"

#define MLS_FREQUENCY_KIND "frequency 1"

/**
 * Write everything of an analysis as an HDF5 file.
 * @param command  the command line, for the record
 * @return MLS_OK, MLS_E_IO, MLS_E_INPUT (path cannot be written) or MLS_E_NOMEM
 */
mls_status mls_frequency_write(const mls_frequency *f, const mls_capture *capture,
                               const char *path, const char *command, mls_err *err);

#endif
