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

const char *test_scratch(const char *name)
{
    static char folder[PATH_SIZE / 2];
    char *b = next_buffer();

    if (!*folder) {
        const char *tmp = getenv("TMPDIR");

        snprintf(folder, sizeof folder, "%s/mls-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(folder))
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
