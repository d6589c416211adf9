#include "tests/support/expect.h"

#include <fcntl.h>
#include <float.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/numbers/finite.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "common/system/pool.h"

static void sizes_that_overflow_are_refused(void **state)
{
    size_t n = 7;

    (void)state;
    assert_false(mls_mul_size(&n, SIZE_MAX / 2, 3));
    assert_int_equal(n, 7);
    assert_null(mls_calloc3(SIZE_MAX / 2, 2, 2, 8));
}

static void sha256_of_abc_is_the_standards(void **state)
{
    mls_sha256 *h;
    char hex[MLS_SHA256_HEX];

    (void)state;
    assert_ok(mls_sha256_new(&h, &err));
    mls_sha256_add(h, "a", 1);
    mls_sha256_add(h, "bc", 2);
    mls_sha256_hex(h, hex);
    mls_sha256_free(h);
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_first_number_that_is_not_finite_is_found_anywhere(void **state)
{
    enum { N = 600 }; /* two whole blocks and a rest */
    float x[N];

    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = i % 2 ? FLT_MAX : -1e-40f;
    assert_int_equal(mls_first_not_finite(x, N), N);
    assert_int_equal(mls_first_not_finite(x, 0), 0);
    for (size_t i = 0; i < N; i++) {
        const float kept = x[i], last = x[N - 1];

        x[N - 1] = NAN;
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        assert_int_equal(mls_first_not_finite(x, N), i);
        assert_false(mls_all_finite(x, N));
        x[N - 1] = last;
        x[i] = kept;
    }
}

static void only_folders_that_were_made_are_removed(void **state)
{
    const char *top = test_scratch("made");
    char *deep = mls_path_join(top, "a//b/c"), *kept = mls_path_join(top, "a/x");
    size_t known = mls_folder_known(deep);

    (void)state;
    assert_true(known > 0 && known < strlen(top));
    assert_ok(mls_folder_prepare(deep, &err));
    assert_int_equal(mls_folder_known(deep), strlen(deep));
    mls_folder_undo(deep, known);
    assert_false(mls_folder_exists(top));

    assert_ok(mls_folder_prepare(top, &err)); /* was there before */
    known = mls_folder_known(deep);
    assert_ok(mls_folder_prepare(deep, &err));
    mls_folder_undo(deep, known);
    assert_int_equal(mls_folder_known(deep), strlen(top) + 1);

    assert_ok(mls_folder_prepare(deep, &err)); /* somebody put a file there */
    assert_ok(mls_file_write(kept, "x", 1, &err));
    mls_folder_undo(deep, known);
    assert_true(mls_file_exists(kept));
    assert_int_equal(mls_folder_known(deep), strlen(top) + 4);
    mls_folder_undo(deep, strlen(deep)); /* nothing was made */
    free(deep);
    free(kept);
}

static mls_status square(void *arg, size_t job, size_t worker, mls_err *err)
{
    (void)worker;
    if (job == 300 || job == 700)
        return mls_fail(err, MLS_E_NUMERIC, "job %zu", job);
    ((size_t *)arg)[job] = job * job;
    return MLS_OK;
}

static void a_pool_runs_every_job_once_and_names_the_first_failure(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 5; threads++) {
        mls_pool *pool;
        size_t out[300];

        assert_ok(mls_pool_new(&pool, threads, &err));
        for (int round = 0; round < 20; round++) {
            memset(out, 0, sizeof out);
            assert_ok(mls_pool_run(pool, 300, square, out, &err));
            for (size_t i = 0; i < 300; i++)
                assert_int_equal(out[i], i * i);
        }
        mls_pool_free(pool);
        size_t more[1000];
        assert_ok(mls_pool_new(&pool, threads, &err));
        assert_refused(mls_pool_run(pool, 1000, square, more, &err), MLS_E_NUMERIC,
                       "job 300");
        mls_pool_free(pool);
    }
}

typedef struct {
    mls_pool *pool;
    size_t (*out)[20];
    int at_work[5]; /* by worker: nobody else uses its scratch */
} nested;

typedef struct {
    nested *outer;
    size_t job;
} inner;

static mls_status inner_square(void *arg, size_t job, size_t worker, mls_err *err)
{
    const inner *in = arg;

    (void)worker;
    if (in->job == 77 && job == 5)
        return mls_fail(err, MLS_E_NUMERIC, "job %zu of %zu", job, in->job);
    in->outer->out[in->job][job] = in->job * 100 + job;
    return MLS_OK;
}

static mls_status outer_job(void *arg, size_t job, size_t worker, mls_err *err)
{
    nested *n = arg;
    inner in = {n, job};
    mls_status st;

    assert_int_equal(n->at_work[worker]++, 0);
    st = mls_pool_run(n->pool, 20, inner_square, &in, err);
    assert_int_equal(--n->at_work[worker], 0);
    return st;
}

static void jobs_may_run_jobs(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 5; threads++) {
        size_t out[100][20] = {0};
        nested n = {.out = out};

        assert_ok(mls_pool_new(&n.pool, threads, &err));
        assert_ok(mls_pool_run(n.pool, 60, outer_job, &n, &err));
        for (size_t i = 0; i < 60; i++)
            for (size_t j = 0; j < 20; j++)
                assert_int_equal(out[i][j], i * 100 + j);
        assert_refused(mls_pool_run(n.pool, 100, outer_job, &n, &err), MLS_E_NUMERIC,
                       "job 5 of 77");
        mls_pool_free(n.pool);
    }
}

/* Have both threads of a pool been at one list at a time, in five seconds? */
static bool meet(atomic_int *arrived)
{
    const time_t until = time(NULL) + 5;

    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < 2 && time(NULL) < until)
        sched_yield();
    return atomic_load(arrived) >= 2;
}

typedef struct {
    mls_pool *pool;
    size_t busy; /* the worker whose job runs jobs */
    bool claims; /* the other waits for a claim, instead of for the end */
    atomic_int outer, inner;
    int claimed;
} met;

static mls_status meet_inside(void *arg, size_t job, size_t worker, mls_err *err)
{
    met *m = arg;

    (void)job;
    (void)worker;
    return meet(&m->inner) ? MLS_OK : mls_fail(err, MLS_E_NUMERIC, "nobody helps");
}

static mls_status one_is_busy(void *arg, size_t job, size_t worker, mls_err *err)
{
    met *m = arg;
    mls_status st = MLS_OK;

    (void)job;
    if (worker == m->busy && m->claims)
        mls_pool_claim(m->pool);
    if (!meet(&m->outer))
        st = mls_fail(err, MLS_E_NUMERIC, "one thread took both jobs");
    if (worker != m->busy && m->claims)
        mls_pool_claim(m->pool);
    if (m->claims)
        m->claimed++;
    if (worker == m->busy && !st)
        st = mls_pool_run(m->pool, 2, meet_inside, m, err);
    if (m->claims)
        mls_pool_release(m->pool);
    return st;
}

static void who_waits_helps(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        met m = {.busy = i % 2, .claims = i % 4 < 2};

        assert_ok(mls_pool_new(&m.pool, 2, &err));
        assert_ok(mls_pool_run(m.pool, 2, one_is_busy, &m, &err));
        assert_int_equal(m.claimed, m.claims ? 2 : 0);
        mls_pool_free(m.pool);
    }
}

/* Has another thread than the claimant begun, in five seconds? */
static bool begun(const met *m)
{
    const time_t until = time(NULL) + 5;

    while (atomic_load(&m->inner) == 0 && time(NULL) < until)
        sched_yield();
    return atomic_load(&m->inner) > 0;
}

/* A job that another thread does outlasts the claimant's. */
static mls_status outlast(void *arg, size_t job, size_t worker, mls_err *err)
{
    met *m = arg;
    const struct timespec a_while = {0, 20000000};

    (void)job;
    if (worker != m->busy) {
        atomic_fetch_add(&m->inner, 1);
        nanosleep(&a_while, NULL);
    }
    return begun(m) ? MLS_OK : mls_fail(err, MLS_E_NUMERIC, "nobody helps");
}

static mls_status claim_alone(void *arg, size_t job, size_t worker, mls_err *err)
{
    met *m = arg;

    (void)job;
    (void)worker;
    (void)err;
    mls_pool_claim(m->pool);
    m->claimed++;
    mls_pool_release(m->pool);
    return MLS_OK;
}

static mls_status one_claims(void *arg, size_t job, size_t worker, mls_err *err)
{
    met *m = arg;
    mls_status st;

    if (job == 1)
        return begun(m) ? mls_pool_run(m->pool, 4, claim_alone, m, err)
                        : mls_fail(err, MLS_E_NUMERIC, "nobody helps");
    mls_pool_claim(m->pool);
    m->busy = worker;
    st = mls_pool_run(m->pool, 2, outlast, m, err);
    mls_pool_release(m->pool);
    return st;
}

static void who_claims_meets_no_other_claim(void **state)
{
    (void)state;
    for (size_t threads = 3; threads <= 6; threads++) {
        met m = {0};

        assert_ok(mls_pool_new(&m.pool, threads, &err));
        assert_ok(mls_pool_run(m.pool, 2, one_claims, &m, &err));
        assert_int_equal(m.claimed, 4);
        mls_pool_free(m.pool);
    }
}

static void written_files_are_whole_or_absent(void **state)
{
    const char *path = test_scratch("file");
    char *data;
    size_t len;

    (void)state;
    assert_ok(mls_file_write(path, "hello", 5, &err));
    assert_ok(mls_file_read(path, 5, &data, &len, &err));
    assert_int_equal(len, 5);
    assert_string_equal(data, "hello");
    free(data);
    assert_refused(mls_file_read(path, 4, &data, &len, &err), MLS_E_INPUT, "at most 4");
    assert_refused(mls_folder_prepare(path, &err), MLS_E_INPUT, "expected a folder");
    assert_refused(mls_file_read("/nonexistent", 4, &data, &len, &err), MLS_E_INPUT,
                   "No such file");
    assert_int_not_equal(mls_file_write("/dev/full/x", "a", 1, NULL), MLS_OK);
    unlink(path);
}

/* What a killed process left goes with the next writing of the same file; what a living
   one writes, and names that only look like it, stay. */
static void leftovers_of_killed_processes_are_removed(void **state)
{
    const char *path = test_scratch("left"), *folder;
    const pid_t dead = fork();
    char name[5][600];
    struct stat s;

    (void)state;
    if (dead == 0)
        _exit(0);
    assert_int_equal(waitpid(dead, NULL, 0), dead);
    folder = name[1];
    snprintf(name[0], sizeof name[0], "%s.tmp-%ld", path, (long)dead);
    snprintf(name[1], sizeof name[1], "%s2.tmp-%ld", path, (long)dead);
    snprintf(name[2], sizeof name[2], "%s.tmp-1", path);
    snprintf(name[3], sizeof name[3], "%s.tmp-%ldx", path, (long)dead);
    snprintf(name[4], sizeof name[4], "%s2.tmp-%ld/inside", path, (long)dead);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < 5; i++) {
        FILE *f = i == 1 ? NULL : fopen(name[i], "wb");

        if (f)
            fclose(f);
    }
    assert_ok(mls_file_write(path, "x", 1, &err));
    assert_int_equal(stat(name[0], &s), -1);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(stat(name[i], &s), 0);
    assert_ok(mls_file_write(test_scratch("left2"), "x", 1, &err));
    assert_int_equal(stat(folder, &s), -1);
}

static void a_pipe_is_written_into_and_never_replaced(void **state)
{
    const char *path = test_scratch("pipe"), *beside = test_scratch("beside");
    char data[8] = "";
    struct stat s;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    const int fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_ok(mls_file_writable(path, &err));
    assert_ok(mls_file_write(path, "hello", 5, &err));
    assert_int_equal(read(fd, data, sizeof data), 5);
    assert_string_equal(data, "hello");
    close(fd);

    assert_refused(mls_file_replaceable(path, &err), MLS_E_INPUT, "device or pipe");
    assert_ok(mls_file_write(beside, "x", 1, &err));
    assert_refused(mls_file_commit(beside, path, &err), MLS_E_INPUT, "device or pipe");
    assert_int_equal(stat(path, &s), 0);
    assert_true(S_ISFIFO(s.st_mode));
    unlink(beside);
    unlink(path);
}

static void a_link_stays_and_its_file_is_replaced(void **state)
{
    const char *shown = test_scratch("link"), *file = test_scratch("target");
    char *data;
    size_t len;
    struct stat s;

    (void)state;
    assert_ok(mls_file_write(file, "old", 3, &err));
    assert_int_equal(symlink(file, shown), 0);
    assert_ok(mls_file_write(shown, "newer", 5, &err));
    assert_int_equal(lstat(shown, &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    assert_ok(mls_file_read(file, 5, &data, &len, &err));
    assert_string_equal(data, "newer");
    free(data);
    unlink(shown);
    unlink(file);
}

static void names_that_no_file_can_have_are_refused(void **state)
{
    (void)state;
    assert_refused(mls_file_write("", "a", 1, &err), MLS_E_INPUT, "name is empty");
    assert_refused(mls_file_writable("", &err), MLS_E_INPUT, "name is empty");
    assert_refused(mls_file_write("/", "a", 1, &err), MLS_E_INPUT, "is a folder");
}

static void random_numbers_have_the_moments_they_should(void **state)
{
    mls_rng a, b;
    double sum = 0, square_sum = 0;
    const int n = 100000;

    (void)state;
    mls_rng_seed(&a, 1, 2);
    mls_rng_seed(&b, 1, 3);
    assert_true(mls_rng_u64(&a) != mls_rng_u64(&b));
    for (int i = 0; i < n; i++) {
        const double x = mls_rng_normal(&a);

        sum += x;
        square_sum += x * x;
    }
    assert_close(sum / n, 0, 0.02);
    assert_close(square_sum / n, 1, 0.03);
}

static void the_nearest_word_is_found_only_when_it_is_near(void **state)
{
    const char *words[] = {"spectrum", "size", "report", NULL};

    (void)state;
    assert_string_equal(mls_nearest("spectrm", words), "spectrum");
    assert_string_equal(mls_nearest("szie", words), "size");
    assert_null(mls_nearest("xyzzy", words));
    assert_string_equal(mls_nearest("rnu", (const char *[]){"ru", NULL}), "ru");
    /* Two of three other letters make another word. */
    assert_null(mls_nearest("foo", (const char *[]){"low", "fp8", NULL}));
    /* A part, or other letters of the same. */
    const char *gpus[] = {"rtx4090-laptop", "rtx4090", "l4", NULL};

    assert_string_equal(mls_nearest("4090", gpus), "rtx4090");
    assert_string_equal(
        mls_nearest("GeForce RTX", (const char *[]){"geforce-rtx", NULL}),
        "geforce-rtx");
    assert_null(mls_nearest("rtx", (const char *[]){"geforce-rtx", NULL}));
}

static void an_unknown_word_is_answered_with_the_nearest_or_with_all(void **state)
{
    const char *words[] = {"high", "low", NULL};
    char text[MLS_SUGGESTION];

    (void)state;
    assert_string_equal(mls_suggest("hihg", words, text), "; did you mean high?");
    assert_string_equal(mls_suggest("foo", words, text), "; known are high, low");
}

static void numbers_are_parsed_whole_or_not_at_all(void **state)
{
    size_t n;
    double x;

    (void)state;
    assert_true(mls_parse_size("18446744073709551615", &n));
    assert_false(mls_parse_size("18446744073709551616", &n));
    assert_false(mls_parse_size("", &n));
    assert_false(mls_parse_size("-1", &n));
    assert_false(mls_parse_size("3x", &n));
    assert_true(mls_parse_real("2.5e-1", &x));
    assert_close(x, 0.25, 0);
    assert_false(mls_parse_real("nan", &x));
    assert_false(mls_parse_real(" 1", &x));
    for (const char *const *gib = (const char *[]){"24", "24G", "24GiB", NULL}; *gib;
         gib++) {
        assert_true(mls_parse_gib(*gib, &x));
        assert_close(x, 24, 0);
    }
    assert_false(mls_parse_gib("24GB", &x));
    assert_false(mls_parse_gib("0G", &x));
    assert_false(mls_parse_gib("G", &x));
}

static void a_message_is_one_line_of_text_whatever_it_quotes(void **state)
{
    mls_err e = {0};

    (void)state;
    mls_fail(&e, MLS_E_INPUT, "%s", "a\n\033[31mb\xff \xc3\xa9 \xc2\x9b \xe2\x82");
    assert_string_equal(e.text, "a??[31mb? \xc3\xa9 ?? ??");
    mls_fail_in(&e, MLS_E_INPUT, "%s", "x\r");
    assert_string_equal(e.text, "x?: a??[31mb? \xc3\xa9 ?? ??");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(sha256_of_abc_is_the_standards),
        cmocka_unit_test(only_folders_that_were_made_are_removed),
        cmocka_unit_test(the_first_number_that_is_not_finite_is_found_anywhere),
        cmocka_unit_test(jobs_may_run_jobs),
        cmocka_unit_test(who_waits_helps),
        cmocka_unit_test(who_claims_meets_no_other_claim),
        cmocka_unit_test(a_pool_runs_every_job_once_and_names_the_first_failure),
        cmocka_unit_test(written_files_are_whole_or_absent),
        cmocka_unit_test(leftovers_of_killed_processes_are_removed),
        cmocka_unit_test(a_pipe_is_written_into_and_never_replaced),
        cmocka_unit_test(a_link_stays_and_its_file_is_replaced),
        cmocka_unit_test(names_that_no_file_can_have_are_refused),
        cmocka_unit_test(random_numbers_have_the_moments_they_should),
        cmocka_unit_test(the_nearest_word_is_found_only_when_it_is_near),
        cmocka_unit_test(an_unknown_word_is_answered_with_the_nearest_or_with_all),
        cmocka_unit_test(numbers_are_parsed_whole_or_not_at_all),
        cmocka_unit_test(a_message_is_one_line_of_text_whatever_it_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
