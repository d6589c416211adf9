/*
 * A file of ours is written as NAME.tmp-PID, synced, renamed over its name, and its
 * folder synced: after a power cut there is the old one or the new one. Temporaries of
 * processes that are no more are removed by the next that writes the name. Through a
 * link the file behind it is replaced; devices and pipes are written straight through.
 * Reading them: file_read.c.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "common/system/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool mls_file_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool mls_folder_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

bool mls_file_is_special(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
}

/*
 * What a new file of this name replaces: the file that a link leads to, not the link.
 */
static char *target_of(const char *path)
{
    char *real = realpath(path, NULL);

    return real ? real : strdup(path);
}

/* Names that no file can have are refused in words of their own. */
static mls_status check_name(const char *path, mls_err *err)
{
    if (!*path)
        return mls_fail(err, MLS_E_INPUT, "the output file's name is empty");
    if (mls_folder_exists(path))
        return mls_fail(err, MLS_E_INPUT, "%s: is a folder, expected a file name",
                        path);
    return MLS_OK;
}

char *mls_path_join(const char *folder, const char *name)
{
    const size_t n = strlen(folder), m = strlen(name);
    const bool slash = n > 0 && folder[n - 1] != '/';
    char *path = malloc(n + m + 2);

    if (path)
        snprintf(path, n + m + 2, "%s%s%s", folder, slash ? "/" : "", name);
    return path;
}

/* A leftover: a file, or a folder that holds only files, as exports make them. */
static void remove_leftover(const char *path)
{
    DIR *dir = opendir(path);

    if (!dir) {
        unlink(path);
        return;
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        char *file = mls_path_join(path, e->d_name);

        if (file)
            unlink(file); /* fails for "." and ".." */
        free(file);
    }
    closedir(dir);
    rmdir(path);
}

/* Remove TARGET.tmp-<pid> of processes that are no more: they were killed. */
static void remove_leftovers(const char *target)
{
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    const size_t n = strlen(name);
    char *folder = slash ? strndup(target, (size_t)(slash - target) + 1) : strdup(".");
    DIR *dir = folder ? opendir(folder) : NULL;

    for (const struct dirent *e; dir && (e = readdir(dir));) {
        char *path;

        if (strncmp(e->d_name, name, n) != 0 ||
            strncmp(e->d_name + n, ".tmp-", strlen(".tmp-")) != 0)
            continue;
        const char *pid = e->d_name + n + strlen(".tmp-");
        const size_t digits = strspn(pid, "0123456789");

        if (digits == 0 || digits > 9 || pid[digits] ||
            kill((pid_t)atol(pid), 0) == 0 || errno != ESRCH)
            continue;
        path = mls_path_join(folder, e->d_name);
        if (path)
            remove_leftover(path);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
}

mls_status mls_file_temp_name(const char *path, char **temp, mls_err *err)
{
    char *target = target_of(path);
    const size_t n = target ? strlen(target) + 32 : 0;

    *temp = target ? malloc(n) : NULL;
    if (*temp) {
        remove_leftovers(target);
        snprintf(*temp, n, "%s.tmp-%ld", target, (long)getpid());
    }
    free(target);
    return *temp ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
}

/* fsync a folder, so that a rename in it survives a power cut. */
static void sync_folder_of(const char *path)
{
    char *copy = strdup(path);

    if (copy) {
        const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0) {
            fsync(fd);
            close(fd);
        }
        free(copy);
    }
}

mls_status mls_file_commit(const char *temp, const char *path, mls_err *err)
{
    const int fd = open(temp, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return mls_fail(err, MLS_E_IO, "%s: %s", temp, strerror(errno));
    if (fsync(fd)) {
        const int e = errno;

        close(fd);
        return mls_fail(err, MLS_E_IO, "%s: %s", temp, strerror(e));
    }
    close(fd);
    if (mls_file_is_special(path))
        return mls_fail(err, MLS_E_INPUT, "%s: is a device or pipe, expected a file",
                        path);

    mls_status st = MLS_OK;
    char *target = target_of(path);
    if (!target)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    else if (rename(temp, target))
        st = mls_fail(err, MLS_E_IO, "%s: cannot become %s: %s", temp, target,
                      strerror(errno));
    else
        sync_folder_of(target);
    free(target);
    return st;
}

/* Into a device or pipe there is no name to move: the bytes go straight through. */
static mls_status write_through(const char *path, const char *data, size_t len,
                                mls_err *err)
{
    mls_status st = MLS_OK;
    const int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
    for (size_t done = 0; done < len && !st;) {
        const ssize_t n = write(fd, data + done, len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            st = mls_fail(err, MLS_E_IO, "%s: writing %zu bytes: %s", path, len,
                          strerror(errno));
    }
    if (close(fd) && !st)
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
    return st;
}

mls_status mls_file_write(const char *path, const void *data, size_t len, mls_err *err)
{
    mls_status st;
    char *temp = NULL;
    FILE *f = NULL;

    if ((st = check_name(path, err)))
        return st;
    if (mls_file_is_special(path))
        return write_through(path, data, len, err);
    st = mls_file_temp_name(path, &temp, err);
    if (st)
        goto done;
    f = fopen(temp, "wb");
    if (!f) {
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (fwrite(data, 1, len, f) != len || fflush(f)) {
        st = mls_fail(err, MLS_E_IO, "%s: writing %zu bytes: %s", path, len,
                      strerror(errno));
        goto done;
    }
    if (fclose(f)) {
        f = NULL;
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    f = NULL;
    st = mls_file_commit(temp, path, err);

done:
    if (f)
        fclose(f);
    if (st && temp)
        unlink(temp);
    free(temp);
    return st;
}

mls_status mls_file_writable(const char *path, mls_err *err)
{
    mls_status st;
    char *temp = NULL;

    if ((st = check_name(path, err)))
        return st;
    if (mls_file_is_special(path))
        return access(path, W_OK) == 0
                   ? MLS_OK
                   : mls_fail(err, MLS_E_INPUT, "%s: cannot be written: %s", path,
                              strerror(errno));
    st = mls_file_temp_name(path, &temp, err);
    if (st)
        return st;
    const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        st = mls_fail(err, MLS_E_INPUT, "%s: cannot be written: %s", path,
                      strerror(errno));
    } else {
        close(fd);
        unlink(temp);
    }
    free(temp);
    return st;
}

mls_status mls_file_replaceable(const char *path, mls_err *err)
{
    if (mls_file_is_special(path))
        return mls_fail(err, MLS_E_INPUT, "%s: is a device or pipe, expected a file",
                        path);
    return mls_file_writable(path, err);
}

size_t mls_folder_known(const char *path)
{
    char *copy = strdup(path);
    size_t n = copy ? strlen(copy) : 0;

    while (n > 0 && !mls_folder_exists(copy)) {
        while (n > 0 && copy[n - 1] == '/')
            n--;
        while (n > 0 && copy[n - 1] != '/')
            n--;
        copy[n] = '\0';
    }
    free(copy);
    return n;
}

void mls_folder_undo(const char *path, size_t known)
{
    char *copy = strdup(path);
    size_t n = copy ? strlen(copy) : 0;

    while (n > known && rmdir(copy) == 0) {
        while (n > known && copy[n - 1] == '/')
            n--;
        while (n > known && copy[n - 1] != '/')
            n--;
        copy[n] = '\0';
    }
    free(copy);
}

mls_status mls_folder_prepare(const char *path, mls_err *err)
{
    mls_status st = MLS_OK;
    char *copy = strdup(path);
    char *probe = NULL;

    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a folder name");
    if (!*path) {
        st = mls_fail(err, MLS_E_INPUT, "the output folder's name is empty");
        goto done;
    }
    for (char *p = copy + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(copy, 0777); /* a parent that cannot be made shows below */
            *p = '/';
        }
    if (mkdir(copy, 0777) && errno != EEXIST) {
        st = mls_fail(err, MLS_E_INPUT, "%s: the output folder cannot be made: %s",
                      path, strerror(errno));
        goto done;
    }
    if (!mls_folder_exists(path)) {
        st = mls_fail(err, MLS_E_INPUT, "%s: is a file, expected a folder", path);
        goto done;
    }
    probe = mls_path_join(path, ".probe");
    if (!probe) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a folder name");
        goto done;
    }
    st = mls_file_writable(probe, err);
    if (st)
        st = mls_fail(err, MLS_E_INPUT, "%s: the output folder cannot be written: %s",
                      path, strerror(errno));

done:
    free(probe);
    free(copy);
    return st;
}
