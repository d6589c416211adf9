/*
 * The cage of the process that reads an HDF5 file: whoever takes that process over
 * through libhdf5 can still compute, read the one file and talk to the one asking, and
 * nothing else. A seccomp filter (Linux, seccomp(2)) lets through the system calls of
 * the table below, with the arguments it names; any other ends the process with SIGSYS.
 * Where the kernel refuses a filter (some containers) or we know no number for the
 * machine, only the limits remain: docs/RELIABILITY.md.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"

#if defined __x86_64__
enum { MACHINE = 1 };
#define MACHINE_NUMBER AUDIT_ARCH_X86_64
#elif defined __aarch64__ && defined __AARCH64EL__
enum { MACHINE = 1 };
#define MACHINE_NUMBER AUDIT_ARCH_AARCH64
#else
enum { MACHINE = 0 };
#define MACHINE_NUMBER 0
#endif

/* A call that is let through when (argument & mask) == value; mask 0: always. */
typedef struct {
    uint32_t call, argument, mask, value;
} rule;

enum { PER_RULE = 6, ALL = ~0 };

static struct sock_filter load(size_t offset)
{
    return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

/* Leave out so many when equal, and so many when not. */
static struct sock_filter skip(uint32_t value, uint8_t equal, uint8_t other)
{
    return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, equal, other);
}

static struct sock_filter result(uint32_t what)
{
    return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what);
}

/*
 * The low words of arguments are compared: those named are ints to the kernel, and the
 * bits of a protection are all in the low one. Both machines are little-endian. The
 * other table of calls of x86-64 (x32) has other numbers, none of which is here.
 */
bool mls_store_cage(void)
{
    const rule rules[] = {
        {__NR_pread64, 0, (uint32_t)ALL, MLS_STORE_FILE},
        {__NR_lseek, 0, (uint32_t)ALL, MLS_STORE_FILE},
        {__NR_recvfrom, 0, (uint32_t)ALL, MLS_STORE_CHANNEL},
        {__NR_sendto, 0, (uint32_t)ALL, MLS_STORE_CHANNEL},
        /* Memory, none of it code. */
        {__NR_mmap, 2, PROT_EXEC, 0},
        {__NR_mprotect, 2, PROT_EXEC, 0},
        {__NR_brk, 0, 0, 0},
        {__NR_mremap, 0, 0, 0},
        {__NR_munmap, 0, 0, 0},
        {__NR_madvise, 0, 0, 0},
        {__NR_futex, 1, ~1U, FUTEX_WAIT_PRIVATE}, /* or FUTEX_WAKE_PRIVATE */
        {__NR_clock_gettime, 0, 0, 0},
        {__NR_gettimeofday, 0, 0, 0},
        /* The end, abort() with its last words included: those go to /dev/null. */
        {__NR_write, 0, (uint32_t)ALL, STDERR_FILENO},
        {__NR_writev, 0, (uint32_t)ALL, STDERR_FILENO},
        {__NR_rt_sigprocmask, 0, 0, 0},
        {__NR_rt_sigaction, 0, 0, 0},
        {__NR_sigaltstack, 0, 0, 0}, /* asked by AddressSanitizer before an end */
        {__NR_getpid, 0, 0, 0},
        {__NR_gettid, 0, 0, 0},
        {__NR_tgkill, 0, (uint32_t)ALL, (uint32_t)getpid()},
        {__NR_exit_group, 0, 0, 0},
    };
    enum { N = sizeof rules / sizeof rules[0] };
    struct sock_filter code[4 + N * PER_RULE];
    unsigned short n = 0;

    code[n++] = load(offsetof(struct seccomp_data, arch));
    code[n++] = skip(MACHINE_NUMBER, 1, 0);
    code[n++] = result(SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < N; i++) {
        code[n++] = load(offsetof(struct seccomp_data, nr));
        code[n++] = skip(rules[i].call, 0, PER_RULE - 2);
        code[n++] =
            load(offsetof(struct seccomp_data, args) + 8 * (size_t)rules[i].argument);
        code[n++] =
            (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rules[i].mask);
        code[n++] = skip(rules[i].value, 0, 1);
        code[n++] = result(SECCOMP_RET_ALLOW);
    }
    code[n++] = result(SECCOMP_RET_KILL_PROCESS);

    const struct sock_fprog program = {n, code};
    const char *preloaded = getenv("LD_PRELOAD");

    if (preloaded && strstr(preloaded, "/vgpreload_"))
        return false; /* valgrind, whose own calls would be ours */
    return MACHINE && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}
