/* Captures that are stopped, killed or run out of disk, and go on. */
#include "tests/support/capture_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/system/files.h"

/* Counts the calls, and ends the work at one of them. */
typedef struct {
    size_t calls, end_at;
    bool kill;
} interruption;

static void count_step(void *arg, const char *what, double done, double total)
{
    interruption *i = arg;

    (void)what;
    assert_true(done <= total);
    if (++i->calls == i->end_at && i->kill)
        raise(SIGKILL);
}

static bool asked_to_stop(void *arg)
{
    const interruption *i = arg;

    return i->calls >= i->end_at && !i->kill;
}

static void a_stopped_capture_goes_on_and_ends_in_the_same_bytes(void **state)
{
    const char *path = test_scratch("stopped.h5"), *whole = test_scratch("whole.h5");
    const char *part = test_scratch("stopped.h5.part");
    mls_corpus corpus = demo_tokens(6, 20);
    interruption all = {.end_at = SIZE_MAX};
    const mls_progress count = {.arg = &all, .step = count_step};

    (void)state;
    assert_ok(capture(&corpus, whole, 1, &count, &err));
    /* every sequence in every layer and in the head; hashing the model comes before */
    assert_true(all.calls >= 6 * 7);
    const size_t n_before = all.calls - 6 * 7;
    for (size_t end_at = 1; end_at < all.calls; end_at += 15) {
        interruption i = {.end_at = end_at};
        const mls_progress p = {
            .arg = &i, .step = count_step, .stopped = asked_to_stop};
        interruption rest = {.end_at = SIZE_MAX};
        const mls_progress count_rest = {.arg = &rest, .step = count_step};

        assert_refused(capture(&corpus, path, 1, &p, &err), MLS_E_STOPPED,
                       "stopped at");
        assert_false(mls_file_exists(path));
        assert_ok(capture(&corpus, path, 1, &count_rest, &err));
        /* layers that were finished are not done again */
        const size_t layers = end_at > n_before ? (end_at - n_before - 1) / 6 : 0;
        assert_int_equal(rest.calls + (layers > 6 ? 6 : layers) * 6, all.calls);
        assert_true(hash_of(path) == hash_of(whole));
        assert_false(mls_folder_exists(part));
        unlink(path);
    }
    unlink(whole);
    mls_corpus_free(&corpus);
}

/* Steps of a capture that may keep what is there. */
static size_t steps_of(const mls_corpus *corpus, const char *path, const char *command)
{
    const mls_capture_options options = {
        .n_windows = 2, .command = command, .keep_finished = true};
    interruption i = {.end_at = SIZE_MAX};
    const mls_progress p = {.arg = &i, .step = count_step};
    mls_model *model;
    mls_pool *pool;

    assert_ok(mls_model_open(&model, test_source("datasets/demo"), &err));
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_ok(mls_capture_run(model, corpus, path, &options, pool, &p, &err));
    mls_pool_free(pool);
    mls_model_close(model);
    return i.calls;
}

static void a_finished_capture_is_kept_only_when_it_is_the_same(void **state)
{
    const char *path = test_scratch("finished.h5");
    mls_corpus corpus = demo_tokens(4, 20);
    const size_t all = steps_of(&corpus, path, "one");
    const uint64_t hash = hash_of(path);
    FILE *f;

    (void)state;
    assert_true(steps_of(&corpus, path, "one") + 4 * 7 == all);
    assert_true(hash_of(path) == hash);
    assert_int_equal(steps_of(&corpus, path, "two"), all);
    assert_true(hash_of(path) != hash);
    corpus.ids[79] ^= 1;
    assert_int_equal(steps_of(&corpus, path, "two"), all);
    corpus.ids[79] ^= 1;
    assert_int_equal(steps_of(&corpus, path, "one"), all);
    assert_true(hash_of(path) == hash);
    f = fopen(path, "r+b"); /* damage */
    assert_non_null(f);
    fseek(f, 5000, SEEK_SET);
    const int byte = fgetc(f);
    fseek(f, 5000, SEEK_SET);
    fputc(byte ^ 1, f);
    fclose(f);
    assert_int_equal(steps_of(&corpus, path, "one"), all);
    assert_true(hash_of(path) == hash);
    unlink(path);
    mls_corpus_free(&corpus);
}

/* Run in a process whose files may not grow beyond so many bytes; its status. */
static int status_with_limit(const mls_corpus *corpus, const char *path, size_t limit)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        const struct rlimit small = {limit, limit};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        _exit((int)capture(corpus, path, 1, NULL, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_full_disk_is_an_error_and_leaves_no_file(void **state)
{
    const char *path = test_scratch("full.h5"), *whole = test_scratch("enough.h5");
    mls_corpus corpus = demo_tokens(4, 20);
    struct stat s;
    size_t n_refused = 0;

    (void)state;
    assert_ok(capture(&corpus, whole, 1, NULL, &err));
    assert_int_equal(stat(whole, &s), 0);
    /* from the first file of the restart folder to the last block of the capture */
    for (size_t limit = 64; limit < (size_t)s.st_size; limit = limit * 7 / 2) {
        assert_int_equal(status_with_limit(&corpus, path, limit), MLS_E_IO);
        assert_false(mls_file_exists(path));
        n_refused++;
    }
    assert_true(n_refused > 8);
    assert_int_equal(status_with_limit(&corpus, path, (size_t)s.st_size - 1), MLS_E_IO);
    assert_false(mls_file_exists(path));
    assert_int_equal(status_with_limit(&corpus, path, (size_t)s.st_size), MLS_OK);
    assert_true(hash_of(path) == hash_of(whole));
    unlink(path);
    unlink(whole);
    mls_corpus_free(&corpus);
}

/*
 * Run in a process that kills itself at the given call; false when it came to the end.
 */
static bool killed_at(const mls_corpus *corpus, const char *path, size_t call)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        interruption i = {.end_at = call, .kill = true};
        const mls_progress p = {.arg = &i, .step = count_step};

        capture(corpus, path, 1, &p, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void a_killed_capture_goes_on_and_ends_in_the_same_bytes(void **state)
{
    const char *path = test_scratch("killed.h5"), *whole = test_scratch("unkilled.h5");
    mls_corpus corpus = demo_tokens(4, 20);
    interruption all = {.end_at = SIZE_MAX};
    const mls_progress count = {.arg = &all, .step = count_step};

    (void)state;
    assert_ok(capture(&corpus, whole, 1, &count, &err));
    for (size_t call = 1; call <= all.calls; call += 9) {
        assert_true(killed_at(&corpus, path, call));
        assert_false(mls_file_exists(path));
        killed_at(&corpus, path, 7); /* while it goes on; it may be through before */
        assert_ok(capture(&corpus, path, 2, NULL, &err));
        assert_true(hash_of(path) == hash_of(whole));
        unlink(path);
    }
    unlink(whole);
    mls_corpus_free(&corpus);
}

static void an_output_that_cannot_be_written_is_refused_before_the_work(void **state)
{
    mls_corpus corpus = demo_tokens(2, 16);
    interruption i = {.end_at = SIZE_MAX};
    const mls_progress count = {.arg = &i, .step = count_step};

    (void)state;
    assert_refused(capture(&corpus, "/nonexistent/run.h5", 1, &count, &err),
                   MLS_E_INPUT, "/nonexistent/run.h5: cannot be written");
    assert_refused(capture(&corpus, "/tmp", 1, &count, &err), MLS_E_INPUT,
                   "is a folder");
    assert_int_equal(i.calls, 0);
    mls_corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_capture_goes_on_and_ends_in_the_same_bytes),
        cmocka_unit_test(a_finished_capture_is_kept_only_when_it_is_the_same),
        cmocka_unit_test(a_killed_capture_goes_on_and_ends_in_the_same_bytes),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_no_file),
        cmocka_unit_test(an_output_that_cannot_be_written_is_refused_before_the_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
