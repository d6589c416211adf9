/* The report as a whole: stopped, killed and gone on with. */
#include "tests/support/expect.h"
#include "tests/support/named_weights.h"
#include "tests/support/random_model.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/system/files.h"
#include "reports/report/report.h"

enum { T = 16, CALIBRATION = 8, HELD_OUT = 8 };

/* What a report is about. */
typedef struct subject {
    char model[256], capture[300];
    mls_corpus calibration, held_out;
    size_t heal;
    const char *const *words; /* NULL-terminated, of the summary; no pictures then */
} subject;

static void random_corpus(mls_corpus *c, mls_rng *rng, size_t N)
{
    *c = (mls_corpus){.N = N, .n_ids = N * T};
    memset(c->sha256, 'a', 64); /* the tokens alone tell texts apart here */
    c->ids = calloc(N * T, sizeof *c->ids);
    c->start = calloc(N + 1, sizeof *c->start);
    for (size_t n = 0; n <= N; n++)
        c->start[n] = n * T;
    for (size_t i = 0; i < N * T; i++)
        c->ids[i] = (int32_t)mls_rng_below(rng, MLS_RANDOM_V);
}

static void capture(const subject *s)
{
    const mls_capture_options options = {.n_windows = 4, .keep_finished = true};
    mls_model *model;
    mls_pool *pool;

    assert_ok(mls_model_open(&model, s->model, &err));
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_capture_run(model, &s->calibration, s->capture, &options, pool, NULL,
                              &err));
    mls_pool_free(pool);
    mls_model_close(model);
}

/* The texts of a subject whose model is there, and its capture. */
static void read_texts(subject *s, mls_rng *rng)
{
    random_corpus(&s->calibration, rng, CALIBRATION);
    random_corpus(&s->held_out, rng, HELD_OUT);
    snprintf(s->capture, sizeof s->capture, "%s.h5", s->model);
    capture(s);
}

static subject new_subject(uint64_t seed)
{
    const mls_random_shape shape = {"report", "llama", 2, 2, 8, false, false};
    char name[64];
    subject s = {0};
    mls_rng rng;

    mls_rng_seed(&rng, seed, 1);
    snprintf(name, sizeof name, "report-model-%d", (int)seed);
    snprintf(s.model, sizeof s.model, "%s", test_scratch(name));
    random_model(s.model, &shape, &rng);
    read_texts(&s, &rng);
    return s;
}

static void free_subject(subject *s)
{
    unlink(s->capture);
    mls_corpus_free(&s->calibration);
    mls_corpus_free(&s->held_out);
}

/* All of a process' own, so that a child may end anywhere. */
static mls_status report(const subject *s, const char *folder,
                         const mls_progress *progress, mls_err *err)
{
    mls_report r = {.folder = folder,
                    .model_name = "model",
                    .command = "mlascope report model",
                    .evaluation = &s->held_out,
                    .calibration = &s->calibration,
                    .heal = s->heal,
                    .evaluation_name = "text",
                    .serve = MLS_SERVE_OWN_KERNEL,
                    .without_pictures = s->words != NULL,
                    .progress = progress};
    mls_model *model = NULL;
    mls_buf summary = {0};
    mls_status st = mls_model_open(&model, s->model, err);

    r.model = model;
    if (!st)
        st = mls_pool_new(&r.pool, 1, err);
    if (!st)
        st = mls_capture_open(&r.capture, s->capture, err);
    if (!st)
        st = mls_folder_prepare(folder, err);
    if (!st)
        st = mls_report_write(&r, &summary, err);
    for (size_t i = 0; !st && s->words && s->words[i]; i++)
        if (!strstr(summary.data, s->words[i]))
            fail_msg("no \"%s\" in: %s", s->words[i], summary.data);
    mls_buf_free(&summary);
    mls_capture_close(r.capture);
    mls_pool_free(r.pool);
    mls_model_close(model);
    return st;
}

/* --- Stops --- */

typedef struct {
    size_t calls, end_at; /* steps told, and at which of them to end */
    size_t named;         /* of these, how many said in which section they are */
    bool kill;
} interruption;

static void count_step(void *arg, const char *what, double done, double total)
{
    interruption *i = arg;

    (void)done;
    (void)total;
    i->named += strstr(what, " of 13): ") != NULL;
    if (++i->calls == i->end_at && i->kill)
        raise(SIGKILL);
}

static bool asked_to_stop(void *arg)
{
    const interruption *i = arg;

    return i->calls >= i->end_at && !i->kill;
}

static mls_progress listen(interruption *i)
{
    return (mls_progress){.arg = i, .step = count_step, .stopped = asked_to_stop};
}

static size_t steps_of(const subject *s, const char *folder)
{
    interruption i = {.end_at = SIZE_MAX};
    const mls_progress p = listen(&i);

    assert_ok(report(s, folder, &p, &err));
    assert_int_equal(i.named, i.calls);
    return i.calls;
}

/* --- Folders --- */

static bool is_there(const char *folder, const char *name)
{
    char path[1200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return mls_file_exists(path);
}

/* The page is there and does not say that something is still to come. */
static bool is_finished(const char *folder)
{
    char path[1200], *page = NULL;
    size_t len;

    snprintf(path, sizeof path, "%s/index.html", folder);
    if (!mls_file_exists(path))
        return false;
    assert_ok(mls_file_read(path, 1 << 24, &page, &len, &err));
    const bool finished = !strstr(page, "Unfinished: ");

    free(page);
    return finished;
}

/* The commands that a page prints name its folder: taken out of its text. */
static void forget_folder(char *text, size_t *len, const char *folder)
{
    const size_t n = strlen(folder);
    size_t to = 0;

    for (size_t i = 0; i < *len;) {
        if (*len - i >= n && memcmp(text + i, folder, n) == 0)
            i += n;
        else
            text[to++] = text[i++];
    }
    *len = to;
}

/*
 * Every file of a is in b, to the last byte but for the names of their folders; how
 * many these are.
 */
static size_t count_same(const char *a, const char *b, const char *root_a,
                         const char *root_b)
{
    DIR *d = opendir(a);
    size_t n = 0;

    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char x[1200], y[1200];
        struct stat what;

        if (e->d_name[0] == '.')
            continue;
        snprintf(x, sizeof x, "%s/%s", a, e->d_name);
        snprintf(y, sizeof y, "%s/%s", b, e->d_name);
        assert_int_equal(stat(x, &what), 0);
        if (S_ISDIR(what.st_mode)) {
            n += count_same(x, y, root_a, root_b);
            continue;
        }
        char *in_x, *in_y;
        size_t size_x, size_y;

        assert_ok(mls_file_read(x, 1 << 26, &in_x, &size_x, &err));
        assert_ok(mls_file_read(y, 1 << 26, &in_y, &size_y, &err));
        forget_folder(in_x, &size_x, root_a);
        forget_folder(in_y, &size_y, root_b);
        if (size_x != size_y || memcmp(in_x, in_y, size_x) != 0)
            fail_msg("%s is not %s", y, x);
        free(in_x);
        free(in_y);
        n++;
    }
    closedir(d);
    return n;
}

static void assert_same_folder(const char *a, const char *b)
{
    assert_true(count_same(a, b, a, b) >= 10);
    assert_int_equal(count_same(a, b, a, b), count_same(b, a, b, a));
}

/* test_scratch() turns its buffers over. */
static const char *folder_name(char out[256], const char *name)
{
    snprintf(out, 256, "%s", test_scratch(name));
    return out;
}

/* --- The facts --- */

/* A report that was never stopped, and its steps. */
typedef struct {
    subject s;
    char whole[256];
    size_t all;
} facts;

/* Pictures are not what is tested here: the script itself stands for each. */
static void fake_gnuplot(void)
{
    static const char program[] =
        "#!/bin/sh\n"
        "for script; do :; done\n"
        "[ -f \"$script\" ] || exit 0\n"
        "sed -n 's/^set output \"\\(.*\\)\"$/\\1/p' \"$script\" |\n"
        "    while read -r name; do cp \"$script\" \"$name\"; done\n";
    char folder[256], path[300], search[8192];
    const char *old = getenv("PATH");

    folder_name(folder, "bin");
    assert_ok(mls_folder_prepare(folder, &err));
    snprintf(path, sizeof path, "%s/gnuplot", folder);
    assert_ok(mls_file_write(path, program, sizeof program - 1, &err));
    assert_int_equal(chmod(path, 0755), 0);
    snprintf(search, sizeof search, "%s:%s", folder, old ? old : "/usr/bin:/bin");
    assert_int_equal(setenv("PATH", search, 1), 0);
}

static int setup(void **state)
{
    static facts f;

    fake_gnuplot();
    f.s = new_subject(1);
    f.all = steps_of(&f.s, folder_name(f.whole, "report-whole"));
    assert_true(is_finished(f.whole) && is_there(f.whole, "plan.json"));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    facts *f = *state;

    free_subject(&f->s);
    return 0;
}

static void a_stopped_report_goes_on_and_ends_in_the_same_bytes(void **state)
{
    const facts *f = *state;
    char folder[256];

    for (size_t eighth = 3; eighth < 7; eighth += 3) {
        char name[64];
        interruption i = {.end_at = f->all * eighth / 8};
        const mls_progress p = listen(&i);

        snprintf(name, sizeof name, "report-stopped-%zu", eighth);
        folder_name(folder, name);
        assert_refused(report(&f->s, folder, &p, &err), MLS_E_STOPPED, "stopped at");
        assert_false(is_finished(folder));
        assert_true(is_there(folder, "measured.part.jsonl"));
        /* A group of 16 settings or the plan is begun again. */
        assert_true(steps_of(&f->s, folder) < f->all - i.calls / 2);
        assert_false(is_there(folder, "measured.part.jsonl"));
        assert_same_folder(f->whole, folder);
    }
}

static void a_killed_report_goes_on_and_ends_in_the_same_bytes(void **state)
{
    const facts *f = *state;
    char folder[256];
    const pid_t child = fork();
    int status = 0;

    folder_name(folder, "report-killed");
    if (child == 0) {
        interruption i = {.end_at = f->all / 2, .kill = true};
        const mls_progress p = listen(&i);

        report(&f->s, folder, &p, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(is_finished(folder));
    assert_true(steps_of(&f->s, folder) < f->all * 3 / 4);
    assert_same_folder(f->whole, folder);
}

static void a_report_heals_the_best_of_each_class(void **state)
{
    const facts *f = *state;
    const char *const parts[] = {
        "What training repairs", ": see who serves what.", "KL before",
        "served-1.csv",          "excess of the start",    "healing.csv"};
    subject s = f->s;
    char folder[256], *page, path[300];
    size_t len;

    s.heal = 1;
    assert_ok(report(&s, folder_name(folder, "report-healed"), NULL, &err));
    assert_true(is_there(folder, "data/healing.csv"));
    assert_true(is_there(folder, "data/served.csv"));
    snprintf(path, sizeof path, "%s/index.html", folder);
    assert_ok(mls_file_read(path, 1 << 26, &page, &len, &err));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(page, parts[i]))
            fail_msg("the page does not say \"%s\"", parts[i]);
    free(page);
}

/* A copy of a folder that a report left; its files lie at most one folder below. */
static void copy_folder(const char *from, const char *to)
{
    DIR *d = opendir(from);

    assert_non_null(d);
    assert_ok(mls_folder_prepare(to, &err));
    for (const struct dirent *e; (e = readdir(d));) {
        char x[1200], y[1200], *text;
        struct stat what;
        size_t len;

        if (e->d_name[0] == '.')
            continue;
        snprintf(x, sizeof x, "%s/%s", from, e->d_name);
        snprintf(y, sizeof y, "%s/%s", to, e->d_name);
        assert_int_equal(stat(x, &what), 0);
        if (S_ISDIR(what.st_mode)) {
            copy_folder(x, y);
            continue;
        }
        assert_ok(mls_file_read(x, 1 << 26, &text, &len, &err));
        assert_ok(mls_file_write(y, text, len, &err));
        free(text);
    }
    closedir(d);
}

static void stop_after_the_plan(const subject *s, const char *folder, size_t all)
{
    interruption i = {.end_at = all * 7 / 8};
    const mls_progress p = listen(&i);

    assert_refused(report(s, folder, &p, &err), MLS_E_STOPPED, "");
    assert_true(is_there(folder, "plan.json.part") && is_there(folder, "plan.json"));
}

/* Do something to a copy of a stopped report and go on: how many steps are left. */
static size_t steps_after(const facts *f, const char *stopped, const char *name,
                          const char *removed, const char *changed)
{
    char folder[256], path[300];
    size_t rest;

    copy_folder(stopped, folder_name(folder, name));
    if (removed) {
        snprintf(path, sizeof path, "%s/%s", folder, removed);
        assert_int_equal(unlink(path), 0);
    }
    if (changed) {
        snprintf(path, sizeof path, "%s/%s", folder, changed);
        FILE *file = fopen(path, "a");

        assert_non_null(file);
        fputs(" ", file);
        assert_int_equal(fclose(file), 0);
    }
    rest = steps_of(&f->s, folder);
    assert_same_folder(f->whole, folder);
    return rest;
}

static void a_plan_is_taken_up_only_when_it_is_whole(void **state)
{
    const facts *f = *state;
    char stopped[256];
    size_t whole, all;

    stop_after_the_plan(&f->s, folder_name(stopped, "plan-stopped"), f->all);
    whole = steps_after(f, stopped, "plan-0", NULL, NULL);
    all = steps_after(f, stopped, "plan-1", "plan.json.part", NULL);
    assert_true(whole < all);
    assert_int_equal(steps_after(f, stopped, "plan-2", "plan.json", NULL), all);
    assert_int_equal(steps_after(f, stopped, "plan-3", NULL, "plan.json"), all);
}

/* A folder that another subject left half-way is finished as if it were new. */
static void expect_afresh(const subject *other, const facts *f, const char *name)
{
    char folder[256], with[64];

    snprintf(with, sizeof with, "report-changed-%s", name);
    stop_after_the_plan(other, folder_name(folder, with), f->all);
    assert_int_equal(steps_of(&f->s, folder), f->all);
    assert_same_folder(f->whole, folder);
}

static void nothing_of_another_text_is_taken_up(void **state)
{
    const facts *f = *state;
    subject other = f->s;

    other.held_out.ids = malloc(f->s.held_out.n_ids * sizeof *other.held_out.ids);
    memcpy(other.held_out.ids, f->s.held_out.ids,
           f->s.held_out.n_ids * sizeof *other.held_out.ids);
    other.held_out.ids[T * 4 - 2] ^= 1; /* the last that every section reads */
    expect_afresh(&other, f, "text");
    free(other.held_out.ids);
}

static void nothing_of_another_model_is_taken_up(void **state)
{
    const facts *f = *state;
    subject other = new_subject(2), mixed = other; /* the same text through it */

    mixed.held_out = f->s.held_out;
    expect_afresh(&mixed, f, "model");
    free_subject(&other);
}

static void nothing_of_other_statistics_is_taken_up(void **state)
{
    const facts *f = *state;
    subject other = f->s;

    random_corpus(&other.calibration, &(mls_rng){{1, 2, 3, 4}}, CALIBRATION);
    snprintf(other.capture, sizeof other.capture, "%.250s-other.h5", f->s.model);
    capture(&other);
    expect_afresh(&other, f, "statistics");
    unlink(other.capture);
    mls_corpus_free(&other.calibration);
}

/* --- Models some of whose layers, or all, stay as they are --- */

static void a_model_of_any_kind_has_a_report(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words[4];
    } models[] = {
        {"lfm2",
         {"1 of 2 layers can be converted (1); as they are stay 1 (a recurrent state)",
          "B of a sequence that do not grow",
          "healing: layer 0 has a layer without keys"}},
        {"deepseek_v3",
         {"MLA, latent of 12 and rope key of 4", "The model has MLA already",
          "spectrum: 95 % of the energy"}},
        {"falcon_h1",
         {"can be converted; as they are stay",
          "(a state space beside its heads), so no conversion",
          "spectrum: 95 % of the energy"}},
    };

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        subject s = {.words = models[i].words, .heal = 1};
        char folder[300], page[320];
        mls_rng rng;

        snprintf(s.model, sizeof s.model, "%s", test_scratch(models[i].name));
        snprintf(folder, sizeof folder, "%s-report", s.model);
        snprintf(page, sizeof page, "%s/index.html", folder);
        named_model(s.model, models[i].name);
        mls_rng_seed(&rng, 5, 1);
        read_texts(&s, &rng);
        assert_ok(report(&s, folder, NULL, &err));
        assert_true(mls_file_exists(page));
        free_subject(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_report_goes_on_and_ends_in_the_same_bytes),
        cmocka_unit_test(a_report_heals_the_best_of_each_class),
        cmocka_unit_test(a_killed_report_goes_on_and_ends_in_the_same_bytes),
        cmocka_unit_test(a_plan_is_taken_up_only_when_it_is_whole),
        cmocka_unit_test(nothing_of_another_text_is_taken_up),
        cmocka_unit_test(nothing_of_another_model_is_taken_up),
        cmocka_unit_test(nothing_of_other_statistics_is_taken_up),
        cmocka_unit_test(a_model_of_any_kind_has_a_report),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
