/*
 * A run of hours should not end on a full disk, so what will be written is held against
 * it first; folders that are not there yet lie on the disk of the nearest one above
 * that is. Where the system does not say, nothing is refused.
 */
#include "common/system/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* The disk of the nearest folder above that is there. */
static int disk_of(const char *path, struct statvfs *disk)
{
    char *folder = strdup(path);
    int failed = folder ? statvfs(folder, disk) : -1;

    while (failed && folder && strcmp(folder, "/") != 0 && strcmp(folder, ".") != 0) {
        char *slash = strrchr(folder, '/');

        if (!slash)
            strcpy(folder, "."); /* a name has one letter at least */
        else if (slash == folder)
            folder[1] = '\0';
        else
            *slash = '\0';
        failed = statvfs(folder, disk);
    }
    free(folder);
    return failed;
}

mls_status mls_room_for(const char *path, uint64_t bytes, mls_err *err)
{
    struct statvfs disk;

    if (disk_of(path, &disk) || disk.f_blocks == 0)
        return MLS_OK;
    const double left = (double)disk.f_bavail * (double)disk.f_frsize;

    if ((double)bytes <= left)
        return MLS_OK;
    return mls_fail(err, MLS_E_IO,
                    "%s: about %.1f MB will be written and the disk has %.1f MB left",
                    path, 1e-6 * (double)bytes, 1e-6 * left);
}

uint64_t mls_memory_free(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128];
    uint64_t kib = 0;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
            break;
    if (file)
        fclose(file);
    return 1024 * kib;
}
