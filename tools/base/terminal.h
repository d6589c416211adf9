/* What is known of the terminal: its width. Nothing is coloured, as NO_COLOR asks. */
#ifndef MLS_TERMINAL_H
#define MLS_TERMINAL_H

#include <stddef.h>

/** Characters of a line of the terminal behind a file descriptor; 0: there is none. */
size_t mls_terminal_width(int fd);

/** Text to standard output, sentences folded to the terminal's width. NULL: none. */
void mls_terminal_print(const char *text);

#endif
