/*
 * A driver of HDF5 that reads a file through a descriptor it is given and can do
 * nothing else: the process that parses a stranger's file opens none (store_cage.c), so
 * it cannot use HDF5's own, which begins with open(). The "name" of a file is a slash
 * (without, HDF5 asks for the working directory) and the number of its descriptor; the
 * name in an external link is none and is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"

typedef struct {
    H5FD_t shared; /* HDF5's part */
    int fd;
    haddr_t end_of_file, end_of_use;
} by_descriptor;

static H5FD_t *open_descriptor(const char *name, unsigned flags, hid_t access,
                               haddr_t max)
{
    char *end;
    const long fd = *name == '/' ? strtol(name + 1, &end, 10) : -1;
    const off_t size = fd > 0 && !*end ? lseek((int)fd, 0, SEEK_END) : -1;
    by_descriptor *f;

    (void)access;
    if (size < 0 || (haddr_t)size > max || flags != H5F_ACC_RDONLY)
        return NULL;
    f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->fd = (int)fd;
    f->end_of_file = (haddr_t)size;
    return &f->shared;
}

static herr_t close_descriptor(H5FD_t *file)
{
    free(file); /* the descriptor ends with the process */
    return 0;
}

static herr_t query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_IGNORE_DRVRINFO;
    return 0;
}

static haddr_t end_of_use(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const by_descriptor *)file)->end_of_use;
}

static herr_t set_end_of_use(H5FD_t *file, H5FD_mem_t type, haddr_t at)
{
    (void)type;
    ((by_descriptor *)file)->end_of_use = at;
    return 0;
}

static haddr_t end_of_file(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const by_descriptor *)file)->end_of_file;
}

static herr_t read_bytes(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t at, size_t n,
                         void *data)
{
    const by_descriptor *f = (const by_descriptor *)file;
    char *to = data;

    (void)type, (void)how;
    if (at > f->end_of_file || n > f->end_of_file - at)
        return -1;
    while (n > 0) {
        const ssize_t got = pread(f->fd, to, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        to += got;
        at += (haddr_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static herr_t write_nothing(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t at,
                            size_t n, const void *data)
{
    (void)file, (void)type, (void)how, (void)at, (void)n, (void)data;
    return -1;
}

hid_t mls_store_open_descriptor(int fd)
{
    static const H5FD_class_t by_number = {
        .name = "descriptor",
        .maxaddr = ((haddr_t)1 << 62) - 1,
        .fc_degree = H5F_CLOSE_WEAK,
        .open = open_descriptor,
        .close = close_descriptor,
        .query = query,
        .get_eoa = end_of_use,
        .set_eoa = set_end_of_use,
        .get_eof = end_of_file,
        .read = read_bytes,
        .write = write_nothing,
        .fl_map = H5FD_FLMAP_DICHOTOMY,
    };
    const hid_t driver = H5FDregister(&by_number), access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;
    char name[16];

    snprintf(name, sizeof name, "/%d", fd);
    if (driver >= 0 && access >= 0 && H5Pset_driver(access, driver, NULL) >= 0)
        file = H5Fopen(name, H5F_ACC_RDONLY, access);
    if (access >= 0)
        H5Pclose(access);
    if (driver >= 0)
        H5FDunregister(driver); /* the open file keeps it */
    return file;
}
