/*
 * Sentences are folded at spaces to the width of the terminal; rows of tables and
 * commands stay as they are, to be read or copied. Characters that a terminal obeys are
 * left out: names in them come from files.
 */
#define _GNU_SOURCE
#include "tools/base/terminal.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_MIN = 20 };

size_t mls_terminal_width(int fd)
{
    struct winsize size;

    if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) || size.ws_col < WIDTH_MIN)
        return 0;
    return size.ws_col;
}

/* The first n bytes of a line are printed before a space, or all where none fits. */
static size_t folded(const char *line, size_t len, size_t width)
{
    size_t seen = 0, space = 0;

    for (size_t i = 0; i < len; i++) {
        seen += ((unsigned char)line[i] & 0xc0) != 0x80;
        if (seen > width)
            return space ? space : len;
        if (line[i] == ' ')
            space = i;
    }
    return len;
}

/* Rows of a table and commands are to be read, or copied, as they are. */
static int is_sentence(const char *line, size_t len)
{
    return !memmem(line, len, "  ", 2) && strncmp(line, "mlascope ", 9) != 0;
}

/* Without what a terminal obeys: ESC and others below a space, U+0080 to U+009F. */
static void put_line(const char *text, size_t len)
{
    const unsigned char *u = (const unsigned char *)text;

    for (size_t i = 0; i < len; i++)
        if (u[i] < 0x20 || u[i] == 0x7f ||
            (u[i] == 0xc2 && i + 1 < len && u[i + 1] >= 0x80 && u[i + 1] < 0xa0))
            i += u[i] == 0xc2;
        else
            putchar(u[i]);
    putchar('\n');
}

void mls_terminal_print(const char *text)
{
    const size_t width = mls_terminal_width(STDOUT_FILENO);

    while (text && *text) {
        size_t len = strcspn(text, "\n");

        while (width && is_sentence(text, len)) {
            const size_t n = folded(text, len, width);

            if (n == len)
                break;
            put_line(text, n);
            text += n + 1;
            len -= n + 1;
        }
        put_line(text, len);
        text += len + (text[len] == '\n');
    }
}
