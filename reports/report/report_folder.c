/*
 * report.json stands in the folder from the first moment on and says what the report is
 * about; at the end it also lists every file with its hash. So a folder is known as
 * ours, a second report of other figures is told from the same one going on, and
 * nothing of an old report stays beside a new one.
 */
#include "reports/report/report_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/base/json.h"

enum { FILE_MAX = 1 << 24 };

static const char own_name[] = "report.json", kind[] = "mlascope report";

/* What a report writes: files in its folder, and by ending in these below it. */
static const char *const top[] = {"index.html",     MLS_REPORT_ANSWER,
                                  "run.h5",         "plan.json",
                                  "plan.json.part", "measured.part.jsonl"};
static const struct {
    const char *folder, *end;
} below[] = {{"data", ".csv"},  {"plots", ".gp"},  {"plots", ".svg"},
             {"plots", ".png"}, {"plots", ".txt"}, {"tables", ".csv"},
             {"texts", ".h5"}};

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n > m && strcmp(name + n - m, end) == 0;
}

/* A name, or that of the temporary file it is written under. */
static bool is_name(const char *name, const char *ours)
{
    const size_t n = strlen(ours);

    return strncmp(name, ours, n) == 0 &&
           (!name[n] || strncmp(name + n, ".tmp-", 5) == 0);
}

static bool is_top(const char *name)
{
    for (size_t i = 0; i < sizeof top / sizeof top[0]; i++)
        if (is_name(name, top[i]))
            return true;
    return is_name(name, own_name) || is_name(name, "run.h5.part") ||
           is_name(name, ".probe");
}

static bool is_below(const char *folder, const char *name)
{
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++)
        if (strcmp(folder, below[i].folder) == 0 && ends_in(name, below[i].end))
            return true;
    return false;
}

static bool is_subfolder(const char *name)
{
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++)
        if (strcmp(name, below[i].folder) == 0)
            return true;
    return false;
}

/* --- Every file of ours, in the order of their names --- */

typedef mls_status (*visitor)(const char *path, const char *name, void *arg,
                              mls_err *err);

static int not_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static mls_status visit(const char *folder, const char *sub, visitor call, void *arg,
                        mls_err *err)
{
    char *path = sub ? mls_path_join(folder, sub) : strdup(folder);
    struct dirent **entry = NULL;
    const int n = path ? scandir(path, &entry, not_dots, alphasort) : -1;
    mls_status st =
        path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        mls_buf full = {0}, inside = {0};

        mls_buf_printf(&full, "%s/%s", path, name);
        mls_buf_printf(&inside, "%s%s%s", sub ? sub : "", sub ? "/" : "", name);
        if (!st && (full.failed || inside.failed))
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        if (!st && (sub ? is_below(sub, name) : is_top(name)) &&
            mls_file_exists(full.data) && strcmp(name, own_name) != 0)
            st = call(full.data, inside.data, arg, err);
        else if (!st && !sub && is_subfolder(name))
            st = visit(folder, name, call, arg, err);
        mls_buf_free(&full);
        mls_buf_free(&inside);
        free(entry[i]);
    }
    mls_free_all(entry, path);
    return st;
}

static mls_status remove_one(const char *path, const char *name, void *arg,
                             mls_err *err)
{
    (void)name;
    (void)arg;
    return unlink(path) ? mls_fail(err, MLS_E_IO, "%s: cannot be removed", path)
                        : MLS_OK;
}

static mls_status hash_one(const char *path, const char *name, void *arg, mls_err *err)
{
    char hex[MLS_SHA256_HEX];

    if (strstr(name, ".tmp-")) /* a killed process left it, and it goes with a write */
        return MLS_OK;
    const mls_status st = mls_sha256_file(path, hex, err);

    if (!st && json_object_set_new(arg, name, json_string(hex)))
        return mls_fail(err, MLS_E_NOMEM, "no memory for report.json");
    return st;
}

/* --- report.json --- */

static char *own_path(const char *folder)
{
    return mls_path_join(folder, own_name);
}

bool mls_report_is(const char *folder)
{
    char *path = own_path(folder);
    const bool is = path && mls_file_exists(path);

    free(path);
    return is;
}

void mls_report_unclaim(const char *folder)
{
    DIR *d = opendir(folder);
    char *path = own_path(folder);
    bool alone = d && path;

    for (const struct dirent *e; alone && (e = readdir(d));)
        alone = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                strcmp(e->d_name, own_name) == 0;
    if (alone)
        unlink(path);
    if (d)
        closedir(d);
    free(path);
}

static mls_status write_own(const char *folder, const json_t *o, mls_err *err)
{
    char *path = own_path(folder);
    char *text = json_dumps(o, JSON_INDENT(2));
    mls_status st = MLS_OK;

    if (!path || !text)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for report.json");
    if (!st) {
        const size_t len = strlen(text);

        text[len] = '\n'; /* in place of the NUL, which is not written */
        st = mls_file_write(path, text, len + 1, err);
    }
    mls_free_all(text, path);
    return st;
}

/* @param[out] out  release with json_decref() */
static mls_status read_own(const char *folder, json_t **out, mls_err *err)
{
    char *path = own_path(folder);
    const char *format;
    mls_status st = path ? mls_json_read(out, path, FILE_MAX, NULL, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for report.json");

    if (!st) {
        format = json_string_value(json_object_get(*out, "format"));
        if (!format || strcmp(format, kind) != 0 ||
            !json_is_object(json_object_get(*out, "about"))) {
            json_decref(*out);
            *out = NULL;
            st = mls_fail(err, MLS_E_INPUT, "%s: is not the report.json of a report",
                          path);
        }
    }
    free(path);
    return st;
}

/* What differs, "name: old there, new now" joined by "; ". */
static void differences(mls_buf *out, const json_t *about, const mls_report_fact *fact,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *old = json_string_value(json_object_get(about, fact[i].name));

        if (!old || strcmp(old, fact[i].value) != 0)
            mls_buf_printf(out, "%s%s is %.80s there and %.80s now",
                           out->len ? "; " : "", fact[i].name, old ? old : "not given",
                           fact[i].value);
    }
}

/* The first entry that no report wrote; "" when there is none. */
static mls_status find_foreign(const char *folder, char foreign[256], bool *empty,
                               mls_err *err)
{
    DIR *d = opendir(folder);

    foreign[0] = '\0';
    *empty = true;
    if (!d)
        return mls_folder_exists(folder)
                   ? mls_fail(err, MLS_E_INPUT, "%s: cannot be read", folder)
                   : MLS_OK;
    for (const struct dirent *e; (e = readdir(d));) {
        if (!not_dots(e))
            continue;
        *empty = false;
        if (!is_top(e->d_name) && !is_subfolder(e->d_name) && !foreign[0])
            snprintf(foreign, 256, "%s", e->d_name);
    }
    closedir(d);
    return MLS_OK;
}

static mls_status begin(const char *folder, const mls_report_fact *fact, size_t n,
                        mls_err *err)
{
    json_t *o = json_object(), *about = json_object();
    int bad = json_object_set_new(o, "format", json_string(kind)) |
              json_object_set_new(o, "version", json_integer(1));
    mls_status st;

    for (size_t i = 0; i < n; i++)
        bad |= json_object_set_new(about, fact[i].name, json_string(fact[i].value));
    bad |= json_object_set_new(o, "about", about);
    st = bad ? mls_fail(err, MLS_E_NOMEM, "no memory for report.json")
             : mls_folder_prepare(folder, err);
    if (!st)
        st = write_own(folder, o, err);
    json_decref(o);
    return st;
}

/* Without a report.json: new, foreign, or of version 0.1.0. */
static mls_status claim_unknown(const char *folder, bool *clean, bool replace,
                                mls_err *err)
{
    char foreign[256], *page = mls_path_join(folder, "index.html");
    bool empty = true;
    mls_status st = page ? find_foreign(folder, foreign, &empty, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    if (!st && foreign[0])
        st = mls_fail(err, MLS_E_INPUT,
                      "%s holds %s, which no report wrote: nothing in it is touched; "
                      "name a new or empty folder",
                      folder, foreign);
    if (!st && !empty && !replace && mls_file_exists(page))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s holds a report without report.json, as mlascope 0.1.0 wrote "
                      "them; --replace writes a new one in its place",
                      folder);
    *clean = !st && !empty;
    free(page);
    return st;
}

mls_status mls_report_claim(const char *folder, const mls_report_fact *fact, size_t n,
                            bool replace, mls_err *err)
{
    json_t *o = NULL;
    mls_buf what = {0};
    bool clean = false;
    mls_status st = MLS_OK;

    if (!mls_report_is(folder)) {
        st = claim_unknown(folder, &clean, replace, err);
    } else if (!(st = read_own(folder, &o, err))) {
        differences(&what, json_object_get(o, "about"), fact, n);
        if (what.failed)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
        else if (what.len == 0)
            goto done; /* the same report: it goes on */
        else if (json_object_get(o, "files") && !replace)
            st =
                mls_fail(err, MLS_E_INPUT,
                         "%s holds a finished report: %s; --replace writes the new one "
                         "in its place",
                         folder, what.data);
        clean = !st;
    }
    if (!st && clean)
        st = visit(folder, NULL, remove_one, NULL, err);
    if (!st)
        st = begin(folder, fact, n, err);

done:
    mls_buf_free(&what);
    json_decref(o);
    return st;
}

mls_status mls_report_about(const char *folder, const char *const *name, size_t n,
                            char (*value)[MLS_REPORT_FACT], mls_err *err)
{
    json_t *o = NULL;
    const mls_status st = read_own(folder, &o, err);
    const json_t *about = st ? NULL : json_object_get(o, "about");

    for (size_t i = 0; !st && i < n; i++) {
        const char *text = json_string_value(json_object_get(about, name[i]));

        snprintf(value[i], MLS_REPORT_FACT, "%s", text ? text : "");
    }
    json_decref(o);
    return st;
}

mls_status mls_report_seal(const char *folder, mls_err *err)
{
    json_t *o = NULL, *files = json_object();
    mls_status st = read_own(folder, &o, err);

    if (!st && !files)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for report.json");
    if (!st)
        st = visit(folder, NULL, hash_one, files, err);
    if (!st && json_object_set(o, "files", files))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for report.json");
    if (!st)
        st = write_own(folder, o, err);
    json_decref(files);
    json_decref(o);
    return st;
}

mls_status mls_report_verify(const char *folder, size_t *n_files, uint64_t *n_bytes,
                             mls_err *err)
{
    json_t *o = NULL, *hash;
    const char *name;
    json_t *files;
    mls_status st = read_own(folder, &o, err);

    *n_files = 0;
    *n_bytes = 0;
    files = st ? NULL : json_object_get(o, "files");
    if (!st && !json_is_object(files))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: the report is not finished; the same command goes on",
                      folder);
    json_object_foreach(files, name, hash)
    {
        char hex[MLS_SHA256_HEX], *path = mls_path_join(folder, name);
        struct stat s;

        if (!st && !path)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        if (!st && (strstr(name, "..") || name[0] == '/'))
            st = mls_fail(err, MLS_E_INPUT, "%s/%s: names %s, outside the report",
                          folder, own_name, name);
        if (!st && (stat(path, &s) || !S_ISREG(s.st_mode)))
            st = mls_fail(err, MLS_E_INPUT, "%s: is missing", path);
        if (!st)
            st = mls_sha256_file(path, hex, err);
        if (!st && (!json_is_string(hash) || strcmp(json_string_value(hash), hex) != 0))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: was changed since the report was written", path);
        if (!st) {
            *n_files += 1;
            *n_bytes += (uint64_t)s.st_size;
        }
        free(path);
    }
    json_decref(o);
    return st;
}
