/*
 * Only here and in the commands is printed: sentences to stderr, data to stdout, and a
 * file is written whole or not at all, under another name first.
 */
#include "tools/base/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/system/files.h"
#include "tools/base/terminal.h"

static char command_line[4096];

const char *mls_tool_command_line(void)
{
    return command_line;
}

bool mls_tool_set_command_line(int argc, char *const *argv)
{
    mls_buf b = {0};

    mls_buf_puts(&b, "mlascope");
    for (int i = 0; i < argc; i++) {
        mls_buf_puts(&b, " ");
        mls_buf_shell(&b, argv[i]);
    }
    const bool whole = !b.failed;

    if (whole)
        snprintf(command_line, sizeof command_line, "%s", b.data);
    mls_buf_free(&b);
    return whole;
}

int mls_exit_status(const mls_err *err)
{
    if (err->status)
        fprintf(stderr, "mlascope: %s\n", err->text);
    return mls_status_exit(err->status);
}

void mls_tool_stopped(mls_err *err, const char *how)
{
    const size_t len = strlen(err->text);

    if (err->status == MLS_E_STOPPED)
        snprintf(err->text + len, sizeof err->text - len, "; %s", how);
}

int mls_usage_error(const mls_command *c, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mls_make_printable(text);
    fprintf(stderr, "mlascope: %s\nTry 'mlascope %s --help'.\n", text, c->name);
    return 2;
}

void mls_tool_pictures(const char *folder)
{
    fprintf(stderr,
            "mlascope: %s: pictures and their scripts in plots, numbers in data\n",
            folder);
}

mls_status mls_tool_write(const mls_buf *text, const char *path, mls_err *err)
{
    if (text->failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the output");
    if (strcmp(path, "-") != 0) {
        const mls_status st = mls_file_writable(path, err);

        return st ? st : mls_file_write(path, text->data, text->len, err);
    }
    if (fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout))
        return mls_fail(err, MLS_E_IO, "standard output: could not be written");
    return MLS_OK;
}

mls_status mls_tool_print(const mls_table *t, mls_format format, const char *path,
                          mls_err *err)
{
    mls_buf text = {0};
    const size_t width = strcmp(path, "-") == 0 ? mls_terminal_width(STDOUT_FILENO) : 0;
    mls_status st = format == MLS_FORMAT_TABLE && width
                        ? mls_table_print_within(t, width, &text, err)
                        : mls_table_print(t, format, &text, err);

    if (!st)
        st = mls_tool_write(&text, path, err);
    mls_buf_free(&text);
    return st;
}
