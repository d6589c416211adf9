/* mlascope: the table of commands, and help made from it. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/numeric/blas.h"
#include "bench/frame/method.h"
#include "common/base/buf.h"
#include "common/base/words.h"
#include "common/system/pool.h"
#include "tools/base/command.h"
#include "tools/base/completion.h"

extern const mls_command cmd_capture;
extern const mls_command cmd_check;
extern const mls_command cmd_compare;
extern const mls_command cmd_diff;
extern const mls_command cmd_evaluate;
extern const mls_command cmd_export;
extern const mls_command cmd_frequency;
extern const mls_command cmd_heal;
extern const mls_command cmd_merge;
extern const mls_command cmd_methods;
extern const mls_command cmd_report;
extern const mls_command cmd_plan;
extern const mls_command cmd_quantize;
extern const mls_command cmd_show;
extern const mls_command cmd_size;
extern const mls_command cmd_spectrum;
extern const mls_command cmd_tokenize;
extern const mls_command cmd_verify;

/* Listed by group, in the order of `mlascope --help`. */
static const mls_command *const commands[] = {
    /* datasets */
    &cmd_check,
    &cmd_tokenize,
    &cmd_verify,
    &cmd_merge,
    /* analysis */
    &cmd_capture,
    &cmd_frequency,
    &cmd_quantize,
    &cmd_size,
    &cmd_spectrum,
    /* bench */
    &cmd_methods,
    &cmd_evaluate,
    &cmd_compare,
    &cmd_plan,
    &cmd_heal,
    /* reports */
    &cmd_report,
    &cmd_show,
    &cmd_diff,
    &cmd_export,
    NULL,
};

static void print_help(void)
{
    const char *group = "";

    puts("mlascope tells what happens to a Transformer's attention before you convert "
         "it\n"
         "to multi-head latent attention.\n\n"
         "Usage: mlascope COMMAND [OPTIONS]");
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(group, commands[i]->group) != 0) {
            group = commands[i]->group;
            printf("\n%s\n", group);
        }
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    puts("\nMODEL is a Hugging Face folder, or a GGUF file (the first of its parts).\n"
         "mlascope COMMAND --help tells more; mlascope --version names the build;\n"
         "mlascope completion bash, zsh or fish prints what makes the shell complete.");
}

static int unknown_command(const char *typed)
{
    char name[256];
    const char *names[sizeof commands / sizeof commands[0]];
    size_t n = 0;

    snprintf(name, sizeof name, "%s", typed);
    mls_make_printable(name);
    for (; commands[n]; n++)
        names[n] = commands[n]->name;
    names[n] = NULL;

    const char *near = mls_nearest(name, names);
    if (near)
        fprintf(stderr, "mlascope: there is no command %s; did you mean %s?\n", name,
                near);
    else
        fprintf(stderr, "mlascope: there is no command %s; try 'mlascope --help'\n",
                name);
    return 2;
}

static const mls_command *find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(name, commands[i]->name) == 0)
            return commands[i];
    return NULL;
}

static int print_completion(int argc, char **argv)
{
    mls_buf text = {0};
    mls_err err = {0};

    if (argc != 3) {
        fputs("mlascope: completion for which shell? bash, zsh or fish\n", stderr);
        return 2;
    }
    if (!mls_completion(&text, argv[2], commands, &err))
        mls_tool_write(&text, "-", &err);
    mls_buf_free(&text);
    return mls_exit_status(&err);
}

/* Set a variable that the user has not set; true when that was done. */
static bool set_missing(const char *name, const char *value)
{
    return value && !getenv(name) && setenv(name, value, 1) == 0;
}

/*
 * OpenBLAS reads its variables before main(), so a wrong choice is mended by starting
 * again with them set. The guard keeps that from happening twice.
 */
static void mend_blas(char **argv)
{
    static const char guard[] = "MLASCOPE_BLAS_MENDED";

    if (getenv(guard))
        return;
    const bool core = set_missing("OPENBLAS_CORETYPE", mls_blas_better_core());
    const bool threads =
        set_missing("OMP_NUM_THREADS", mls_blas_is_openmp() ? "1" : NULL);
    if ((core || threads) && setenv(guard, "1", 1) == 0)
        execv("/proc/self/exe", argv); /* on failure: go on, only slower */
}

/*
 * A closed standard stream would give its number to the next file opened, and messages
 * would go into that file. It is opened the wrong way round, so that using it fails.
 */
static void occupy_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            return; /* no /dev/null: go on as before */
}

int main(int argc, char **argv)
{
    int status;

    mls_err err = {0};

    occupy_closed_streams();
    if (mls_address_space(1, &err)) { /* at its own end OpenBLAS would wait for ever */
        fprintf(stderr, "mlascope: %s\n", err.text);
        _exit(1);
    }
    if (argc > 1)
        mend_blas(argv);
    mls_blas_single_thread();
    if (!mls_tool_set_command_line(argc - (argc > 0), argv + (argc > 0))) {
        fputs("mlascope: no memory for the command line\n", stderr);
        status = 1;
    } else if (argc < 2) {
        print_help();
        status = 2;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
               (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_help();
        status = 0;
    } else if (strcmp(argv[1], "completion") == 0) {
        status = print_completion(argc, argv);
    } else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("mlascope %s (%s, %s kernels)\n", MLS_VERSION, mls_blas_version(),
               mls_blas_core());
        status = 0;
    } else {
        const bool help = strcmp(argv[1], "help") == 0;
        const mls_command *command = find_command(argv[help ? 2 : 1]);
        char *helped[] = {argv[argc - 1], (char[]){"--help"}, NULL};
        const mls_method *method;
        mls_err none = {0};

        if (help && !command && !mls_method_find(&method, argv[2], &none))
            status = cmd_methods.run(argc - 1, argv + 1);
        else if (!command)
            status = unknown_command(argv[help ? 2 : 1]);
        else
            status = help ? command->run(2, helped) : command->run(argc - 1, argv + 1);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (status == 0) /* else the command has said what is wrong */
            fputs("mlascope: standard output could not be written\n", stderr);
        return status ? status : 1;
    }
    return status;
}
