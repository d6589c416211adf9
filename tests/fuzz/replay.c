/*
 * A plain main() for a fuzz target: every file of the folders given, each once, with a
 * limit on memory and on the time of an input. Usage: replay_TARGET FOLDER...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/system/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY_MIB = 256, SECONDS = 4 };

/* So much more than the program has when it starts. */
static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fscanf(f, "%llu", &pages) == 1) {
        const rlim_t limit =
            (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)MEMORY_MIB << 20);

        setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit});
    }
    if (f)
        fclose(f);
#endif
}

static bool replay(const char *path)
{
    char *data;
    size_t len;
    mls_err err = {0};
    const clock_t start = clock();

    if (mls_file_read(path, 1 << 24, &data, &len, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    free(data);
    if ((double)(clock() - start) / CLOCKS_PER_SEC <= SECONDS)
        return true;
    fprintf(stderr, "%s: took more than %d s\n", path, SECONDS);
    return false;
}

int main(int argc, char **argv)
{
    size_t n = 0, bad = 0;

    limit_memory();
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);

        for (const struct dirent *e = folder ? readdir(folder) : NULL; e;
             e = readdir(folder)) {
            char *path = mls_path_join(argv[i], e->d_name);

            if (path && mls_file_exists(path)) {
                fprintf(stderr, "%s\n",
                        e->d_name); /* the last is the one that failed */
                n++;
                bad += !replay(path);
            }
            free(path);
        }
        if (folder)
            closedir(folder);
    }
    printf("%zu inputs, %zu bad\n", n, bad);
    return n == 0 || bad > 0;
}
