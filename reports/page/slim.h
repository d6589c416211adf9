/* Drawings as gnuplot makes them, without what changes nothing. */
#ifndef MLS_SLIM_H
#define MLS_SLIM_H

#include "common/base/buf.h"

/**
 * Append an SVG of gnuplot's that looks the same and is shorter: no groups without
 * content, no attributes that say SVG's own default, steps of one colour in a colour
 * bar joined.
 */
void mls_svg_slim(mls_buf *out, const char *svg);

#endif
