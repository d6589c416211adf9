/* The work of a report by the model's shape, and what follows from it. */
#ifndef MLS_WORK_H
#define MLS_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "datasets/checkpoint/config.h"

/** Sequences of the texts, where the command names none. */
typedef struct mls_report_texts {
    size_t calibration, held_out;
} mls_report_texts;

/** Products in double of one setting's forms of all layers, with predicted errors. */
double mls_work_form(const mls_config *c);

/** Products in double of the singular values of all layers. */
double mls_work_spectra(const mls_config *c);

/**
 * Is so much to be done that a report measures less: the answer's size alone, on fewer
 * sequences, but all settings on all of these? By the shape alone, so that the same
 * model has the same report on every machine.
 *
 * @param parameters  of the checkpoint
 */
bool mls_work_is_large(const mls_config *c, double parameters);

mls_report_texts mls_work_texts(const mls_config *c, double parameters);

#endif
