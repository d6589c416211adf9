/* How long work tells its caller how far it is, and learns that it should stop. */
#ifndef MLS_PROGRESS_H
#define MLS_PROGRESS_H

#include <stdbool.h>

#include "common/base/status.h"

/**
 * Given by the caller, called from the thread that started the work; NULL is accepted
 * by mls_progress_step(), so library code never asks whether anybody listens.
 */
typedef struct mls_progress {
    void *arg;
    /** what: a short phrase ("layer 3 of 32"); done of total in any one unit. */
    void (*step)(void *arg, const char *what, double done, double total);
    /** A remark worth a line ("12 sequences, the text is short"); may be NULL. */
    void (*note)(void *arg, const char *text);
    /** True once a signal asked to stop; may be NULL. */
    bool (*stopped)(void *arg);
} mls_progress;

/** Report; returns MLS_E_STOPPED (and says so in err) when the user asked to stop. */
mls_status mls_progress_step(const mls_progress *p, const char *what, double done,
                             double total, mls_err *err);
/** Pass on a remark, as printf makes it; NULL, or nobody listening: nothing happens. */
void mls_progress_note(const mls_progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
