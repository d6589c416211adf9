/* TransMLA: the flags of its converter, as a script. */
#include <stdlib.h>

#include "bench/methods/transmla.h"
#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

static mls_status one_setting(const mls_export_work *w, mls_err *err)
{
    if (w->job->scheme->n_settings > 1)
        return mls_fail(err, MLS_E_INPUT,
                        "transmla: its converter takes one setting for all layers, and "
                        "the plan has %zu; the nearest is one of them everywhere",
                        w->job->scheme->n_settings);
    return MLS_OK;
}

/* Each fold turns at one frequency, so their number says how long a fold is. */
static mls_status fold_of(void *arg, const mls_latent_form *f, mls_err *err)
{
    const mls_rope_key *key = f->rope_key;
    size_t *fold = arg, folds = 0;

    (void)err;
    for (size_t i = 0; f->layer == 0 && f->n_rope_keys && i < key->n / 2; i++) {
        bool seen = false;

        for (size_t j = 0; j < i; j++)
            seen = seen || key->inv_freq[j] == key->inv_freq[i];
        folds += !seen;
    }
    if (folds)
        *fold = f->D / 2 / folds;
    return MLS_OK;
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    mls_cache_layout *layout = NULL;
    mls_buf b = {0};
    mls_status st;

    if ((st = mls_export_require(w, "transmla", err)) || (st = one_setting(w, err)) ||
        (st = mls_export_refuse_key(w, "alpha", "code",
                                    "the balance is built in as its code has it; the "
                                    "nearest is alpha=code with another balance",
                                    err)) ||
        (st = mls_export_refuse_key(w, "keep", "0",
                                    "it keeps freqfold / collapse components per fold; "
                                    "--for deepseek writes the checkpoint with more",
                                    err)) ||
        (st = mls_export_all_layers(w, err)) ||
        (st = mls_export_layout(w, &layout, err)))
        return st;

    const mls_transmla *says = mls_export_says(w, 0)->params;
    size_t fold = says->freqfold;

    /* What was measured, not a choice that the converter would make anew. */
    if (!fold && (st = mls_export_forms(w, fold_of, &fold, err))) {
        free(layout);
        return st;
    }

    const size_t rope = mls_export_numbers(&layout->layer[0], MLS_PART_ROPE_KEY);
    const size_t rank = mls_export_numbers(&layout->layer[0], MLS_PART_LATENT);

    mls_buf_printf(&b,
                   "#!/bin/sh\n"
                   "# In a checkout of MuLabPKU/TransMLA: convert.sh MODEL [OUTPUT]\n"
                   "set -eu\n"
                   "model=${1:?usage: convert.sh MODEL [OUTPUT]}\n"
                   "python transmla/converter.py --model-path \"$model\" \\\n"
                   "    --save-path \"${2:-transmla-%zu-%zu}\" --dtype bf16 \\\n"
                   "    --cal-dataset wikitext2 --cal-nsamples 128 --cal-batch-size 8 "
                   "\\\n"
                   "    --cal-max-seqlen 256 --seed 42 --ppl-eval-batch-size 2 \\\n"
                   "    --freqfold %zu --collapse %zu --qk-mqa-dim %zu \\\n"
                   "    --kv-lora-rank %zu --balance-kv-ratio %.15g",
                   rank, rope, fold, rope ? w->config->D / rope : 1, rope, rank,
                   says->balance);
    if (says->q_rank)
        mls_buf_printf(&b, " --q-lora-rank %zu", says->q_rank);
    mls_buf_puts(&b, "\n");
    st = mls_export_text(w, "convert.sh", &b, "the converter's flags", err);
    mls_buf_puts(&w->next, "# in a checkout of MuLabPKU/TransMLA, with the paths made "
                           "absolute\nsh ");
    mls_buf_shell(&w->next, w->job->folder);
    mls_buf_puts(&w->next, "/convert.sh ");
    mls_buf_shell(&w->next, w->job->model_name);
    mls_buf_puts(&w->next, "\n");
    mls_buf_free(&b);
    free(layout);
    return st;
}

const mls_export_target mls_export_transmla = {
    .name = "transmla",
    .title = "TransMLA",
    .known = mls_transmla_md,
    .write = write,
};
