/* mlascope verify: are the bytes of our files those that were written? */
#include <stdio.h>
#include <string.h>

#include "analysis/capture/capture.h"
#include "analysis/capture/store.h"
#include "analysis/frequency/frequency_file.h"
#include "bench/plan/plan.h"
#include "common/system/files.h"
#include "common/system/sums.h"
#include "datasets/files/parts.h"
#include "reports/report/report_folder.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_verify;

enum { FILES_MAX = 1024 };

/* A JSON file of ours is a plan. */
static bool is_json(const char *path)
{
    char first = '\0';

    return mls_file_front(path, &first, 1) == 1 && first == '{';
}

/* Does the file begin as a result of mlascope frequency does? */
static bool is_frequency(const char *path)
{
    static const char front[] = "mlascope " MLS_FREQUENCY_KIND "\n";
    char found[sizeof front];

    return mls_file_front(path, found, sizeof front - 1) == sizeof front - 1 &&
           memcmp(found, front, sizeof front - 1) == 0;
}

static mls_status check(const char *path, size_t *n_datasets, uint64_t *n_bytes,
                        mls_err *err)
{
    mls_store *store = NULL;
    mls_capture *capture = NULL;
    mls_status st;

    if (is_frequency(path)) {
        st = mls_store_open(&store, path, MLS_FREQUENCY_KIND, err);
        if (!st)
            st = mls_store_verify(store, n_datasets, n_bytes, err);
        mls_store_close(store);
        return st;
    }
    if (mls_folder_exists(path) && mls_report_is(path))
        return mls_report_verify(path, n_datasets, n_bytes, err);
    if (mls_folder_exists(path) && mls_sums_are(path))
        return mls_sums_verify(path, n_datasets, n_bytes, err);
    if (mls_folder_exists(path))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: neither report.json nor SHA256SUMS is in it: not a folder "
                        "of mlascope report, export or heal, or not a finished one, or "
                        "exported by a version before 0.2.0: export it again",
                        path);
    if (mls_parts_are(path))
        return mls_parts_verify(path, err);
    if (is_json(path))
        return mls_plan_verify(path, err);
    st = mls_capture_open(&capture, path, err);
    if (!st)
        st = mls_capture_verify(capture, n_datasets, n_bytes, err);
    mls_capture_close(capture);
    return st;
}

static void print_whole(const char *path, size_t n_datasets, uint64_t n_bytes)
{
    printf("%s: whole", path);
    if (n_datasets)
        printf(mls_folder_exists(path) ? ", %zu files, %.1f MB"
                                       : ", %zu datasets, %.1f MB of values",
               n_datasets, 1e-6 * (double)n_bytes);
    printf("\n");
}

static int run(int argc, char **argv)
{
    const mls_option options[] = {{0}};
    const char *files[FILES_MAX];
    size_t n;
    int status, worst = 0;

    if (!mls_options_parse(&cmd_verify, argc, argv, options, files, 1, FILES_MAX, &n,
                           &status))
        return status;
    for (size_t i = 0; i < n; i++) {
        mls_err err = {0};
        size_t n_datasets = 0;
        uint64_t n_bytes = 0;

        if (!check(files[i], &n_datasets, &n_bytes, &err))
            print_whole(files[i], n_datasets, n_bytes);
        status = mls_exit_status(&err);
        worst = status > worst ? status : worst;
    }
    return worst;
}

MLS_COMMAND(verify, "datasets", "check that our files are as they were written");
