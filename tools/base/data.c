#include "tools/base/data.h"

#include <stdlib.h>

#include "common/system/files.h"

mls_status mls_tool_data(char **path, const char *name, mls_err *err)
{
    const char *const folder[] = {getenv("MLASCOPE_DATA"), MLS_SOURCE_FOLDER,
                                  MLS_DATA_FOLDER};

    *path = NULL;
    for (size_t i = 0; i < sizeof folder / sizeof folder[0]; i++) {
        if (!folder[i])
            continue;
        *path = mls_path_join(folder[i], name);
        if (!*path)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a path");
        if (mls_file_exists(*path))
            return MLS_OK;
        free(*path);
        *path = NULL;
        if (i == 0) /* a folder that was named is the only one */
            break;
    }
    return mls_fail(err, MLS_E_INPUT,
                    "%s: not found; set MLASCOPE_DATA to the folder that holds it",
                    name);
}

mls_status mls_tool_kernels(mls_kernels *out, mls_err *err)
{
    char *path = NULL;
    mls_status st = mls_tool_data(&path, "datasets/serving/kernels.csv", err);

    if (!st)
        st = mls_kernels_read(out, path, err);
    free(path);
    return st;
}
