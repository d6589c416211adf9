/* Files that come with the program: presets and published tables. */
#ifndef MLS_TOOL_DATA_H
#define MLS_TOOL_DATA_H

#include "analysis/serving/table.h"
#include "common/base/status.h"

/**
 * The path of a shipped file, "bench/settings/mha2mla.csv": below $MLASCOPE_DATA when
 * that is set, else below the source tree that this program was built from when it is
 * still there, else below the folder of the installation, else below share/mlascope of
 * a folder that the program is in.
 *
 * @param[out] path  released by the caller with free()
 * @return MLS_OK, MLS_E_INPUT (in none of them) or MLS_E_NOMEM
 */
mls_status mls_tool_data(char **path, const char *name, mls_err *err);

/** The dated table of kernels. @param[out] out  release with mls_kernels_free() */
mls_status mls_tool_kernels(mls_kernels *out, mls_err *err);

#endif
