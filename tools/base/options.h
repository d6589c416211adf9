/*
 * Command-line options: one table per command drives parsing; wrong ones get a guess.
 */
#ifndef MLS_OPTIONS_H
#define MLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/numeric/packed.h"
#include "tools/base/command.h"

typedef enum mls_option_type {
    MLS_OPT_FLAG,    /* bool */
    MLS_OPT_TEXT,    /* const char * */
    MLS_OPT_SIZE,    /* size_t, with min and max */
    MLS_OPT_REAL,    /* double, with min and max */
    MLS_OPT_SHARE,   /* double from 0 to 1, with min and max: 0.25 or 25% */
    MLS_OPT_FORMAT,  /* mls_format */
    MLS_OPT_COMPUTE, /* mls_compute: f32 or bf16 */
    MLS_OPT_LIST,    /* mls_texts: may be given several times */
    MLS_OPT_GIB,     /* double, with min and max: 24, 24G or 24GiB */
    MLS_OPT_TABLE,   /* const char *: where a table goes; .csv means --format csv */
    MLS_OPT_OTHER,   /* const char *: a folder or file that holds no table */
} mls_option_type;

/** Values of an option that may be repeated; borrowed from argv. Room for 256. */
typedef struct mls_texts {
    const char *item[256];
    size_t n;
} mls_texts;

typedef struct mls_option {
    const char *name; /* "--text" */
    char letter;      /* 't' for -t; 0: none */
    mls_option_type type;
    void *value;
    double min, max; /* SIZE, REAL, SHARE; both 0: any (SIZE: any not negative) */
} mls_option;

/** The same for every command: value is a size_t *, 0 stands for all CPUs. */
#define MLS_THREADS_OPTION(value)                                                      \
    {                                                                                  \
        "--threads", 't', MLS_OPT_SIZE, value, 0, 256                                  \
    }

/** Leave out what the tokenizer puts before a text: value is a bool *. */
#define MLS_NO_BOS_OPTION(value)                                                       \
    {                                                                                  \
        "--no-bos", 0, MLS_OPT_FLAG, value, 0, 0                                       \
    }

/** How forward passes multiply: value is an mls_compute *. */
#define MLS_COMPUTE_OPTION(value)                                                      \
    {                                                                                  \
        "--compute", 0, MLS_OPT_COMPUTE, value, 0, 0                                   \
    }

/** Format and place of a table: members `format` and `output` of the arguments. */
#define MLS_TABLE_OPTIONS(a)                                                           \
    {"--format", 0, MLS_OPT_FORMAT, &(a).format, 0, 0},                                \
    {                                                                                  \
        "--output", 'o', MLS_OPT_TABLE, &(a).output, 0, 0                              \
    }

/** Members `compute` and `ram` of the arguments. */
#define MLS_FORWARD_OPTIONS(a)                                                         \
    MLS_COMPUTE_OPTION(&(a).compute),                                                  \
    {                                                                                  \
        "--ram", 0, MLS_OPT_GIB, &(a).ram, 1e-6, 1e6                                   \
    }

/**
 * Parse argv. Options may follow operands; "--" ends them; --name=value works. Empty
 * operands and values are misuse, and so is an --output that another one of them names.
 *
 * @param options   ends with {0}
 * @param operands  borrowed from argv, at most operands_max; more is misuse
 * @param[out] exit set when the caller should return it at once (--help was printed: 0,
 *                  misuse: 2)
 * @return true to go on
 */
bool mls_options_parse(const mls_command *c, int argc, char **argv,
                       const mls_option *options, const char **operands,
                       size_t operands_min, size_t operands_max, size_t *n_operands,
                       int *exit);

/**
 * The words of a command that was parsed, without those of the options named in `drop`
 * (ends with NULL) and without argv[0].
 *
 * @param[out] word  (argc) borrowed from argv
 * @return how many they are
 */
size_t mls_options_without(const mls_option *options, int argc, char **argv,
                           const char *const *drop, const char **word);

/** Called with the table of a command. */
typedef void mls_options_visit(void *arg, const mls_command *c,
                               const mls_option *options);

/** Run a command as far as its table of options: nothing is parsed or done. */
void mls_options_show(const mls_command *c, mls_options_visit *visit, void *arg);

/**
 * "I/N": part I, from 0, of N; "slurm": I and N of the array job that this process is a
 * task of, from its environment.
 * @return MLS_OK or MLS_E_INPUT
 */
mls_status mls_tool_shard(const char *text, size_t *shard, size_t *n_shards,
                          mls_err *err);

#endif
