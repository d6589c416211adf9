/*
 * The process that reads a capture, once something has taken it over: what it tries
 * beyond reading ends it, and the one asking is told in a sentence. Where the system
 * allows no such filter, captures are read all the same.
 */
#define _GNU_SOURCE /* prlimit */
#include "tests/support/capture_sample.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"

enum { NO_CAGE = 77, ALIVE = 0 };

static void try_open(void)
{
    open("/etc/passwd", O_RDONLY);
}

static void try_socket(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}

static void try_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void try_process(void)
{
    fork();
}

static void try_kill_parent(void)
{
    kill(getppid(), 0);
}

static void try_other_descriptor(void)
{
    char byte;

    if (pread(STDIN_FILENO, &byte, 1, 0) < 0)
        return;
}

static void try_write_to_file(void)
{
    if (pwrite(MLS_STORE_FILE, "x", 1, 0) < 0)
        return;
}

static void try_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_to_make_code(void)
{
    static char page[2 * 4096];
    char *const start = page + (4096 - (uintptr_t)page % 4096);

    mprotect(start, 4096, PROT_READ | PROT_EXEC);
}

static void try_more_time(void)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    setrlimit(RLIMIT_CPU, &none);
}

static void try_remove(void)
{
    unlink("/nowhere/at/all");
}

static void try_to_see(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}

static void try_descriptor(void)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr m = {.msg_control = space, .msg_controllen = sizeof space};

    sendmsg(MLS_STORE_CHANNEL, &m, 0);
}

static void compute(void)
{
    char *volatile much = malloc(1 << 20);

    if (much)
        much[1000] = 1;
    free(much);
}

/* How a process ends that goes into the cage and then tries something. */
static int end_of(void (*attempt)(void))
{
    int status;
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        if (!mls_store_cage())
            _exit(NO_CAGE);
        attempt();
        _exit(ALIVE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void what_reading_does_not_need_ends_it(void **state)
{
    void (*const attempts[])(void) = {
        try_open,          try_socket,    try_program,      try_process,
        try_kill_parent,   try_code,      try_to_make_code, try_other_descriptor,
        try_write_to_file, try_more_time, try_remove,       try_to_see,
        try_descriptor,
    };
    const int status = end_of(compute);

    (void)state;
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_CAGE) {
        print_message("SKIPPED: the system allows no filter of system calls\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), ALIVE);
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const int end = end_of(attempts[i]);

        if (!WIFSIGNALED(end) || WTERMSIG(end) != SIGSYS)
            fail_msg("attempt %zu: status %#x", i, (unsigned)end);
    }
}

/* A reader in its cage that answers a question by opening a file. */
static void the_one_asking_is_told(void **state)
{
    const mls_store_request names = {.op = MLS_STORE_OP_NAMES};
    mls_store_answer nothing = {0};
    char path[] = "stranger.h5";
    mls_store s = {.path = path, .file = -1};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    s.reader = fork();
    assert_true(s.reader >= 0);
    if (s.reader == 0) {
        mls_store_request r;

        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        if (recv(ends[1], &r, sizeof r, MSG_WAITALL) == (ssize_t)sizeof r) {
            if (!mls_store_cage())
                raise(SIGSYS);
            try_open();
        }
        _exit(ALIVE);
    }
    close(ends[1]);
    s.channel = ends[0];
    assert_refused(mls_store_ask(&s, &names, &nothing, &err), MLS_E_INPUT,
                   "stranger.h5: is made to do harm: what read it tried more than to");
    assert_int_equal(s.reader, 0);
}

static void its_limits_are_for_good(void **state)
{
    static const int what[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_NPROC};
    const char *path = test_scratch("limits.h5");
    struct rlimit r;
    mls_store *s;
    sample made;

    (void)state;
    make_sample(&made, 0);
    write_sample(&made, path);
    assert_ok(mls_store_open(&s, path, MLS_CAPTURE_KIND, &err));
    for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
        assert_int_equal(prlimit(s->reader, what[i], NULL, &r), 0);
        assert_int_equal(r.rlim_max, 0);
    }
    assert_int_equal(prlimit(s->reader, RLIMIT_AS, NULL, &r), 0);
    assert_true(r.rlim_max != RLIM_INFINITY && r.rlim_cur == r.rlim_max);
    assert_int_equal(prlimit(s->reader, RLIMIT_CPU, NULL, &r), 0);
    assert_in_range(r.rlim_cur, 2, 60);
    mls_store_close(s);
    unlink(path);
}

/* As some containers do: a filter of system calls is refused. */
static bool refuse_filters(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

static void without_a_cage_captures_are_read(void **state)
{
    const char *path = test_scratch("uncaged.h5");
    int status;
    sample made;

    (void)state;
    make_sample(&made, 0);
    write_sample(&made, path);
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        mls_capture *c;
        mls_err err = {0};
        const bool none = refuse_filters() && !mls_store_cage();
        const mls_status st = mls_capture_open(&c, path, &err);

        _exit(!none ? NO_CAGE : st ? 1 : ALIVE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    unlink(path);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_CAGE) {
        print_message("SKIPPED: the system allows no filter of system calls\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), ALIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_reading_does_not_need_ends_it),
        cmocka_unit_test(the_one_asking_is_told),
        cmocka_unit_test(its_limits_are_for_good),
        cmocka_unit_test(without_a_cage_captures_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
