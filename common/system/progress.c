/*
 * A long loop calls one function a step, which both tells how far it is and asks
 * whether to stop: what is told often enough can be stopped soon enough.
 */
#include "common/system/progress.h"

#include <stdarg.h>
#include <stdio.h>

mls_status mls_progress_step(const mls_progress *p, const char *what, double done,
                             double total, mls_err *err)
{
    if (!p)
        return MLS_OK;
    if (p->step)
        p->step(p->arg, what, done, total);
    if (p->stopped && p->stopped(p->arg))
        return mls_fail(err, MLS_E_STOPPED, "stopped at %s", what);
    return MLS_OK;
}

void mls_progress_note(const mls_progress *p, const char *format, ...)
{
    char text[512];
    va_list args;

    if (!p || !p->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mls_make_printable(text);
    p->note(p->arg, text);
}
