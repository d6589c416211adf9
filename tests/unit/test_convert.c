/* What every method's build() makes of a layer, run as attention against the truth. */
#include "tests/support/random_layer.h"

#include "analysis/model/rope.h"
#include "analysis/numeric/blas.h"
#include "analysis/numeric/linalg.h"
#include "bench/frame/scheme.h"
#include "bench/methods/kq.h"

static void make(random_layer *s, size_t H, size_t G, size_t D, bool biases,
                 bool qk_norm)
{
    mls_rng rng;

    mls_rng_seed(&rng, 21, H * 100 + G * 10 + D + biases);
    random_layer_make(s, &rng, H, G, D, biases, qk_norm);
    random_layer_stats(s, &rng);
}

static mls_status build(mls_latent_form *f, const random_layer *s, const char *text,
                        mls_err *err)
{
    const mls_method_input in = {.config = &s->config};
    mls_ready_scheme *ready = NULL;
    mls_scheme scheme = {0};
    mls_setting setting;
    mls_status st;

    *f = (mls_latent_form){0};
    if ((st = mls_setting_parse(&setting, text, err)) ||
        (st = mls_scheme_uniform(&scheme, &setting, 1, err)) ||
        (st = mls_scheme_prepare(&ready, &scheme, &in, err)))
        goto done;
    st = mls_scheme_build(ready, &s->layer, &s->stats, f, err);

done:
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return st;
}

/* Largest difference over the largest magnitude. */
static double distance(const float *got, const float *want)
{
    double top = 0.0, most = 0.0;

    for (size_t i = 0; i < T * E; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);

        assert_true(isfinite(d));
        top = fmax(top, fabs((double)want[i]));
        most = fmax(most, d);
    }
    return most / top;
}

static const struct {
    size_t H, G, D;
    bool biases;
} shapes[] = {
    {4, 4, 8, false}, {6, 2, 8, false}, {6, 1, 16, true},
    {4, 2, 12, true}, {3, 3, 8, true},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* G: KV heads, C: chunks, F: rank of V, K: rank of [K; V] where nothing is rotated. */
static const char *fill_in(const char *pattern, const mls_config *c, char *out)
{
    const size_t values = c->G * c->D;
    size_t at = 0;

    for (const char *p = pattern; *p; p++) {
        size_t number;

        if (*p != '@') {
            out[at++] = *p;
            continue;
        }
        switch (*++p) {
        case 'C':
            number = c->D / 2;
            break;
        case 'D':
            number = c->D;
            break;
        case 'G':
            number = c->G;
            break;
        case 'F':
            number = values;
            break;
        default:                      /* 'Q' */
            number = E + c->qkv_bias; /* a bias rides along as one more column */
            if (c->H * c->D < number)
                number = c->H * c->D;
            break;
        }
        at += (size_t)sprintf(out + at, "%zu", number);
    }
    out[at] = '\0';
    return out;
}

static void full_rank_and_all_chunks_are_the_original_attention(void **state)
{
    static const char *const settings[] = {
        "baseline",
        "gqa2mla",
        "mha2mla rope=high chunks=@C rank=@D svd=joint",
        "mha2mla rope=2-norm chunks=@C rank=@D svd=split",
        "mha2mla rope=low chunks=@C svd=none",
        "mha2mla rope=high chunks=@C rank=@D svd=only_key",
        "mha2mla rope=high chunks=@C rank=@D svd=only_value",
        "elitekv rope=uniform-elite chunks=@C rank=@F",
        "elitekv rope=high chunks=@C svd=split rank_v=@F",
        "transmla freqfold=1 keep=@G rank=@F",
        "transmla freqfold=1 keep=@G rank=@F qrank=@Q",
    };

    (void)state;
    for (size_t i = 0; i < SHAPES; i++)
        for (size_t k = 0; k < sizeof settings / sizeof settings[0]; k++)
            for (int absorbed = 0; absorbed < 2; absorbed++) {
                char text[128];
                random_layer s;
                mls_latent_form f;

                make(&s, shapes[i].H, shapes[i].G, shapes[i].D, shapes[i].biases,
                     false);
                fill_in(settings[k], &s.config, text);
                assert_ok(build(&f, &s, text, &err));
                latent_attention(&f, &s, absorbed, s.got);
                if (!(distance(s.got, s.want) <= 1e-5))
                    fail_msg("%s, H %zu G %zu: %g", text, shapes[i].H, shapes[i].G,
                             distance(s.got, s.want));
                mls_latent_free(&f);
                random_layer_free(&s);
            }
}

static void with_one_kv_head_the_paired_x_ecomla_is_exact_too(void **state)
{
    static const char *const settings[] = {
        "x-ecomla init=paired rope_dim=@D rank=@F",
        "x-ecomla init=paired rope=high rope_dim=@D rank=@F qrank=48",
    };

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        char text[128];
        random_layer s;
        mls_latent_form f;

        make(&s, 3, 1, 16, true, false);
        assert_ok(build(&f, &s, fill_in(settings[k], &s.config, text), &err));
        latent_attention(&f, &s, false, s.got);
        assert_close(distance(s.got, s.want), 0.0, 1e-5);
        mls_latent_free(&f);
        /* The project's own start turns broken pairs: not the model's attention. */
        assert_ok(build(
            &f, &s, fill_in("x-ecomla rope_dim=@D rank=@F", &s.config, text), &err));
        latent_attention(&f, &s, false, s.got);
        assert_true(distance(s.got, s.want) > 0.01);
        mls_latent_free(&f);
        random_layer_free(&s);
    }
}

/* Whole keys are read back and normalized, or 1/rms is cached: one for each KV head. */
static void qk_norm_is_kept_by_every_way_to_read_keys(void **state)
{
    static const struct {
        const char *setting;
        size_t elements;
    } cases[] = {{"gqa2mla", 32},
                 {"mha2mla rope=high chunks=4 rank=8", 16 + 16 + 2},
                 {"elitekv rope=uniform-elite chunks=4 rank=16", 16 + 16 + 2},
                 {"transmla freqfold=1 keep=2 rank=16", 16 + 16 + 2}};
    random_layer s;
    mls_latent_form f;
    mls_cache_layer layout;

    (void)state;
    make(&s, 4, 2, 8, false, true);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        assert_ok(build(&f, &s, cases[k].setting, &err));
        for (int absorbed = 0; absorbed < 2; absorbed++) {
            latent_attention(&f, &s, absorbed, s.got);
            if (!(distance(s.got, s.want) <= 1e-5))
                fail_msg("%s: %g", cases[k].setting, distance(s.got, s.want));
        }
        assert_int_equal(mls_latent_elements(&f), cases[k].elements);
        assert_ok(mls_latent_layout(&f, &layout, &err));
        assert_int_equal(mls_cache_elements(&layout), cases[k].elements);
        mls_latent_free(&f);
    }
    random_layer_free(&s);
}

/*
 * At full rank a partial-RoPE method is the model with some chunks not turned: the
 * identity form with their frequency set to 0.
 */
static void full_rank_loses_only_the_rotation_of_dropped_chunks(void **state)
{
    static const struct {
        const char *setting;
        bool kept[6];
    } cases[] = {
        {"mha2mla rope=high chunks=2 rank=20", {1, 1, 0, 0, 0, 0}},
        {"mha2mla rope=low chunks=0 rank=12 svd=split", {0}},
        {"mha2mla rope=uniform:1 chunks=3 svd=none", {0, 1, 0, 1, 0, 1}},
        {"mha2mla rope=high+low chunks=2 rank=12 svd=only_value", {1, 0, 0, 0, 0, 1}},
        {"mha2mla rope=low chunks=0 rank=12 svd=only_key", {0}},
        {"elitekv rope=uniform-elite chunks=3 rank=36", {1, 0, 1, 0, 0, 1}},
        {"elitekv rope=low chunks=2 svd=split rank_k=16 rank_v=24", {0, 0, 0, 0, 1, 1}},
    };

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int absorbed = 0; absorbed < 2; absorbed++) {
            random_layer s;
            mls_latent_form f, whole;

            make(&s, 4, 2, 12, true, false);
            assert_ok(mls_latent_identity(&whole, &s.config, &s.layer, &err));
            for (size_t g = 0; g < 2; g++)
                for (size_t c = 0; c < 6; c++)
                    if (!cases[k].kept[c])
                        whole.rope_key[g].inv_freq[c] = 0.0;
            latent_attention(&whole, &s, false, s.want);
            assert_ok(build(&f, &s, cases[k].setting, &err));
            latent_attention(&f, &s, absorbed, s.got);
            if (!(distance(s.got, s.want) <= 1e-5))
                fail_msg("%s: %g", cases[k].setting, distance(s.got, s.want));
            mls_latent_free(&f);
            mls_latent_free(&whole);
            random_layer_free(&s);
        }
}

static void scores_choose_chunks_for_each_kv_head(void **state)
{
    random_layer s;
    mls_latent_form f, whole;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    for (size_t g = 0; g < 2; g++)
        for (size_t c = 0; c < 6; c++)
            s.stats.k_norm[g * 6 + c] = 1.0;
    for (size_t h = 0; h < 4; h++) /* head 0 keeps chunk 4, head 1 chunk 2 */
        for (size_t c = 0; c < 6; c++)
            s.stats.q_norm[h * 6 + c] = c == (h < 2 ? 4 : 2) ? 5.0 : 1.0;
    assert_ok(mls_latent_identity(&whole, &s.config, &s.layer, &err));
    for (size_t g = 0; g < 2; g++)
        for (size_t c = 0; c < 6; c++)
            if (c != (g == 0 ? 4 : 2))
                whole.rope_key[g].inv_freq[c] = 0.0;
    latent_attention(&whole, &s, false, s.want);
    assert_ok(build(&f, &s, "mha2mla rope=2-norm chunks=1 rank=22", &err));
    assert_int_equal(f.rope_key[1].n, 2);
    latent_attention(&f, &s, false, s.got);
    assert_close(distance(s.got, s.want), 0.0, 1e-5);
    mls_latent_free(&f);
    mls_latent_free(&whole);
    random_layer_free(&s);
}

/* Column norms of what heads read latent 0 with: the singular values of the stack. */
static void column_norms(const mls_latent_form *f, double *norm)
{
    const size_t r = f->latent[0].r;

    for (size_t i = 0; i < r; i++) {
        norm[i] = 0.0;
        for (size_t g = 0; g < f->G; g++) {
            const mls_read_head *h = &f->head[g];

            for (size_t j = 0; j < h->n_key; j++)
                norm[i] += pow((double)h->key.w[j * r + i], 2);
            for (size_t j = 0; j < h->n_value; j++)
                norm[i] += pow((double)h->value.w[j * r + i], 2);
        }
        norm[i] = sqrt(norm[i]);
    }
}

static void mha2mla_joint_and_elitekv_j_lrd_factorize_the_same_matrix(void **state)
{
    enum { R = 20 };
    double a[R], b[R], want[48], *stacked = malloc(48 * E * sizeof *stacked);
    mls_latent_form f, h;
    size_t row = 0;
    random_layer s;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    assert_ok(build(&f, &s, "mha2mla rope=high chunks=2 rank=10", &err));
    assert_ok(build(&h, &s, "elitekv rope=high chunks=2 rank=20", &err));
    assert_int_equal(f.latent[0].r, R);
    assert_int_equal(h.latent[0].r, R);
    column_norms(&f, a);
    column_norms(&h, b);
    for (size_t g = 0; g < 2; g++) /* [K without chunks 0 and 1; V] by hand */
        for (size_t i = 0; i < 24; i++) {
            const bool key = i < 12;
            const float *w = key ? s.layer.wk : s.layer.wv;

            if (key && i % 6 < 2)
                continue;
            for (size_t e = 0; e < E; e++)
                stacked[row * E + e] = (double)w[(g * 12 + i % 12) * E + e];
            row++;
        }
    assert_int_equal(row, 40);
    assert_ok(mls_svd(stacked, row, E, NULL, want, NULL, &err));
    for (size_t i = 0; i < R; i++) {
        double down = 0.0;

        assert_close(a[i], want[i], 1e-6 * want[0]);
        assert_close(b[i], want[i], 1e-6 * want[0]);
        for (size_t e = 0; e < E; e++)
            down += pow((double)f.latent[0].down.w[i * E + e], 2);
        assert_close(down, 1.0, 1e-6); /* singular values are on the up side */
    }
    mls_latent_free(&f);
    mls_latent_free(&h);
    random_layer_free(&s);
    free(stacked);
}

static void more_rank_never_raises_the_error_of_keys_and_values(void **state)
{
    random_layer s;
    double last = INFINITY;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    for (size_t rank = 2; rank <= 40; rank += 2) {
        char text[96];
        double error = 0.0;
        mls_latent_form f;

        sprintf(text, "elitekv rope=high chunks=2 rank=%zu", rank);
        assert_ok(build(&f, &s, text, &err));
        for (size_t g = 0; g < 2; g++)
            for (size_t i = 0; i < 12; i++)
                for (size_t e = 0; e < E; e++) {
                    double y = 0.0;
                    for (size_t j = 0; j < rank; j++)
                        y += (double)f.head[g].value.w[i * rank + j] *
                             (double)f.latent[0].down.w[j * E + e];
                    error += pow(y - (double)s.layer.wv[(g * 12 + i) * E + e], 2);
                }
        assert_true(error <= last * (1.0 + 1e-6) + 1e-9);
        last = error;
        mls_latent_free(&f);
    }
    assert_close(last, 0.0, 1e-8);
    random_layer_free(&s);
}

/* What a setting caches: from the config alone, and from the form that is built. */
static void the_form_caches_what_the_layout_says(void **state)
{
    static const char *const settings[] = {
        "baseline",
        "baseline quant=int4/64+128",
        "baseline kquant=int4/8 vquant=int2/8",
        "gqa2mla",
        "gqa2mla bits=4",
        "mha2mla rope=high chunks=2 rank=6",
        "mha2mla rope=high chunks=2 rank=6 bits=4",
        "mha2mla rope=2-norm chunks=2 rank=4 svd=split kquant=int4/8 vquant=int2/8",
        "mha2mla rope=low chunks=3 svd=none quant=int4/8",
        "mha2mla rope=low chunks=3 rank=2 svd=only_key rquant=int4/8",
        "mha2mla rope=low chunks=3 rank=4 svd=only_value vquant=int4/8",
        "mha2mla rope=high chunks=@C rank=@D",
        "mha2mla rope=high chunks=0 rank=@D",
        "elitekv rope=uniform chunks=2 rank=13 quant=int4/8",
        "elitekv rope=uniform chunks=2 svd=split rank_k=5 rank_v=9 kquant=int4/8",
        "elitekv rope=uniform chunks=@C svd=split rank_v=9",
        "x-ecomla rank=9 rope_dim=4",
        "x-ecomla rank=9 rope_dim=4 nope_dim=2 qrank=7 bits=4",
        "x-ecomla init=paired rank=9 rope_dim=4 rquant=int4/8",
        "x-ecomla rank=9 rope_dim=0",
        "transmla freqfold=4 rope_dim=4 rank=10",
        "transmla freqfold=4 rope_dim=4 rank=10 qrank=8 alpha=paper quant=int4/8",
    };
    const mls_size_request request = {
        .tokens = 1000, .batch = 3, .block = 16, .tensor_parallel = 2};

    (void)state;
    for (size_t i = 0; i < SHAPES; i++)
        for (size_t k = 0; k < sizeof settings / sizeof settings[0]; k++) {
            static mls_cache_layout want, got;
            mls_size_result a, b;
            mls_setting setting;
            mls_latent_form f;
            char text[128];
            random_layer s;

            if (shapes[i].D == 12)
                continue; /* 6 chunks: not all of these fit */
            make(&s, shapes[i].H, shapes[i].G, shapes[i].D, shapes[i].biases, false);
            fill_in(settings[k], &s.config, text);
            assert_ok(mls_setting_parse(&setting, text, &err));
            assert_ok(mls_method_layout(&want, &s.config, &setting, &err));
            assert_ok(build(&f, &s, text, &err));
            memset(&got, 0, sizeof got);
            got.L = 1;
            assert_ok(mls_latent_layout(&f, &got.layer[0], &err));
            mls_size(&a, &want, &request);
            mls_size(&b, &got, &request);
            if (a.elements_per_token != b.elements_per_token ||
                a.payload_bytes_per_token != b.payload_bytes_per_token ||
                a.bytes_per_token != b.bytes_per_token ||
                a.sequence_bytes != b.sequence_bytes || a.batch_bytes != b.batch_bytes)
                fail_msg("%s, H %zu G %zu D %zu: the layout says %g numbers, %g bytes "
                         "(batch %g); the form %g, %g (%g)",
                         text, shapes[i].H, shapes[i].G, shapes[i].D,
                         a.elements_per_token, a.bytes_per_token, a.batch_bytes,
                         b.elements_per_token, b.bytes_per_token, b.batch_bytes);
            mls_latent_free(&f);
            random_layer_free(&s);
        }
}

static void x_ecomla_starts_as_its_code_does(void **state)
{
    enum { H = 4, G = 2, D = 12, R = 48, DR = 4, NOPE = 8 };
    random_layer s;
    mls_latent_form f;

    (void)state;
    make(&s, H, G, D, true, false);
    assert_ok(build(&f, &s, "x-ecomla rank=48 rope_dim=4 nope_dim=8 qrank=48", &err));
    assert_close(f.scale, 1.0 / sqrt(12.0), 1e-15);
    assert_int_equal(f.n_rope_keys, 1);
    assert_int_equal(f.rope_key[0].n, DR);
    for (size_t i = 0; i < DR; i++) { /* half-split rows of interleaved pairs */
        static const size_t dims[DR] = {8, 10, 9, 11};
        const size_t dim = dims[i];

        assert_close((double)f.rope_key[0].map.b[i],
                     ((double)s.layer.bk[dim] + (double)s.layer.bk[D + dim]) / 2, 1e-7);
        for (size_t e = 0; e < E; e++)
            assert_close((double)f.rope_key[0].map.w[i * E + e],
                         ((double)s.layer.wk[dim * E + e] +
                          (double)s.layer.wk[(D + dim) * E + e]) /
                             2,
                         1e-7);
    }
    assert_close(f.rope_key[0].inv_freq[0], 1.0, 1e-15);
    assert_close(f.rope_key[0].inv_freq[1], 0.1, 1e-15); /* 100^(-2/4) */
    for (size_t g = 0; g < G; g++) {                     /* full rank: up down = W */
        assert_int_equal(f.head[g].n_key, NOPE);
        for (size_t i = 0; i < D; i++)
            for (size_t e = 0; e < E; e++) {
                double value = 0.0, key = 0.0;

                for (size_t j = 0; j < R; j++) {
                    const double down = (double)f.latent[0].down.w[j * E + e];

                    value += (double)f.head[g].value.w[i * R + j] * down;
                    if (i < NOPE)
                        key += (double)f.head[g].key.w[i * R + j] * down;
                }
                assert_close(value, (double)s.layer.wv[(g * D + i) * E + e], 1e-5);
                if (i < NOPE)
                    assert_close(key, (double)s.layer.wk[(g * D + i) * E + e], 1e-5);
            }
    }
    for (size_t h = 0; h < H; h++) /* query rows: first 8, then 8 10 9 11 */
        for (size_t i = 0; i < D; i++) {
            static const size_t rows[D] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 11};

            for (size_t e = 0; e < E; e++) {
                double q = 0.0;
                for (size_t j = 0; j < R; j++)
                    q += (double)f.query.w[(h * D + i) * R + j] *
                         (double)f.q_down.w[j * E + e];
                assert_close(q, (double)s.layer.wq[(h * D + rows[i]) * E + e], 1e-5);
            }
        }
    mls_latent_free(&f);
    random_layer_free(&s);
}

static void impossible_settings_are_refused(void **state)
{
    static const struct {
        const char *setting, *part;
        mls_status status;
    } cases[] = {
        {"mha2mla rope=high chunks=7 rank=4", "nearest possible is 6", MLS_E_INPUT},
        {"mha2mla rope=high chunks=2 rank=25", "nearest possible is 20", MLS_E_INPUT},
        {"mha2mla rope=hihg chunks=2 rank=5", "high", MLS_E_ARG},
        {"elitekv rope=high chunks=2 rank=41", "nearest possible is 40", MLS_E_INPUT},
        {"elitekv rope=high chunks=2 rank=9 rank_k=3", "svd=split", MLS_E_INPUT},
        {"x-ecomla rank=49", "nearest possible is 48", MLS_E_INPUT},
        {"x-ecomla rank=9 rope_dim=3", "nearest possible is 2", MLS_E_INPUT},
        {"x-ecomla rank=9 rope=high", "init=paired", MLS_E_INPUT},
        {"x-ecomla init=paired rope=2-norm rope_dim=4 rank=9", "chooses per head",
         MLS_E_INPUT},
        {"x-ecomla rank=9 energy=0.9", "need the weights", MLS_E_INPUT},
        {"x-ecomla rank=9 rule=paper", "belong to energy", MLS_E_INPUT},
        {"x-ecomla rank=9 energy=1.5", "energy", MLS_E_ARG},
        {"transmla freqfold=4 rank=9", "nearest possible is 3", MLS_E_INPUT},
        {"transmla freqfold=2 keep=5 rank=9", "nearest possible is 4", MLS_E_INPUT},
        {"transmla freqfold=2 rank=47", "nearest possible is 36", MLS_E_INPUT},
        {"mha2mla rope=2-norm chunks=2 rank=9 scope=global", "capture", MLS_E_INPUT},
        {"elitekv rope=high chunks=2 rank=9 scope=heads", "scope", MLS_E_ARG},
        {"transmla rank=9", "needs the weights", MLS_E_INPUT},
    };
    random_layer s;
    mls_latent_form f;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_err e = {0};
        const mls_status st = build(&f, &s, cases[i].setting, &e);

        if (st != cases[i].status || !strstr(e.text, cases[i].part))
            fail_msg("%s: status %d \"%s\"", cases[i].setting, (int)st, e.text);
    }
    random_layer_free(&s);
}

static void data_is_asked_for_where_it_is_needed(void **state)
{
    static const struct {
        const char *setting, *says;
    } cases[] = {{"transmla freqfold=2 rank=9", "capture"},
                 {"mha2mla rope=2-norm chunks=2 rank=9", "2-norm"}};
    random_layer s;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_method_input in = {.config = &s.config};
        mls_setting setting;
        mls_latent_form f;
        mls_parsed p;

        assert_ok(mls_setting_parse(&setting, cases[i].setting, &err));
        assert_ok(mls_method_parse(&p, in.config, &setting, &err));
        assert_refused(mls_method_form(&f, &in, &p, NULL, &s.layer, NULL, &err),
                       MLS_E_INPUT, cases[i].says);
        mls_parsed_free(&p);
    }
    random_layer_free(&s);
}

/* Output projections of zero: of the first KV group, then of the whole layer. */
static void what_costs_nothing_is_weighed_alike(void **state)
{
    enum { H = 4, G = 2, D = 12 };
    const double zero[D * D] = {0};
    mls_kq_stack y = {0};
    random_layer s;

    (void)state;
    make(&s, H, G, D, false, false);
    for (size_t dead = 1; dead <= G; dead++) {
        static const char *const settings[] = {"kqsvd rank=12", "kqsvd rank=3"};

        for (size_t e = 0; e < E; e++)
            for (size_t i = 0; i < dead * H / G * D; i++)
                s.layer.wo[e * H * D + i] = 0;
        plain_attention(&s, s.want);
        /* Exact at full rank, and at any rank where the layer adds nothing. */
        for (size_t k = 0; k < dead; k++) {
            mls_latent_form f;

            assert_ok(build(&f, &s, settings[k], &err));
            latent_attention(&f, &s, false, s.got);
            for (size_t i = 0; i < T * E; i++)
                assert_close(s.got[i], s.want[i], 1e-4);
            mls_latent_free(&f);
        }
    }
    random_layer_free(&s);
    assert_ok(mls_kq_stack_new(&y, D, E, &err));
    assert_ok(mls_kq_stack_weigh(&y, 0, zero, D, &err));
    for (size_t i = 0; i < D * D; i++) {
        assert_close(y.root[i], i % (D + 1) == 0, 1e-12);
        assert_close(y.inverse[i], i % (D + 1) == 0, 1e-12);
    }
    mls_kq_stack_free(&y);
}

/* Signs that an SVD could have given as well. */
static void flip(mls_latent_form *f, mls_rng *rng)
{
    for (size_t j = 0; j < f->n_latents; j++) {
        mls_affine *down = &f->latent[j].down;

        for (size_t i = 0; down->cols && i < f->latent[j].r; i++) {
            if (mls_rng_uniform(rng) < 0.5)
                continue;
            for (size_t e = 0; e < down->cols; e++)
                down->w[i * down->cols + e] *= -1;
            if (down->b)
                down->b[i] *= -1;
            for (size_t g = 0; g < 2 * f->G; g++) {
                const mls_read_head *h = &f->head[g / 2];
                const mls_affine *up = g % 2 ? &h->key : &h->value;
                const int latent = g % 2 ? h->key_latent : h->value_latent;

                for (size_t row = 0; latent == (int)j && row < up->rows; row++)
                    up->w[row * up->cols + i] *= -1;
            }
        }
    }
}

static void signs_of_singular_vectors_change_nothing_that_is_quantized(void **state)
{
    static const char *const settings[] = {
        "palu group=J rank=16 quant=h:int4/8",
        "svdllm basis=unit rank=16 quant=int2/8",
        "mha2mla chunks=2 rank=8 quant=h:int3/8 rquant=none",
        "x-ecomla init=paired rank=16 rope_dim=4 quant=int4/8",
        "matryoshka rank=8 quant=int2/8",
    };
    float *flipped = malloc(T * E * sizeof *flipped);
    random_layer s;
    mls_rng rng;
    size_t changed = 0;

    (void)state;
    mls_rng_seed(&rng, 5, 0);
    make(&s, 4, 2, 12, false, false);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        mls_latent_form f;

        assert_ok(build(&f, &s, settings[i], &err));
        latent_attention(&f, &s, false, s.want);
        flip(&f, &rng);
        latent_attention(&f, &s, false, flipped);
        changed += memcmp(flipped, s.want, T * E * sizeof *flipped) != 0;
        for (size_t j = 0; j < f.n_latents; j++)
            mls_latent_sign(&f, j);
        latent_attention(&f, &s, false, s.got);
        assert_memory_equal(s.got, s.want, T * E * sizeof *s.got);
        mls_latent_free(&f);
    }
    assert_true(changed > 0); /* or the signs would not matter here */
    free(flipped);
    random_layer_free(&s);
}

/* One product, c_root = Sigma^-1/2 c_unit: sizes differ, what is read back does not. */
static void the_basis_of_a_latent_changes_no_product(void **state)
{
    static const char *const pairs[][2] = {
        {"palu group=J rank=10", "palu group=J rank=10 basis=unit"},
        {"asvd rank=10", "asvd rank=10 basis=unit"},
        {"lorc rank=10 basis=root", "lorc rank=10"},
        {"care rank=10 basis=root", "care rank=10"},
        {"lillama rank=10 skip=0", "lorc rank=10 basis=root"},
    };
    random_layer s;

    (void)state;
    make(&s, 4, 2, 12, false, false);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        mls_latent_form root, other;
        double ratio = 0;

        assert_ok(build(&root, &s, pairs[i][0], &err));
        assert_ok(build(&other, &s, pairs[i][1], &err));
        latent_attention(&root, &s, false, s.got);
        latent_attention(&other, &s, false, s.want);
        assert_true(distance(s.got, s.want) < 1e-4);
        for (size_t k = 0; k < 2; k++) { /* squares of the first and the last row */
            const size_t row = k * (root.latent[0].r - 1) * E;
            double a = 0, b = 0;

            for (size_t e = 0; e < E; e++) {
                a += pow((double)root.latent[0].down.w[row + e], 2);
                b += pow((double)other.latent[0].down.w[row + e], 2);
            }
            ratio = k ? (b / a) / ratio : b / a; /* Sigma of this row */
        }
        if (i + 1 < sizeof pairs / sizeof pairs[0])
            assert_true(ratio < 0.9); /* Sigma falls from the first row to the last */
        else
            assert_close(ratio, 1, 1e-6); /* both fold the roots */
        mls_latent_free(&root);
        mls_latent_free(&other);
    }
    random_layer_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_costs_nothing_is_weighed_alike),
        cmocka_unit_test(full_rank_and_all_chunks_are_the_original_attention),
        cmocka_unit_test(with_one_kv_head_the_paired_x_ecomla_is_exact_too),
        cmocka_unit_test(qk_norm_is_kept_by_every_way_to_read_keys),
        cmocka_unit_test(full_rank_loses_only_the_rotation_of_dropped_chunks),
        cmocka_unit_test(scores_choose_chunks_for_each_kv_head),
        cmocka_unit_test(mha2mla_joint_and_elitekv_j_lrd_factorize_the_same_matrix),
        cmocka_unit_test(more_rank_never_raises_the_error_of_keys_and_values),
        cmocka_unit_test(the_form_caches_what_the_layout_says),
        cmocka_unit_test(x_ecomla_starts_as_its_code_does),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(data_is_asked_for_where_it_is_needed),
        cmocka_unit_test(signs_of_singular_vectors_change_nothing_that_is_quantized),
        cmocka_unit_test(the_basis_of_a_latent_changes_no_product),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
