/* Writing half of analysis/capture/store.h. */
#include <errno.h>
#include <fcntl.h>
#include <hdf5_hl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"
#include "common/system/files.h"

/* What is deflated is cut into chunks of at most so many bytes; the rest is contiguous:
   the hash in front of the file covers it, and deflate leaves 85 to 89 % of moments and
   windows at 50 MB/s. */
enum { DEFLATE = 4 };

mls_status mls_store_create(mls_store **out, const char *path, const char *temp,
                            const char *kind, mls_err *err)
{
    mls_status st = MLS_OK;
    mls_store *s = calloc(1, sizeof *s);
    hid_t how = -1;

    *out = NULL;
    if (s) {
        s->file = -1;
        s->channel = -1;
        s->path = strdup(path);
    }
    if (!s || !s->path) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", path);
        goto done;
    }
    snprintf(s->kind, sizeof s->kind, "%s", kind);
    if (temp)
        s->temp = strdup(temp);
    else
        st = mls_file_temp_name(path, &s->temp, err);
    if (!s->temp && !st)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", path);
    if (st)
        goto done;
    mls_store_quiet();
    how = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(how, MLS_STORE_BLOCK);
    H5Pset_obj_track_times(how, false);
    s->file = H5Fcreate(s->temp, H5F_ACC_TRUNC, how, H5P_DEFAULT);
    if (s->file < 0) {
        st = mls_store_fail(err, MLS_E_IO, "%s: cannot be written", path);
        goto done;
    }
    *out = s;
    s = NULL;

done:
    if (how >= 0)
        H5Pclose(how);
    mls_store_abandon(s);
    return st;
}

void mls_store_abandon(mls_store *s)
{
    char *temp;

    if (!s)
        return;
    temp = s->temp;
    s->temp = NULL;
    mls_store_free(s);
    if (temp)
        unlink(temp);
    free(temp);
}

static mls_store_item *find_item(const mls_store *s, const char *path)
{
    for (size_t i = 0; i < s->n_items; i++)
        if (strcmp(s->items[i].path, path) == 0)
            return &s->items[i];
    return NULL;
}

static mls_status new_item(mls_store *s, const char *path, mls_store_item **item,
                           mls_err *err)
{
    if (strlen(path) >= MLS_STORE_PATH || find_item(s, path))
        return mls_fail(err, MLS_E_ARG, "%s: dataset %s: name taken or too long",
                        s->path, path);
    if (s->n_items == s->items_cap) {
        const size_t cap = s->items_cap ? 2 * s->items_cap : 32;
        mls_store_item *bigger = realloc(s->items, cap * sizeof *bigger);

        if (!bigger)
            return mls_fail(err, MLS_E_NOMEM, "no memory for dataset %s", path);
        s->items = bigger;
        s->items_cap = cap;
    }
    *item = &s->items[s->n_items];
    **item = (mls_store_item){.set = -1};
    snprintf((*item)->path, sizeof(*item)->path, "%s", path);
    (*item)->hash = mls_xxh3_stream_new();
    if (!(*item)->hash)
        return mls_fail(err, MLS_E_NOMEM, "no memory for dataset %s", path);
    s->n_items++;
    return MLS_OK;
}

/* A text of fixed length, UTF-8; at least one byte, because HDF5 has no empty text. */
static hid_t text_type(size_t len)
{
    const hid_t type = H5Tcopy(H5T_C_S1);

    H5Tset_size(type, len ? len : 1);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* Attribute with one value on an open object. */
static bool put_attribute(hid_t object, const char *name, hid_t in_file,
                          hid_t in_memory, const void *value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t a = H5Acreate2(object, name, in_file, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool ok = a >= 0 && H5Awrite(a, in_memory, value) >= 0;

    mls_store_close_all(a, space);
    return ok;
}

static bool put_text(hid_t object, const char *name, const char *value)
{
    const hid_t type = text_type(strlen(value));
    const bool ok = put_attribute(object, name, type, type, value);

    H5Tclose(type);
    return ok;
}

/*
 * Chunks of one slice along dimension 0, cut further from the second dimension on until
 * they fit MLS_STORE_CHUNK.
 */
static void choose_chunk(hsize_t *chunk, const mls_store_spec *spec)
{
    size_t rest = mls_store_type_size(spec->type);

    for (size_t i = 0; i < spec->rank; i++)
        rest *= spec->shape[i];
    for (size_t i = 0; i < spec->rank; i++) {
        const size_t n = spec->shape[i];
        size_t keep;

        rest /= n ? n : 1;
        keep = rest ? MLS_STORE_CHUNK / rest : n;
        if (i == 0 && spec->rank > 1)
            keep = 1;
        keep = keep < 1 ? 1 : keep > n ? n : keep;
        /* As many pieces as that takes, of one size: little is padded. */
        const size_t pieces = keep ? (n + keep - 1) / keep : 1;
        chunk[i] = pieces ? (n + pieces - 1) / pieces : keep;
    }
}

/* Intermediate groups are made without times, so that the file has none. */
static hid_t link_with_groups(void)
{
    const hid_t how = H5Pcreate(H5P_LINK_CREATE);

    H5Pset_create_intermediate_group(how, 1);
    return how;
}

static mls_status attach(mls_store *s, const mls_store_item *item, mls_err *err)
{
    const mls_store_spec *spec = &item->spec;

    for (size_t i = 0; i < spec->rank; i++) {
        char path[MLS_STORE_PATH];
        const mls_store_item *scale;

        if (!spec->axes[i])
            continue;
        snprintf(path, sizeof path, "/axes/%s", spec->axes[i]);
        scale = find_item(s, path);
        if (H5DSset_label(item->set, (unsigned)i, spec->axes[i]) < 0 ||
            (scale && scale->spec.shape[0] == spec->shape[i] &&
             H5DSattach_scale(item->set, scale->set, (unsigned)i) < 0))
            return mls_store_fail(err, MLS_E_IO, "%s: dataset %s: naming axis %s",
                                  s->path, item->path, spec->axes[i]);
    }
    return MLS_OK;
}

static mls_status make_set(mls_store *s, mls_store_item *item, hid_t type, hid_t space,
                           hid_t how, const char *units, const char *long_name,
                           mls_err *err)
{
    const hid_t link = link_with_groups();

    H5Pset_obj_track_times(how, false);
    item->set = H5Dcreate2(s->file, item->path, type, space, link, how, H5P_DEFAULT);
    H5Pclose(link);
    if (item->set < 0 || (long_name && !put_text(item->set, "long_name", long_name)) ||
        (units && !put_text(item->set, "units", units)))
        return mls_store_fail(err, MLS_E_IO, "%s: dataset %s cannot be made", s->path,
                              item->path);
    return MLS_OK;
}

mls_status mls_store_add(mls_store *s, const mls_store_spec *spec, mls_err *err)
{
    mls_status st;
    mls_store_item *item;
    hsize_t shape[MLS_STORE_RANK], chunk[MLS_STORE_RANK];
    hid_t space = -1, how = -1;
    size_t n = 1;

    st = new_item(s, spec->path, &item, err);
    if (st)
        return st;
    item->spec = *spec;
    for (size_t i = 0; i < spec->rank; i++) {
        shape[i] = spec->shape[i];
        n *= spec->shape[i];
    }
    space = H5Screate_simple((int)spec->rank, shape, NULL);
    how = H5Pcreate(H5P_DATASET_CREATE);
    if (n > 0 && spec->rank > 1 && spec->compress) {
        choose_chunk(chunk, spec);
        H5Pset_chunk(how, (int)spec->rank, chunk);
        H5Pset_shuffle(how);
        H5Pset_deflate(how, DEFLATE);
        H5Pset_fletcher32(how);
    }
    const hid_t type = mls_store_file_type(spec->type);
    st = make_set(s, item, type, space, how, spec->units, spec->long_name, err);
    H5Tclose(type);
    if (!st)
        st = attach(s, item, err);
    mls_store_close_all(how, space);
    return st;
}

mls_status mls_store_append(mls_store *s, const char *path, const void *data, size_t n,
                            mls_err *err)
{
    mls_store_item *item = find_item(s, path);
    hsize_t start[MLS_STORE_RANK] = {0}, count[MLS_STORE_RANK], n_values = n;
    hid_t space, memory;
    mls_status st = MLS_OK;

    if (!item || item->spec.rank == 0 || n > item->spec.shape[0] - item->next)
        return mls_fail(err, MLS_E_ARG, "%s: dataset %s takes no %zu slices more",
                        s->path, path, n);
    const mls_store_spec *spec = &item->spec;
    start[0] = item->next;
    count[0] = n;
    for (size_t i = 1; i < spec->rank; i++) {
        count[i] = spec->shape[i];
        n_values *= count[i];
    }
    item->next += n;
    if (n_values == 0)
        return MLS_OK;
    mls_xxh3_stream_add(item->hash, data, n_values * mls_store_type_size(spec->type));
    const hid_t in_memory = mls_store_memory_type(spec->type);
    space = H5Dget_space(item->set);
    memory = H5Screate_simple((int)spec->rank, count, NULL);
    if (space < 0 || memory < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dwrite(item->set, in_memory, memory, space, H5P_DEFAULT, data) < 0)
        st = mls_store_fail(
            err, MLS_E_IO, "%s: writing %llu bytes of dataset %s", s->path,
            (unsigned long long)n_values * mls_store_type_size(spec->type), path);
    mls_store_close_all(in_memory, memory, space);
    return st;
}

mls_status mls_store_scale(mls_store *s, const char *name, mls_store_type type,
                           size_t n, const void *values, const char *units,
                           const char *long_name, mls_err *err)
{
    char path[MLS_STORE_PATH];
    mls_status st;

    snprintf(path, sizeof path, "/axes/%s", name);
    const mls_store_spec spec = {.path = path,
                                 .type = type,
                                 .rank = 1,
                                 .shape = {n},
                                 .units = units,
                                 .long_name = long_name};
    st = mls_store_add(s, &spec, err);
    if (!st)
        st = mls_store_append(s, path, values, n, err);
    const mls_store_item *item = find_item(s, path);
    if (!st && item && H5DSset_scale(item->set, name) < 0)
        st = mls_store_fail(err, MLS_E_IO, "%s: %s as a scale", s->path, path);
    return st;
}

mls_status mls_store_companion(mls_store *s, const char *path, size_t dimension,
                               const char *scale, mls_err *err)
{
    const mls_store_item *item = find_item(s, path);
    const mls_store_item *companion = find_item(s, scale);

    if (!item || !companion)
        return mls_fail(err, MLS_E_ARG, "%s: no dataset %s or %s", s->path, path,
                        scale);
    if (H5DSattach_scale(item->set, companion->set, (unsigned)dimension) < 0)
        return mls_store_fail(err, MLS_E_IO, "%s: attaching %s to %s", s->path, scale,
                              path);
    return MLS_OK;
}

mls_status mls_store_add_text(mls_store *s, const char *path, const char *text,
                              size_t len, const char *long_name, mls_err *err)
{
    mls_store_item *item;
    mls_status st = new_item(s, path, &item, err);

    if (st)
        return st;
    const hid_t type = text_type(len);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    st = make_set(s, item, type, space, how, NULL, long_name, err);
    mls_xxh3_stream_add(item->hash, len ? text : "", len ? len : 1);
    if (!st &&
        H5Dwrite(item->set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, len ? text : "") < 0)
        st = mls_store_fail(err, MLS_E_IO, "%s: writing %s", s->path, path);
    mls_store_close_all(how, space, type);
    return st;
}

/* An open group or dataset, made as a group when missing; closed with H5Oclose(). */
static hid_t open_object(mls_store *s, const char *path)
{
    const mls_store_item *item = find_item(s, path);
    hid_t object, link, group;

    object = H5Oopen(s->file, item ? item->path : path, H5P_DEFAULT);
    if (object >= 0)
        return object;
    H5Eclear2(H5E_DEFAULT);
    link = link_with_groups();
    group = H5Gcreate2(s->file, path, link, H5P_DEFAULT, H5P_DEFAULT);
    H5Pclose(link);
    return group;
}

static mls_status set_attribute(mls_store *s, const char *path, const char *name,
                                const char *text, const uint64_t *count, mls_err *err)
{
    const hid_t object = open_object(s, path);
    mls_status st = MLS_OK;

    if (object < 0 ||
        !(text ? put_text(object, name, text)
               : put_attribute(object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, count)))
        st = mls_store_fail(err, MLS_E_IO, "%s: attribute %s of %s", s->path, name,
                            path);
    if (object >= 0)
        H5Oclose(object);
    return st;
}

mls_status mls_store_set_text(mls_store *s, const char *path, const char *name,
                              const char *value, mls_err *err)
{
    return set_attribute(s, path, name, value, NULL, err);
}

mls_status mls_store_set_count(mls_store *s, const char *path, const char *name,
                               uint64_t value, mls_err *err)
{
    return set_attribute(s, path, name, NULL, &value, err);
}

static mls_status write_manifest(mls_store *s, mls_err *err)
{
    const hsize_t n = s->n_items;
    mls_store_line *lines = calloc(n ? n : 1, sizeof *lines);
    const hid_t in_file = mls_store_line_type(true);
    const hid_t in_memory = mls_store_line_type(false);
    const hid_t space = H5Screate_simple(1, &n, NULL);
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    mls_status st = MLS_OK;

    if (!lines) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the manifest of %s", s->path);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const mls_store_item *item = &s->items[i];

        if (item->spec.rank > 0 && item->next != item->spec.shape[0]) {
            st = mls_fail(err, MLS_E_ARG, "%s: dataset %s has %zu slices of %zu",
                          s->path, item->path, item->next, item->spec.shape[0]);
            goto done;
        }
        memcpy(lines[i].path, item->path, strlen(item->path));
        lines[i].xxh3 = mls_xxh3_stream_digest(item->hash);
    }
    H5Pset_obj_track_times(how, false);
    set = H5Dcreate2(s->file, MLS_STORE_MANIFEST, in_file, space, H5P_DEFAULT, how,
                     H5P_DEFAULT);
    if (set < 0 ||
        !put_text(set, "long_name", "XXH3 (64 bits) of the values of every dataset") ||
        H5Dwrite(set, in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, lines) < 0)
        st = mls_store_fail(err, MLS_E_IO, "%s: writing %s", s->path,
                            MLS_STORE_MANIFEST);

done:
    mls_store_close_all(set, how, space, in_memory, in_file);
    free(lines);
    return st;
}

/* Close everything; HDF5 tells some write errors only here. */
static mls_status close_all(mls_store *s, mls_err *err)
{
    bool ok = true;

    for (size_t i = 0; i < s->n_items; i++) {
        ok = H5Dclose(s->items[i].set) >= 0 && ok;
        s->items[i].set = -1;
    }
    ok = H5Fflush(s->file, H5F_SCOPE_GLOBAL) >= 0 && ok;
    ok = H5Fclose(s->file) >= 0 && ok;
    s->file = -1;
    return ok ? MLS_OK : mls_store_fail(err, MLS_E_IO, "%s: closing the file", s->path);
}

/* The text in front of the HDF5 part: hash and length of all that follows. */
static mls_status write_front(mls_store *s, mls_err *err)
{
    char front[MLS_STORE_BLOCK];
    uint64_t hash = 0, n_bytes = 0;
    mls_status st = mls_xxh3_file(s->temp, MLS_STORE_BLOCK, &hash, &n_bytes, err);

    if (st)
        return st;
    mls_store_front(front, s->kind, hash, n_bytes);
    const int fd = open(s->temp, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, front, sizeof front, 0) != (ssize_t)sizeof front)
        st = mls_fail(err, MLS_E_IO, "%s: writing the first %d bytes: %s", s->path,
                      MLS_STORE_BLOCK, strerror(errno));
    if (fd >= 0 && close(fd) && !st)
        st = mls_fail(err, MLS_E_IO, "%s: %s", s->path, strerror(errno));
    return st;
}

/* HDF5's own word is not enough: after a full disk it reads zeros back as success. */
static mls_status read_back(const mls_store *s, mls_err *err)
{
    mls_store *again = NULL;
    size_t n;
    uint64_t n_bytes;
    mls_status st = mls_store_open_file(&again, s->temp, s->path, err);

    if (!st)
        st = mls_store_verify(again, &n, &n_bytes, err);
    mls_store_close(again);
    if (st)
        st = mls_fail_in(err, MLS_E_IO, "reading back what was written");
    return st;
}

mls_status mls_store_finish(mls_store *s, mls_err *err)
{
    mls_status st = write_manifest(s, err);

    if (!st)
        st = close_all(s, err);
    if (!st)
        st = write_front(s, err);
    if (!st)
        st = read_back(s, err);
    if (!st)
        st = mls_file_commit(s->temp, s->path, err);
    if (!st) {
        free(s->temp);
        s->temp = NULL;
    }
    mls_store_abandon(s);
    return st;
}
