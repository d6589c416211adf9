/* Files of this room that the program carries; embed.sh makes them constants. */
#ifndef MLS_PAGE_EMBEDDED_H
#define MLS_PAGE_EMBEDDED_H

extern const char mls_page_css[], mls_page_js[];
/*
 * One look for all pictures; it opens every script. Line colours are Okabe and Ito's,
 * told apart with every common kind of colour blindness; the second eight are dashed
 * and have other points. The map is cividis, even in lightness.
 */
extern const char mls_style_gp[];

#endif
