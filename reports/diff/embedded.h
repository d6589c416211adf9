/* Files of this folder as constants, made by reports/page/embed.sh. */
#ifndef MLS_DIFF_EMBEDDED_H
#define MLS_DIFF_EMBEDDED_H

extern const char mls_diff_gp[];

#endif
