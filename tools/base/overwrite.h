/* No output takes the place of what a command reads, or of a part of a model. */
#ifndef MLS_OVERWRITE_H
#define MLS_OVERWRITE_H

#include <stdbool.h>
#include <stddef.h>

enum { MLS_OVERWRITE_WHY = 1024 };

/**
 * Would a file written to `output` replace what `input` names: that file, through any
 * link or spelling; a file of that folder; another part of the same GGUF model? Or
 * would it be read as a part of the model in that folder? Another new name there is
 * allowed.
 *
 * @param input     a file, a folder, or text that names none; words KEY=FILE count
 * @param[out] why  one sentence when the answer is true
 */
bool mls_overwrites(const char *output, const char *input, char why[MLS_OVERWRITE_WHY]);

/** The same for FOLDER/plots and FOLDER/data, into which pictures are written. */
bool mls_plots_overwrite(const char *folder, const char *input,
                         char why[MLS_OVERWRITE_WHY]);

#endif
