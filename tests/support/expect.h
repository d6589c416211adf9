/* What the test programs share: cmocka and a comparison of doubles where NaN fails. */
#ifndef MLS_EXPECT_H
#define MLS_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/status.h"

#define assert_close(got, want, tolerance)                                             \
    do {                                                                               \
        const double got_ = (got), want_ = (want);                                     \
        if (!(fabs(got_ - want_) <= (tolerance)))                                      \
            fail_msg("%s: %.17g, expected %.17g, tolerance %g", #got, got_, want_,     \
                     (double)(tolerance));                                             \
    } while (0)

/** A call that takes `&err` must succeed; its sentence is shown when it does not. */
#define assert_ok(call)                                                                \
    do {                                                                               \
        mls_err err = {0};                                                             \
        if (call)                                                                      \
            fail_msg("%s: %s", #call, err.text);                                       \
    } while (0)

/** A call that takes `&err` must fail with this status, its sentence holding `part`. */
#define assert_refused(call, expected, part)                                           \
    do {                                                                               \
        mls_err err = {0};                                                             \
        const mls_status st_ = (call);                                                 \
        if (st_ != (expected) || err.status != st_ || !strstr(err.text, part))         \
            fail_msg("%s: status %d \"%s\", expected %d with \"%s\"", #call, (int)st_, \
                     err.text, (int)(expected), part);                                 \
    } while (0)

/** Folders for tests, set by meson: the source tree and a scratch folder. */
const char *test_source_root(void);
/** source root + "/" + name, in one of a few rotating static buffers. */
const char *test_source(const char *name);
/** A fresh path below the scratch folder (in $TMPDIR), static rotating buffers. */
const char *test_scratch(const char *name);
/** The demo model with its first n layers: its folder. Once in a program. */
const char *test_demo_layers(size_t n);

/** ../shared/<name> beside the source tree, or NULL (then call skip() loudly). */
const char *test_shared(const char *name);

#endif
