#include "tests/support/expect.h"

#include <sys/stat.h>
#include <unistd.h>

enum { BUFFERS = 16, PATH_SIZE = 1024 };

static char *next_buffer(void)
{
    static char buffers[BUFFERS][PATH_SIZE];
    static size_t next;

    return buffers[next++ % BUFFERS];
}

const char *test_source_root(void)
{
    const char *root = getenv("MLS_SOURCE_ROOT");

    return root ? root : ".";
}

const char *test_source(const char *name)
{
    char *b = next_buffer();

    snprintf(b, PATH_SIZE, "%s/%s", test_source_root(), name);
    return b;
}

static char scratch_folder[PATH_SIZE / 2];

static void remove_scratch(void)
{
    char command[PATH_SIZE];

    snprintf(command, sizeof command, "rm -rf '%s'", scratch_folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", scratch_folder);
}

const char *test_scratch(const char *name)
{
    char *folder = scratch_folder, *b = next_buffer();

    if (!*folder) {
        const char *tmp = getenv("TMPDIR");

        snprintf(folder, sizeof scratch_folder, "%s/mls-test-XXXXXX",
                 tmp ? tmp : "/tmp");
        if (!mkdtemp(folder) || atexit(remove_scratch) != 0)
            fail_msg("no scratch folder %s", folder);
    }
    snprintf(b, PATH_SIZE, "%s/%s", folder, name);
    return b;
}

const char *test_shared(const char *name)
{
    char *b = next_buffer();
    struct stat s;

    snprintf(b, PATH_SIZE, "%s/../shared/%s", test_source_root(), name);
    if (stat(b, &s) == 0)
        return b;
    fprintf(stderr, "SKIPPED: ../shared/%s is not here\n", name);
    return NULL;
}

const char *test_demo_layers(size_t n)
{
    const char *folder = test_scratch("layers");
    char command[3 * PATH_SIZE];

    snprintf(command, sizeof command,
             "root=$(realpath '%s') && mkdir '%s' && cd '%s' &&"
             " sh \"$root/tests/support/layers.sh\" \"$root\" %zu",
             test_source_root(), folder, folder, n);
    if (system(command) != 0)
        fail_msg("no model of %zu layers in %s", n, folder);
    return test_scratch("layers/demo");
}
