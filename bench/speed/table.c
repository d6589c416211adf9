/*
 * Speed of everything that takes time, as one table in markdown:
 *   table MLASCOPE SOURCE [--rounds N] [--torch PYTHON] [--store FILE] [--compare FILE]
 *         [--report OPTIONS] [--only TEXT] [--beside MLASCOPE]
 * Each workload is a command of the program or of this folder, run N times (3) in a
 * scratch folder; the median of the processor seconds of all its threads counts, which
 * hardly sees what else the machine does, and stands beside the wall clock. Ceilings
 * are products of 1024 x 1024 matrices on one thread. --store keeps the seconds, each
 * as soon as it is known, --compare names what takes over 10 % more than they say, and
 * fails. --report also writes the demo's report, once, with these options of it, and
 * tables its parts. --only leaves out works whose names do not hold the text. --beside
 * runs another program in turns with this one, each in a folder of its own; what that
 * one cannot do has no seconds.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "analysis/numeric/blas.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "analysis/numeric/packed.h"
#include "common/base/checked.h"

enum { ROUNDS_MAX = 15, SIDE = 1024, PRODUCTS = 8, NAME = 64 };

typedef struct {
    double wall, cpu, mib;
} cost;

typedef struct {
    const char *name, *command; /* M, D: the program, the demo's folder */
    double amount;              /* of `unit` that one run does */
    const char *unit;
} workload;

/*
 * The first is subtracted from what is named "each ... more": both read the same model
 * and text.
 */
static const workload workloads[] = {
    {"startup", "M --version", 1, "start"},
    {"tokenizer", "M tokenize D D/shakespeare.txt", 0, "MB of text"},
    {"capture, demo, f32", "M capture D -f D/calibration.txt -N 64 -o f32.h5", 16384,
     "tokens"},
    {"capture, demo, bf16",
     "M capture D -f D/calibration.txt -N 64 --compute bf16 -o bf16.h5", 16384,
     "tokens"},
    {"capture, demo, no windows",
     "M capture D -f D/calibration.txt -N 64 --windows 0 -o none.h5", 16384, "tokens"},
    {"spectra, demo, 24 matrices", "M spectrum D", 24, "spectra"},
    {"spectra, demo, heads", "M spectrum D --per head", 72, "spectra"},
    {"frequency, demo, L2 and KL", "M frequency f32.h5 --rules ropelite-l2,kl", 1,
     "run"},
    {"frequency, demo, L1", "M frequency f32.h5 --rules ropelite-l1", 1, "run"},
    {"quantizers, demo, 4", "M quantize f32.h5 -q int8,int4/64,kivi2,q4_0", 4,
     "formats"},
    {"evaluate, demo, 1 setting, f32",
     "M evaluate D -f D/evaluation.txt -N 16 -s 'lorc rank=64'", 1, "setting"},
    {"evaluate, demo, 9 settings, f32",
     "M evaluate D -f D/evaluation.txt -N 16 -s 'lorc rank=56-120+8'", 9, "settings"},
    {"evaluate, demo, 9 settings, bf16",
     "M evaluate D -f D/evaluation.txt -N 16 --compute bf16 -s 'lorc rank=56-120+8'", 9,
     "settings"},
    {"evaluate, demo, 50 settings of the last layer, bf16",
     "M evaluate D -f D/evaluation.txt -N 8 --compute bf16 "
     "-s 'lorc rank=8-57+1 layers=5'",
     50, "settings"},
    {"evaluate, demo, 50 settings of all layers, bf16",
     "M evaluate D -f D/evaluation.txt -N 8 --compute bf16 -s 'lorc rank=8-57+1'", 50,
     "settings"},
};
enum { N_WORKLOADS = sizeof workloads / sizeof workloads[0] };

static double now(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Run a shell command once; false when it fails. */
static bool run(cost *c, const char *command)
{
    const double start = now(CLOCK_MONOTONIC);
    struct rusage used;
    int status;
    const pid_t child = fork();

    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) != child || status != 0)
        return false;
    c->wall = now(CLOCK_MONOTONIC) - start;
    c->cpu = (double)used.ru_utime.tv_sec + 1e-6 * (double)used.ru_utime.tv_usec +
             (double)used.ru_stime.tv_sec + 1e-6 * (double)used.ru_stime.tv_usec;
    c->mib = (double)used.ru_maxrss / 1024;
    return true;
}

/*
 * Medians of both commands, run in turns; the second may be NULL, and may fail: then
 * its seconds are 0.
 */
static bool run_rounds(cost *c, const char *command, cost *other, const char *beside,
                       size_t rounds)
{
    double wall[2][ROUNDS_MAX], cpu[2][ROUNDS_MAX], mib[2][ROUNDS_MAX];
    cost one;

    for (size_t i = 0; i < 2 * rounds; i++) {
        const size_t k = i % 2;

        if (k && !beside)
            continue;
        if (!run(&one, k ? beside : command)) {
            if (!k) {
                fprintf(stderr, "failed: %s\n", command);
                return false;
            }
            beside = NULL;
            continue;
        }
        wall[k][i / 2] = one.wall;
        cpu[k][i / 2] = one.cpu;
        mib[k][i / 2] = one.mib;
    }
    *c =
        (cost){median(wall[0], rounds), median(cpu[0], rounds), median(mib[0], rounds)};
    if (beside)
        *other = (cost){median(wall[1], rounds), median(cpu[1], rounds),
                        median(mib[1], rounds)};
    else if (other)
        *other = (cost){0};
    return true;
}

/* GFLOP/s of one product on this thread: the best of PRODUCTS by its own clock. */
static double rate(void (*product)(void *arg), void *arg)
{
    double best = 1e30;

    for (size_t i = 0; i < PRODUCTS; i++) {
        const double start = now(CLOCK_THREAD_CPUTIME_ID);

        product(arg);
        const double took = now(CLOCK_THREAD_CPUTIME_ID) - start;
        best = took < best ? took : best;
    }
    return 2e-9 * SIDE * SIDE * SIDE / best;
}

typedef struct {
    float *x, *y, *w;
    double *xd, *yd, *wd;
    mls_packed *packed;
} operands;

static void product_f32(void *arg)
{
    const operands *o = arg;

    mls_linear(o->y, o->x, o->w, NULL, SIDE, SIDE, SIDE);
}

static void product_f64(void *arg)
{
    const operands *o = arg;

    mls_matmul(o->yd, o->xd, false, o->wd, true, SIDE, SIDE, SIDE);
}

static void product_bf16(void *arg)
{
    const operands *o = arg;

    mls_packed_linear(o->packed, o->y, SIDE, o->x, o->w, NULL, SIDE, SIDE, SIDE);
}

static bool ceilings(void)
{
    float *f = mls_calloc3(3 * SIDE, SIDE, 1, sizeof *f);
    double *d = mls_calloc3(3 * SIDE, SIDE, 1, sizeof *d);
    const size_t n = (size_t)SIDE * SIDE;
    operands o = {
        .x = f, .y = f + n, .w = f + 2 * n, .xd = d, .yd = d + n, .wd = d + 2 * n};
    const char *how;
    bool ok = f && d;

    for (size_t i = 0; ok && i < n; i++) {
        o.x[i] = o.w[i] = (float)(i % 61) / 61 - 0.5f;
        o.xd[i] = o.wd[i] = (double)o.x[i];
    }
    if (ok)
        printf("| ceiling, one thread | GFLOP/s | by |\n|---|---|---|\n"
               "| f32 | %.0f | %s |\n| f64 | %.0f | %s |\n",
               rate(product_f32, &o), mls_blas_core(), rate(product_f64, &o),
               mls_blas_core());
    if (ok && mls_bf16_available(&how)) {
        ok = !mls_packed_new(&o.packed, NULL) &&
             !mls_packed_add(o.packed, o.w, SIDE, SIDE, NULL);
        if (ok)
            printf("| bf16 | %.0f | %s |\n", rate(product_bf16, &o), how);
        mls_packed_free(o.packed);
    }
    free(d);
    free(f);
    return ok;
}

/* The seconds that a stored run has for a name; 0: none. */
static double stored_seconds(FILE *f, const char *name)
{
    char line[256];

    rewind(f);
    while (fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t');

        if (!tab)
            continue;
        *tab = '\0';
        if (strcmp(line, name) == 0)
            return strtod(tab + 1, NULL);
    }
    return 0;
}

/* Seconds kept and held against the stored ones. */
typedef struct {
    FILE *old, *store; /* NULL: none */
    bool slower;
} books;

/* What takes less than this is not compared: a start of the program is as long. */
static const double compared_from = 0.02;

static void enter(books *b, const char *name, double cpu)
{
    const double before = b->old ? stored_seconds(b->old, name) : 0;

    if (b->store) {
        fprintf(b->store, "%s\t%.4f\n", name, cpu);
        fflush(b->store);
    }
    if (before >= compared_from && cpu > 1.1 * before) {
        fprintf(stderr, "slower: %s, %.3f CPU s, was %.3f\n", name, cpu, before);
        b->slower = true;
    }
}

static void print_machine(const char *program)
{
    char command[512];

    printf("Machine: ");
    fflush(stdout);
    snprintf(command, sizeof command,
             "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c | "
             "sed 's/^ *//; s/ / x /'; '%s' --version",
             program);
    if (system(command) != 0)
        puts("unknown");
    puts("");
}

/* The workload as a command of a shell: in `folder`, by the program of a variable. */
static void write_command(char *out, size_t size, const workload *w, const char *folder,
                          const char *program)
{
    snprintf(out, size,
             "set -e; mkdir -p %s; cd %s; M() { \"$%s\" \"$@\" >/dev/null 2>&1; }; %s",
             folder, folder, program, w->command);
    for (char *at;
         (at = strstr(out, " D")) && (at[2] == ' ' || at[2] == '/' || at[2] == '\0');) {
        memmove(at + 6, at + 2, strlen(at + 2) + 1);
        memcpy(at, " $DEMO", 6);
    }
}

static bool table(size_t rounds, const char *only, bool beside, books *b)
{
    printf("\n| work | rate per processor second | CPU s | wall s | peak MiB |%s\n"
           "|---|---|---|---|---|%s\n",
           beside ? " before, CPU s | wall s | peak MiB | CPU ratio |" : "",
           beside ? "---|---|---|---|" : "");
    for (size_t i = 0; i < N_WORKLOADS; i++) {
        const workload *w = &workloads[i];
        char command[600], other_command[600];
        cost c, other = {0};

        if (only && !strstr(w->name, only))
            continue;
        write_command(command, sizeof command, w, "own", "MLASCOPE");
        write_command(other_command, sizeof other_command, w, "other", "OTHER");
        if (!run_rounds(&c, command, &other, beside ? other_command : NULL, rounds))
            return false;
        printf("| %s |", w->name);
        if (w->amount > 0)
            printf(" %.4g %s |", w->amount / c.cpu, w->unit);
        else
            printf(" - |");
        printf(" %.3f | %.3f | %.0f |", c.cpu, c.wall, c.mib);
        if (beside && other.cpu > 0)
            printf(" %.3f | %.3f | %.0f | %.2f |", other.cpu, other.wall, other.mib,
                   other.cpu / c.cpu);
        else if (beside)
            printf(" - | - | - | - |");
        puts("");
        fflush(stdout);
        enter(b, w->name, c.cpu);
    }
    return true;
}

/* The spectrum of 4096 x 2048 chance numbers, ours beside torch.linalg.svdvals. */
static bool beside_torch(const char *python, size_t rounds)
{
    char command[900];
    cost theirs;

    snprintf(command, sizeof command,
             "'%s' -c 'import torch; torch.manual_seed(0); "
             "torch.linalg.svdvals(torch.randn(4096, 2048))'",
             python);
    if (!run_rounds(&theirs, command, NULL, NULL, rounds))
        return false;
    snprintf(command, sizeof command, "'%s' -c 'import torch'", python);
    cost start;
    if (!run_rounds(&start, command, NULL, NULL, rounds))
        return false;
    const size_t m = 4096, n = 2048;
    float *w = mls_calloc3(m, n, 1, sizeof *w);
    double *sigma = mls_calloc3(n, 1, 1, sizeof *sigma);
    double *gram = mls_calloc3(n, n, 1, sizeof *gram), *a = mls_calloc3(m, n, 1, 8);
    bool ok = w && sigma && gram && a;

    for (size_t i = 0; ok && i < m * n; i++)
        a[i] = (double)(i * 2654435761u % 1000003) / 500000 - 1;
    const double from = now(CLOCK_PROCESS_CPUTIME_ID);
    if (ok)
        mls_add_square(gram, a, true, n, m);
    ok = ok && !mls_eigen(gram, n, sigma, NULL, NULL);
    const double ours = now(CLOCK_PROCESS_CPUTIME_ID) - from;
    if (ok)
        printf("| spectrum of 4096 x 2048, ours in f64 beside svdvals in f32 | %.1f x |"
               " %.2f / %.2f | | |\n",
               (theirs.cpu - start.cpu) / ours, ours, theirs.cpu - start.cpu);
    free(a);
    free(gram);
    free(sigma);
    free(w);
    return ok;
}

/* What the parts of the demo's report take, by its own clock. */
static bool report_by_part(const char *options, books *b)
{
    static const char begin[] = "CPU seconds: ";
    char command[600], line[2048], *at = NULL;
    FILE *said;
    bool ok;

    snprintf(command, sizeof command,
             "\"$MLASCOPE\" report \"$DEMO\" -o report %s 2>&1 >/dev/null", options);
    said = popen(command, "r");
    if (!said)
        return false;
    while (fgets(line, sizeof line, said))
        if ((at = strstr(line, begin)))
            break;
    if (at) {
        enter(b, "report, all", strtod(at + strlen(begin), NULL));
        printf("\n| report of the demo, %s | CPU s |\n|---|---|\n| all | %.1f |\n",
               *options ? options : "default", strtod(at + strlen(begin), NULL));
        at = strchr(at, ',');
    }
    while (at) { /* ", NAME SECONDS" */
        char *next = strchr(at + 1, ','), *space, name[NAME];

        if (next)
            *next = '\0';
        space = strrchr(at + 1, ' '); /* at itself is a NUL by now */
        printf("| %.*s | %.1f |\n", (int)(space - at - 2), at + 2, strtod(space, NULL));
        snprintf(name, sizeof name, "report, %.*s", (int)(space - at - 2), at + 2);
        enter(b, name, strtod(space, NULL));
        at = next;
    }
    while (fgets(line, sizeof line, said))
        ;
    ok = pclose(said) == 0;
    return ok;
}

int main(int argc, char **argv)
{
    const char *python = NULL, *store_path = NULL, *compare = NULL, *report = NULL;
    char demo[4096], scratch[] = "/tmp/mlascope-speed-XXXXXX", remove[64];
    const char *only = NULL, *beside = NULL;
    size_t rounds = 3;
    books b = {0};

    if (argc < 3) {
        fputs("Usage: table MLASCOPE SOURCE [--rounds N] [--torch PYTHON] "
              "[--store FILE] [--compare FILE] [--report OPTIONS] [--only TEXT] "
              "[--beside MLASCOPE]\n",
              stderr);
        return 2;
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--torch") == 0)
            python = argv[i + 1];
        else if (strcmp(argv[i], "--store") == 0)
            store_path = argv[i + 1];
        else if (strcmp(argv[i], "--compare") == 0)
            compare = argv[i + 1];
        else if (strcmp(argv[i], "--report") == 0)
            report = argv[i + 1];
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--beside") == 0)
            beside = argv[i + 1];
    }
    if (rounds < 1 || rounds > ROUNDS_MAX)
        rounds = 3;
    char *program = realpath(argv[1], NULL), *source = realpath(argv[2], NULL);
    char *other = beside ? realpath(beside, NULL) : NULL;

    if (compare && store_path && strcmp(compare, store_path) == 0) {
        fputs("table: --store would write over what --compare reads\n", stderr);
        return 2;
    }
    b.old = compare ? fopen(compare, "r") : NULL;
    b.store = store_path ? fopen(store_path, "w") : NULL;
    if (!program || !source || (beside && !other) || (compare && !b.old) ||
        (store_path && !b.store)) {
        fputs("table: a program, folder or file cannot be opened\n", stderr);
        return 1;
    }
    snprintf(demo, sizeof demo, "%s/datasets/demo", source);
    setenv("MLASCOPE", program, 1);
    setenv("OTHER", other ? other : "", 1);
    setenv("DEMO", demo, 1);
    mls_blas_single_thread();
    print_machine(program);
    bool ok = mkdtemp(scratch) && chdir(scratch) == 0 && ceilings() &&
              table(rounds, only, beside, &b) &&
              (!python || beside_torch(python, rounds)) &&
              (!report || report_by_part(report, &b));
    snprintf(remove, sizeof remove, "rm -rf '%s'", scratch);
    ok = system(remove) == 0 && ok;
    if (b.store)
        ok = fclose(b.store) == 0 && ok;
    if (b.old)
        fclose(b.old);
    free(other);
    free(source);
    free(program);
    return !ok || b.slower;
}
