/* The report: everything measured about one model, as one folder with index.html. */
#ifndef MLS_REPORT_H
#define MLS_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/model/model.h"
#include "analysis/serving/serving.h"
#include "bench/evaluate/foreign.h"
#include "bench/frame/form_cache.h"
#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"
#include "reports/report/schedule.h"

/** Share of the model's own cache that the first screen and the plan keep. */
#define MLS_REPORT_KEEP 0.25

/** No conversion at all: the cache in 4 bits, which every one is held against. */
#define MLS_REPORT_BITS "baseline quant=int4/64"

/** One of several calibration texts, by itself. */
typedef struct mls_report_text {
    const char *name;
    mls_capture *capture;
    const mls_corpus *held; /* windows of it that nothing was captured of */
} mls_report_text;

/** What the report is about; all borrowed. */
typedef struct mls_report {
    const char *folder;     /* output: index.html, data/, plots/ */
    const char *model_name; /* what the user typed */
    const char *command;    /* what gives the same figures again */
    const mls_model *model;
    mls_capture *capture;         /* of the calibration text */
    const mls_corpus *evaluation; /* held-out text; NULL: quality is not measured */
    const char *evaluation_name;
    bool exhaustive;               /* every setting on every window */
    const mls_corpus *calibration; /* the text itself, to heal on; NULL: nothing is */
    size_t heal;           /* settings of each class and size to heal; 0: none */
    const char *training;  /* folder of what is published about training, or NULL */
    bool without_pictures; /* numbers and scripts only: gnuplot is not run */
    const char *gpu; /* "NVIDIA L4 24 GB": what the question of room is asked for */
    double memory;   /* of it, bytes */
    size_t context, batch; /* tokens of each of so many sequences */
    mls_serve serve;       /* class that the plan is made for */
    mls_pool *pool;
    const mls_progress *progress;
    mls_form_cache *forms;       /* made so far; mls_report_write() has its own */
    const mls_report_text *text; /* (n_texts) where it has names */
    size_t n_texts;
    mls_foreign *foreign; /* of the calibration text, and what quality adds; or NULL */
    struct mls_served *served; /* of mls_report_write(): what sections add to */
    mls_schedule *schedule;    /* of mls_report_schedule(), its capture done; or NULL */
} mls_report;

/** What the time of a report depends on, with the model. */
typedef struct mls_report_amounts {
    size_t calibration, held_out; /* tokens; 0: no quality */
    size_t length;                /* of a window */
    size_t heal;                  /* settings of each class and size */
    bool exhaustive;
    double product; /* tokens that pass while a product in double is made; 0: none */
} mls_report_amounts;

/**
 * Add the parts of a report, the capture first: their work is in tokens of one pass
 * through the original model, whose seconds belong into s->unit.
 */
void mls_report_schedule(mls_schedule *s, const mls_config *c, double parameters,
                         const mls_report_amounts *a);

/**
 * The page before there is a capture (r->capture is NULL): the model and its sizes.
 * @return as mls_report_write()
 */
mls_status mls_report_begin(const mls_report *r, mls_err *err);

/**
 * Analyse and write the folder. index.html is written after every section and says
 * above all that it is unfinished, until the last is there. What was measured is kept
 * in the folder until then: the same call after a stop or a kill goes on from there and
 * gives the same bytes.
 *
 * @param[out] summary  a page of plain text for the terminal
 * @return MLS_OK, MLS_E_IO (disk, gnuplot), MLS_E_NOMEM, MLS_E_NUMERIC, MLS_E_STOPPED
 */
mls_status mls_report_write(const mls_report *r, mls_buf *summary, mls_err *err);

#endif
