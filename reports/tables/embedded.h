/* Scripts of this room's plots; reports/page/embed.sh makes them constants. */
#ifndef MLS_TABLES_EMBEDDED_H
#define MLS_TABLES_EMBEDDED_H

extern const char mls_hearing_curves_gp[];
extern const char mls_hearing_map_gp[];
extern const char mls_map_gp[];
extern const char mls_neighbours_gp[];
extern const char mls_overlap_gp[];
extern const char mls_positions_gp[];
extern const char mls_rotation_gp[];
extern const char mls_rules_gp[];
extern const char mls_size_bytes_gp[];
extern const char mls_size_context_gp[];
extern const char mls_top_tokens_gp[];

#endif
