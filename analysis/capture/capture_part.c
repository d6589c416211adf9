/*
 * The restart folder of a capture: finished layers and the hidden states after one of
 * them, each a file that was written beside, synced and renamed, with its own hash.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/capture/capture_layout.h"
#include "analysis/model/carried.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"

enum { NAME_SIZE = 32 };

static const char magic[8] = {'M', 'L', 'S', 'P', 'A', 'R', 'T', '1'};

/* What every file of the folder begins with. */
typedef struct {
    char magic[8];
    uint64_t key; /* of the run */
    uint64_t layer;
    uint64_t n_bytes, xxh3; /* of what follows */
} front;

struct mls_part {
    char *folder, *temp;
    int fd; /* holds the lock */
    uint64_t key;
};

static char *file_name(const mls_part *p, const char *format, size_t l)
{
    char name[NAME_SIZE];

    snprintf(name, sizeof name, "%s-%03zu", format, l);
    return mls_path_join(p->folder, name);
}

/* Only names that this file makes are ever removed. */
static bool is_ours(const char *name)
{
    static const char *const prefixes[] = {"layer-", "states-", "key", "capture.h5"};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void remove_files(const mls_part *p)
{
    DIR *dir = opendir(p->folder);

    if (!dir)
        return;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char *path = is_ours(e->d_name) ? mls_path_join(p->folder, e->d_name) : NULL;

        if (path)
            unlink(path);
        free(path);
    }
    closedir(dir);
}

/*
 * A folder is a restart folder when its key says so, or when nothing but the beginning
 * of one is in it. Anything else of that name is somebody's, and so is a link.
 */
static mls_status check_owner(const mls_part *p, mls_err *err)
{
    struct stat s;
    char *key = mls_path_join(p->folder, "key"), *text = NULL, foreign[256] = "";
    size_t len = 0;
    mls_status st = MLS_OK;

    if (!key)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (lstat(p->folder, &s)) {
        free(key);
        return MLS_OK; /* to be made */
    }
    const bool known = !mls_file_read_regular(key, 64, &text, &len, NULL) &&
                       len == 16 && strspn(text, "0123456789abcdef") == 16;
    DIR *dir = known || S_ISLNK(s.st_mode) ? NULL : opendir(p->folder);

    for (const struct dirent *e; dir && !*foreign && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strncmp(e->d_name, "key", 3) != 0 && strncmp(e->d_name, ".probe", 6) != 0)
            snprintf(foreign, sizeof foreign, "%s", e->d_name);
    if (dir)
        closedir(dir);
    if (S_ISLNK(s.st_mode))
        st =
            mls_fail(err, MLS_E_INPUT,
                     "%s is a link, expected a folder that mlascope made; remove it or "
                     "choose another output",
                     p->folder);
    else if (*foreign)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s holds %s, which mlascope did not make; remove the folder or "
                      "choose another output",
                      p->folder, foreign);
    mls_free_all(text, key);
    return st;
}

static mls_status check_key(mls_part *p, bool *stale, mls_err *err)
{
    char want[17], *path = mls_path_join(p->folder, "key"), *found = NULL;
    size_t len = 0;
    mls_status st = MLS_OK;

    *stale = false;
    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    snprintf(want, sizeof want, "%016llx", (unsigned long long)p->key);
    if (mls_file_read_regular(path, 64, &found, &len, NULL) ||
        strcmp(found, want) != 0) {
        *stale = found != NULL;
        remove_files(p);
        st = mls_file_write(path, want, strlen(want), err);
    }
    mls_free_all(found, path);
    return st;
}

mls_status mls_part_open(mls_part **out, const char *path, uint64_t key, bool *stale,
                         mls_err *err)
{
    const size_t size = strlen(path) + sizeof ".part";
    mls_status st;
    mls_part *p = calloc(1, sizeof *p);

    *out = NULL;
    if (p) {
        p->fd = -1;
        p->key = key;
        p->folder = malloc(size);
    }
    if (!p || !p->folder) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        goto done;
    }
    snprintf(p->folder, size, "%s.part", path);
    p->temp = mls_path_join(p->folder, "capture.h5");
    if (!p->temp) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        goto done;
    }
    st = check_owner(p, err);
    if (!st)
        st = mls_folder_prepare(p->folder, err);
    if (st)
        goto done;
    p->fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->fd < 0 || flock(p->fd, LOCK_EX | LOCK_NB)) {
        st = mls_fail(err, MLS_E_INPUT, "%s: %s", p->folder,
                      errno == EWOULDBLOCK ? "another run is writing this capture"
                                           : strerror(errno));
        goto done;
    }
    st = check_key(p, stale, err);
    if (st)
        goto done;
    *out = p;
    p = NULL;

done:
    mls_part_close(p, false);
    return st;
}

void mls_part_close(mls_part *p, bool remove)
{
    if (!p)
        return;
    if (remove && p->fd >= 0) {
        remove_files(p);
        rmdir(p->folder); /* stays when somebody put a file of their own there */
    }
    if (p->fd >= 0)
        close(p->fd);
    mls_free_all(p->temp, p->folder, p);
}

const char *mls_part_temp(const mls_part *p)
{
    return p->temp;
}

/* Bytes of a record as the capture file will have it. */
static size_t record_bytes(const mls_capture_head *head)
{
    size_t n = 0;

    for (size_t i = 0; i < MLS_LAYOUTS; i++)
        n += mls_layout_bytes(&mls_layouts[i], head);
    return n;
}

static mls_status save(mls_part *p, const char *what, size_t l, const void *data,
                       size_t n, mls_err *err)
{
    mls_status st = MLS_OK;
    char *path = file_name(p, what, l), *temp = NULL;
    front f = {.key = p->key, .layer = l, .n_bytes = n};
    FILE *out = NULL;

    if (!path) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to keep layer %zu", l);
        goto done;
    }
    memcpy(f.magic, magic, sizeof magic);
    f.xxh3 = mls_xxh3(data, n);
    st = mls_file_temp_name(path, &temp, err);
    if (st)
        goto done;
    out = fopen(temp, "wb");
    const bool ok = out && fwrite(&f, sizeof f, 1, out) == 1 &&
                    fwrite(data, 1, n, out) == n && fflush(out) == 0;
    if (!ok)
        st = mls_fail(err, MLS_E_IO, "%s: writing %llu bytes: %s", path,
                      (unsigned long long)f.n_bytes, strerror(errno));
    if (out && fclose(out) && !st)
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
    if (!st)
        st = mls_file_commit(temp, path, err);
    if (st)
        unlink(temp);

done:
    mls_free_all(temp, path);
    return st;
}

static bool front_is_right(const mls_part *p, const front *f, size_t l, uint64_t n)
{
    return memcmp(f->magic, magic, sizeof magic) == 0 && f->key == p->key &&
           f->layer == l && f->n_bytes == n;
}

/* True when the file is there, of this run, of n bytes and unharmed. */
static bool is_whole(const mls_part *p, const char *what, size_t l, uint64_t n)
{
    char *path = file_name(p, what, l);
    FILE *in = path ? fopen(path, "rb") : NULL;
    uint64_t hash = 0, found = 0;
    front f;
    bool ok = in && fread(&f, sizeof f, 1, in) == 1 && front_is_right(p, &f, l, n);

    if (in)
        fclose(in);
    ok = ok && !mls_xxh3_file(path, sizeof f, &hash, &found, NULL) && found == n &&
         hash == f.xxh3;
    free(path);
    return ok;
}

static mls_status load(mls_part *p, const char *what, size_t l, void *data, size_t n,
                       mls_err *err)
{
    char *path = file_name(p, what, l);
    FILE *in = path ? fopen(path, "rb") : NULL;
    front f;
    const bool ok = in && is_whole(p, what, l, n) && fread(&f, sizeof f, 1, in) == 1 &&
                    fread(data, 1, n, in) == n;

    if (in)
        fclose(in);
    free(path);
    return ok ? MLS_OK
              : mls_fail(err, MLS_E_IO, "%s/%s-%03zu: is missing or damaged", p->folder,
                         what, l);
}

/* Numbers of a token between two layers: its state, and behind all of them what tokens
   carry. */
static size_t state_numbers(const mls_capture_head *head)
{
    return head->config.E + mls_carried_width(&head->config);
}

size_t mls_part_finished(mls_part *p, const mls_capture_head *head)
{
    const size_t L = head->config.L;
    const uint64_t states_bytes =
        head->start[head->N] * (uint64_t)state_numbers(head) * sizeof(float);
    size_t whole = 0, finished = 0;

    while (whole < L && is_whole(p, "layer", whole, record_bytes(head))) {
        whole++;
        if (is_whole(p, "states", whole - 1, states_bytes))
            finished = whole;
    }
    return finished;
}

static mls_status no_memory(size_t l, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the record of layer %zu", l);
}

mls_status mls_part_save_record(mls_part *p, size_t l, const mls_capture_head *head,
                                const mls_record *r, size_t *n_cut, mls_err *err)
{
    const size_t n = record_bytes(head);
    char *packed = mls_calloc3(n, 1, 1, 1);
    size_t at = 0;

    if (!packed)
        return no_memory(l, err);
    for (size_t i = 0; i < MLS_LAYOUTS; i++) {
        *n_cut += mls_layout_pack(packed + at, &mls_layouts[i], head, r);
        at += mls_layout_bytes(&mls_layouts[i], head);
    }
    const mls_status st = save(p, "layer", l, packed, n, err);
    free(packed);
    return st;
}

mls_status mls_part_load_record(mls_part *p, size_t l, const mls_capture_head *head,
                                mls_record *r, mls_err *err)
{
    const size_t n = record_bytes(head);
    char *packed = mls_calloc3(n, 1, 1, 1);
    mls_status st = packed ? load(p, "layer", l, packed, n, err) : no_memory(l, err);
    size_t at = 0;

    for (size_t i = 0; i < MLS_LAYOUTS && !st; i++) {
        const mls_layout *layout = &mls_layouts[i];

        mls_layout_unpack(layout, head, packed + at, mls_layout_data(layout, r));
        at += mls_layout_bytes(layout, head);
    }
    free(packed);
    return st;
}

mls_status mls_part_save_states(mls_part *p, size_t l, const mls_capture_head *head,
                                float *h, mls_err *err)
{
    mls_status st = save(p, "states", l, h,
                         head->start[head->N] * state_numbers(head) * sizeof *h, err);

    for (size_t i = 0; i < l && !st; i++) {
        char *path = file_name(p, "states", i);

        if (path)
            unlink(path);
        free(path);
    }
    return st;
}

mls_status mls_part_load_states(mls_part *p, size_t l, const mls_capture_head *head,
                                float *h, mls_err *err)
{
    return load(p, "states", l, h,
                head->start[head->N] * state_numbers(head) * sizeof *h, err);
}
