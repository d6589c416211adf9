/* Scripts of this room's plots; reports/page/embed.sh makes them constants. */
#ifndef MLS_REPORT_EMBEDDED_H
#define MLS_REPORT_EMBEDDED_H

extern const char mls_healing_gp[];
extern const char mls_plan_gp[];
extern const char mls_predictor_gp[];
extern const char mls_quality_gp[];
extern const char mls_quantizers_gp[];
extern const char mls_ranks_gp[];
extern const char mls_spectrum_gp[];

#endif
