/* Every rule against tests/reference/frequency.py, PyTorch from the definitions. */
#include "tests/support/window_fixture.h"

#include "analysis/frequency/rule_scores.h"

enum { T = 24, H = 4, G = 2, D = 16, C = D / 2, W = 2 };

typedef struct {
    fixture f[W];
    mls_chunk_window w[W];
    double q_norm[W * H * C], k_norm[W * G * C];
    mls_chunk_windows set;
    mls_rule_data data;
} material;

/* Mean norm of the pairs of one head's chunks. x (T, heads, D) */
static void mean_norms(double *norm, const float *x, size_t heads)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t c = 0; c < C; c++) {
            double sum = 0.0;

            for (size_t t = 0; t < T; t++) {
                const float *row = x + (t * heads + h) * D;

                sum += hypot((double)row[c], (double)row[c + C]);
            }
            norm[h * C + c] = sum / T;
        }
}

static void material_new(material *m)
{
    for (size_t i = 0; i < W; i++) {
        m->f[i] = fixture_new(T, H, G, D, 30.0, i);
        m->w[i] = m->f[i].w;
        mean_norms(m->q_norm + i * H * C, m->f[i].q, H);
        mean_norms(m->k_norm + i * G * C, m->f[i].k, G);
    }
    m->set = (mls_chunk_windows){.window = m->w, .n = W, .turns = m->f[0].turns};
    m->data = (mls_rule_data){.H = H,
                              .G = G,
                              .C = C,
                              .q_norm = m->q_norm,
                              .k_norm = m->k_norm,
                              .N = W,
                              .windows = &m->set};
}

/* One line of the reference: rule, what, head, numbers. */
static void check_line(const material *m, mls_pool *pool, const char *line,
                       size_t *checked)
{
    char name[32], what[16];
    size_t g;
    int used;
    const mls_rule *rule;
    mls_rule_scores s;

    assert_int_equal(sscanf(line, "%31s %15s %zu%n", name, what, &g, &used), 3);
    assert_ok(mls_rule_find(&rule, name, &err));
    assert_ok(mls_rule_scores_make(&s, rule, &m->data, pool, NULL, &err));

    const bool loss = strcmp(what, "loss") == 0;
    const double *got = loss ? s.loss + g * (C + 1) : s.score + g * C;
    char *p;
    double largest = 0.0;

    for (size_t i = 0; i < C; i++)
        largest = fmax(largest, fabs(got[i]));
    line += used;
    for (size_t i = 0; i < C + (loss ? 1u : 0u); i++, line = p) {
        const double want = strtod(line, &p);

        assert_true(p > line);
        if (strcmp(what, "order") == 0)
            assert_int_equal(s.order[g * C + i], (size_t)want);
        else /* float differences of chunks, sums in double */
            assert_close(got[i], want, 1e-6 * fabs(want) + 1e-8 * largest);
    }
    assert_true(*line == '\n');
    mls_rule_scores_free(&s);
    ++*checked;
}

static void every_rule_agrees_with_pytorch(void **state)
{
    FILE *file = fopen(test_source("tests/reference/frequency.txt"), "r");
    char line[1024];
    size_t checked = 0;
    mls_pool *pool;
    material m;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_pool_new(&pool, 2, &err));
    material_new(&m);
    while (fgets(line, sizeof line, file))
        check_line(&m, pool, line, &checked);
    assert_int_equal(checked, G * (5 + 3 * 2));
    fclose(file);
    mls_pool_free(pool);
    for (size_t i = 0; i < W; i++)
        fixture_free(&m.f[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_agrees_with_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
