/* What NAME --help prints: the file help/NAME.txt, embedded at build time. */
#ifndef MLS_HELP_H
#define MLS_HELP_H

#include "tools/base/command.h"

extern const char mls_capture_txt[], mls_check_txt[], mls_compare_txt[], mls_diff_txt[],
    mls_evaluate_txt[], mls_export_txt[], mls_frequency_txt[], mls_heal_txt[],
    mls_merge_txt[], mls_methods_txt[], mls_plan_txt[], mls_quantize_txt[],
    mls_report_txt[], mls_show_txt[], mls_size_txt[], mls_spectrum_txt[],
    mls_tokenize_txt[], mls_verify_txt[];

/** The command that a file ends with: its name, group, summary; its function is run. */
#define MLS_COMMAND(id, group_, summary_)                                              \
    const mls_command cmd_##id = {.group = (group_),                                   \
                                  .name = #id,                                         \
                                  .summary = (summary_),                               \
                                  .usage = mls_##id##_txt,                             \
                                  .run = run}

#endif
