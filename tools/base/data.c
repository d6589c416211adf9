/*
 * Tables that come with the program are looked for in the folder that MLASCOPE_DATA
 * names, in the source it was built from, where it was to be installed, and beside it:
 * the first that has the file is taken, and a folder that was named is the only one.
 */
#include "tools/base/data.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/system/files.h"

/*
 * Below the folders above the program: where a wheel or a copied installation is, which
 * no path of the build can name; a wheel has no share. NULL: in none of them, or no
 * memory.
 */
static char *beside_program(const char *name)
{
    enum { LEVELS = 6 };
    char folder[4096];
    const ssize_t len = readlink("/proc/self/exe", folder, sizeof folder - 1);

    folder[len > 0 ? len : 0] = '\0';
    for (int i = 0; i < LEVELS && strrchr(folder, '/'); i++) {
        *strrchr(folder, '/') = '\0';

        for (int k = 0; k < 2; k++) {
            char *share = mls_path_join(folder, k ? "mlascope" : "share/mlascope");
            char *path = share ? mls_path_join(share, name) : NULL;

            free(share);
            if (path && mls_file_exists(path))
                return path;
            free(path);
        }
    }
    return NULL;
}

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
    if (!folder[0])
        *path = beside_program(name);
    if (*path)
        return MLS_OK;
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
