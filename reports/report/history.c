/*
 * A row of the history is a row of the answer and what it follows from: report.json has
 * the facts, data/answer.csv the figures. Rows are appended in one write under a lock,
 * so that two reports that end together both find their place, and a file that began as
 * something else is never written to. The same report run again adds nothing: a row
 * whose cells behind the day are there already is known.
 */
#include "reports/report/history.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/system/files.h"
#include "datasets/base/csv.h"
#include "reports/page/table.h"
#include "reports/report/report_folder.h"

enum { HISTORY_MAX = 1 << 28 };

/* What report.json calls it, and the column. */
static const struct {
    const char *fact, *column;
} facts[] = {
    {"program", "program"},
    {"model", "model"},
    {"model SHA-256", "model_sha256"},
    {"calibration text SHA-256", "calibration_sha256"},
    {"calibration sequences", "sequences"},
    {"tokens of a sequence", "length"},
    {"evaluation text SHA-256", "evaluation_sha256"},
    {"evaluation sequences", "evaluation_sequences"},
};
enum { N_FACTS = sizeof facts / sizeof facts[0] };

static const char *const figures[] = {
    "served_by", "setting", "kept_percent", "kl", "kl_half", "perplexity",
};
enum { N_FIGURES = sizeof figures / sizeof figures[0] };

static mls_table *new_table(void)
{
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "date", "date", "", 0);
    for (size_t i = 0; i < N_FACTS; i++)
        mls_table_column(t, facts[i].column, facts[i].column, "", 0);
    for (size_t i = 0; i < N_FIGURES; i++)
        mls_table_column(t, figures[i], figures[i], "", 0);
    return t;
}

static mls_status fill(mls_table *t, const char *folder, const mls_csv *csv,
                       mls_err *err)
{
    const time_t now = time(NULL);
    const char *name[N_FACTS];
    char value[N_FACTS][MLS_REPORT_FACT], day[32];
    struct tm utc;
    mls_status st;

    for (size_t i = 0; i < N_FACTS; i++)
        name[i] = facts[i].fact;
    if ((st = mls_report_about(folder, name, N_FACTS, value, err)))
        return st;
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    for (size_t r = 0; r < csv->n_rows; r++) {
        mls_table_line(t, "%s", day);
        for (size_t i = 0; i < N_FACTS; i++)
            mls_table_text(t, value[i]);
        for (size_t i = 0; i < N_FIGURES; i++) {
            const size_t column = mls_csv_column(csv, figures[i]);

            mls_table_text(t, mls_csv_cell(csv, r, column));
        }
    }
    return MLS_OK;
}

/* The lines of a finished report, the first of them the heads of the columns. */
static mls_status lines_of(mls_buf *out, const char *folder, mls_err *err)
{
    char *path = folder ? mls_path_join(folder, "data/answer.csv") : NULL;
    mls_csv csv = {0};
    mls_table *t = new_table();
    mls_status st = MLS_OK;

    if (!t || (folder && !path))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a history");
    if (!st && folder)
        st = mls_csv_read(&csv, path, err);
    for (size_t i = 0; !st && folder && i < N_FIGURES; i++)
        if (mls_csv_column(&csv, figures[i]) == csv.n_columns)
            st = mls_fail(err, MLS_E_INPUT, "%s: has no column %s", path, figures[i]);
    if (!st && folder)
        st = fill(t, folder, &csv, err);
    if (!st)
        st = mls_table_print(t, MLS_FORMAT_CSV, out, err);
    mls_table_free(t);
    mls_csv_free(&csv);
    free(path);
    return st;
}

/* The whole file behind a descriptor, with a NUL. */
static mls_status read_all(int fd, const char *path, char **text, size_t *len,
                           mls_err *err)
{
    struct stat s;
    ssize_t got = 0;

    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_size > HISTORY_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: is no file of at most 256 MiB", path);
    *len = 0;
    *text = malloc((size_t)s.st_size + 1);
    if (!*text)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a history");
    while (*len < (size_t)s.st_size &&
           (got = pread(fd, *text + *len, (size_t)s.st_size - *len, (off_t)*len)) > 0)
        *len += (size_t)got;
    (*text)[*len] = '\0';
    return *len == (size_t)s.st_size
               ? MLS_OK
               : mls_fail(err, MLS_E_IO, "%s: cannot be read", path);
}

static mls_status check_head(const char *path, const char *text, size_t len,
                             const char *lines, mls_err *err)
{
    const size_t head = strcspn(lines, "\n") + 1;

    if (len == 0)
        return MLS_OK;
    if (len < head || strncmp(text, lines, head) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is no history of reports: it begins with %.40s, not with "
                        "%.40s",
                        path, text, lines);
    return text[len - 1] == '\n'
               ? MLS_OK
               : mls_fail(err, MLS_E_INPUT, "%s: its last line has no end", path);
}

mls_status mls_history_check(const char *path, mls_err *err)
{
    mls_buf lines = {0};
    char *text = NULL;
    size_t len = 0;
    int fd;
    mls_status st;

    if (access(path, F_OK))
        return mls_file_writable(path, err);
    st = mls_file_open(path, &fd, NULL, err);
    if (st)
        return st;
    st = read_all(fd, path, &text, &len, err);
    if (!st)
        st = lines_of(&lines, NULL, err);
    if (!st)
        st = check_head(path, text, len, lines.data, err);
    if (!st && access(path, W_OK))
        st = mls_fail(err, MLS_E_IO, "%s: cannot be written", path);
    close(fd);
    free(text);
    mls_buf_free(&lines);
    return st;
}

/* Of the lines behind the heads, those that the text has not, whatever their day. */
static size_t new_lines(mls_buf *out, const char *lines, const char *text)
{
    size_t n = 0;

    for (const char *line = lines + strcspn(lines, "\n") + 1; *line;) {
        const size_t len = strcspn(line, "\n") + 1, day = strcspn(line, ",");
        char *rest = strndup(line + day, len - day);

        if (!rest || !strstr(text, rest)) {
            mls_buf_printf(out, "%.*s", (int)len, line);
            n++;
        }
        out->failed = out->failed || !rest;
        free(rest);
        line += len;
    }
    return n;
}

/* All of it, or the file is as long as it was. */
static mls_status append(int fd, const char *path, const char *data, size_t len,
                         size_t old, mls_err *err)
{
    size_t done = 0;
    ssize_t put = 0;

    while (done < len && (put = write(fd, data + done, len - done)) > 0)
        done += (size_t)put;
    if (done == len && fsync(fd) == 0)
        return MLS_OK;
    mls_fail(err, MLS_E_IO, "%s: cannot be written: nothing was added", path);
    return ftruncate(fd, (off_t)old) ? mls_fail(err, MLS_E_IO,
                                                "%s: cannot be written: its last line "
                                                "is not whole",
                                                path)
                                     : err->status;
}

mls_status mls_history_add(const char *path, const char *folder, size_t *rows,
                           mls_err *err)
{
    mls_buf lines = {0}, more = {0};
    char *text = NULL;
    size_t len = 0;
    int fd = -1;
    mls_status st = lines_of(&lines, folder, err);

    *rows = 0;
    if (!st && (fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
        st = mls_fail(err, MLS_E_IO, "%s: cannot be opened", path);
    if (!st && flock(fd, LOCK_EX))
        st = mls_fail(err, MLS_E_IO, "%s: cannot be locked", path);
    if (!st)
        st = read_all(fd, path, &text, &len, err);
    if (!st)
        st = check_head(path, text, len, lines.data, err);
    if (!st) {
        if (len == 0)
            mls_buf_printf(&more, "%.*s", (int)strcspn(lines.data, "\n") + 1,
                           lines.data);
        *rows = new_lines(&more, lines.data, text);
        if (more.failed)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a history");
    }
    if (!st && *rows)
        st = append(fd, path, more.data, more.len, len, err);
    if (fd >= 0)
        close(fd);
    free(text);
    mls_buf_free(&lines);
    mls_buf_free(&more);
    return st;
}
