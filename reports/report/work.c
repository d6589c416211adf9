/*
 * A report of everything is SETTINGS forms of every layer and about WINDOWS windows of
 * 256 tokens through the model. What takes more than BUDGET, half an hour of 16 cores
 * that do 75 Gflop/s in double at 87 %, is measured at 25 % alone. There a form takes
 * longer than its windows, which is why no setting is raced on few of them: finalists
 * would be made twice.
 */
#include "reports/report/work.h"

static const double SETTINGS = 81, WINDOWS = 1000, LENGTH = 256, BUDGET = 1.9e15;

/*
 * Of a layer: rows of keys and values meet E[x x^T] for the form and its errors, four
 * times in all, those of the queries once, and eigenvectors of [k; v] take 10 n^3.
 */
double mls_work_form(const mls_config *c)
{
    const double E = (double)c->E, kv = 2 * (double)(c->G * c->D);

    return (double)c->L *
           (2 * E * E * (4 * kv + (double)(c->H * c->D)) + 10 * kv * kv * kv);
}

/* SVDs of square matrices, which Gram matrices do not replace, and their neighbours. */
double mls_work_spectra(const mls_config *c)
{
    const double E = (double)c->E, q = (double)(c->H * c->D);
    const double kv = 2 * (double)(c->G * c->D), least = q < E ? q : E;

    return (double)c->L * (4 * least * least * (q > E ? q : E) + 4 * kv * kv * E);
}

bool mls_work_is_large(const mls_config *c, double parameters)
{
    return SETTINGS * mls_work_form(c) + 2 * parameters * WINDOWS * LENGTH > BUDGET;
}

mls_report_texts mls_work_texts(const mls_config *c, double parameters)
{
    return mls_work_is_large(c, parameters) ? (mls_report_texts){32, 16}
                                            : (mls_report_texts){128, 32};
}
