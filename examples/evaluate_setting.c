/*
 * What a setting does to a model before any training, with a capture for methods that
 * use data.
 *
 *     mlascope capture datasets/demo -f datasets/demo/calibration.txt -o run.h5
 *     evaluate_setting datasets/demo run.h5 datasets/demo/evaluation.txt "kq rank=64"
 */
#include <math.h>
#include <stdio.h>

#include <mlascope.h>

enum { LENGTH = 256, WINDOWS = 8 };

/* A text as windows of the model's tokens. */
static mls_status read_text(mls_corpus *corpus, const char *model, const char *text,
                            mls_err *err)
{
    mls_tokenizer *tokenizer;
    mls_status st = mls_tokenizer_open(&tokenizer, model, err);

    if (!st)
        st = mls_corpus_read(corpus, tokenizer, &text, 1, LENGTH, WINDOWS, 0, err);
    mls_tokenizer_close(tokenizer);
    return st;
}

int main(int argc, char **argv)
{
    mls_err err = {0};
    mls_model *model = NULL;
    mls_capture *capture = NULL;
    mls_pool *pool = NULL;
    mls_corpus corpus = {0};
    mls_setting setting;
    mls_scheme scheme = {0};
    mls_evaluation e = {0};

    if (argc != 5) {
        fputs("usage: evaluate_setting MODEL CAPTURE TEXT SETTING\n", stderr);
        return 2;
    }
    mls_blas_single_thread();
    if (mls_model_open(&model, argv[1], &err) ||
        mls_capture_open(&capture, argv[2], &err) ||
        read_text(&corpus, argv[1], argv[3], &err) || mls_pool_new(&pool, 0, &err) ||
        mls_setting_parse(&setting, argv[4], &err) ||
        mls_scheme_uniform(&scheme, &setting, mls_model_config(model)->L, &err))
        goto done;

    const mls_method_input in = {.config = mls_model_config(model),
                                 .model = model,
                                 .capture = capture,
                                 .pool = pool,
                                 .isolated_kl = mls_isolated_kl_of_model};
    const mls_variant variant = {.scheme = &scheme, .only_layer = MLS_NONE};
    const mls_evaluate_options options = {.scored = MLS_SCORE_ALL, .predict = true};

    if (mls_evaluate(&e, &in, &corpus, &variant, 1, &options, NULL, &err))
        goto done;

    const mls_predicted predicted =
        mls_predicted_mean(e.variant[0].predicted, in.config->L);

    printf("perplexity %.3f, original %.3f\n", exp(e.variant[0].nll.mean),
           exp(e.original.nll.mean));
    printf("KL %.5f +- %.5f nat\n", e.variant[0].kl.mean, e.variant[0].kl.half);
    printf("predicted error of keys %.4f, of values %.4f\n", predicted.key,
           predicted.value);

done:
    if (err.status)
        fprintf(stderr, "evaluate_setting: %s\n", err.text);
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
    mls_pool_free(pool);
    mls_corpus_free(&corpus);
    mls_capture_close(capture);
    mls_model_close(model);
    return mls_status_exit(err.status);
}
