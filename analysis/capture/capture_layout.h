/* The datasets of a capture file that have one slice per layer: one table for writer
   and reader (docs/format/capture.md shows the same). */
#ifndef MLS_CAPTURE_LAYOUT_H
#define MLS_CAPTURE_LAYOUT_H

#include "analysis/capture/capture_inner.h"

typedef enum mls_layout_kind {
    MLS_LAYOUT_MOMENT, /* an array of mls_layer_stats */
    MLS_LAYOUT_NORMS,  /* per sequence */
    MLS_LAYOUT_WINDOW,
    MLS_LAYOUT_SUMS, /* of a part of a run alone */
} mls_layout_kind;

/**
 * One dataset. dims: a letter per dimension, of common/base/shape.h, and N sequences,
 * W windows, T positions in a window; d: a second D; S, s: the upper triangle, row
 * after row, of a symmetric matrix of side E, D; J, V: sums of a part of a run and
 * their values (capture_shard.c).
 */
typedef struct mls_layout {
    const char *path;
    mls_layout_kind kind;
    mls_store_type type; /* in the file */
    const char *dims;
    size_t field; /* offset in mls_record of the pointer to one layer's values */
    const char *long_name;
} mls_layout;

enum { MLS_LAYOUTS = 21 };
extern const mls_layout mls_layouts[MLS_LAYOUTS];

/** Has a file with this head the dataset? */
bool mls_layout_is_there(const mls_layout *layout, const mls_capture_head *head);
/** The spec of a dataset for the sizes in head. */
mls_store_spec mls_layout_spec(const mls_layout *layout, const mls_capture_head *head);
/** Values of one layer, in the file. */
size_t mls_layout_values(const mls_layout *layout, const mls_capture_head *head);
size_t mls_layout_bytes(const mls_layout *layout, const mls_capture_head *head);
/** Values of one layer in memory, where symmetric matrices are whole. */
size_t mls_layout_unpacked(const mls_layout *layout, const mls_capture_head *head);
/** Where a record has them: doubles, whole matrices; windows as floats. */
void *mls_layout_data(const mls_layout *layout, const mls_record *r);
/** From a record into the form of the file; returns how many values were too large. */
size_t mls_layout_pack(void *out, const mls_layout *layout,
                       const mls_capture_head *head, const mls_record *r);
/** Back, to data as mls_layout_data() has it. */
void mls_layout_unpack(const mls_layout *layout, const mls_capture_head *head,
                       const void *in, void *data);

#endif
