/*
 * One loop over argv serves every command: the table says where values go and what they
 * may be. Before anything is computed, outputs are held against inputs (a file that is
 * read is never written over) and formats against the ending of the output's name.
 */
#include "tools/base/options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/words.h"
#include "common/system/room.h"
#include "tools/base/hub.h"
#include "tools/base/overwrite.h"

/* Instead of parsing, while mls_options_show() runs a command. */
static struct {
    mls_options_visit *visit;
    void *arg;
} shown;

void mls_options_show(const mls_command *c, mls_options_visit *visit, void *arg)
{
    char name[64], *argv[] = {name, NULL};

    snprintf(name, sizeof name, "%s", c->name);
    shown.visit = visit;
    shown.arg = arg;
    c->run(1, argv);
    shown.visit = NULL;
}

static bool is_text(const mls_option *o)
{
    return o->type == MLS_OPT_TEXT || o->type == MLS_OPT_TABLE ||
           o->type == MLS_OPT_OTHER;
}

static const mls_option *find_long(const mls_option *options, const char *name,
                                   size_t len)
{
    for (; options->name; options++)
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

static const mls_option *find_letter(const mls_option *options, char letter)
{
    for (; options->name; options++)
        if (options->letter == letter)
            return options;
    return NULL;
}

/* Store text (NULL for a flag) in the option; 0, or the exit status of misuse. */
static int store(const mls_command *c, const mls_option *o, const char *text)
{
    const bool bounded = o->min != 0 || o->max != 0;

    if ((is_text(o) || o->type == MLS_OPT_LIST) && !*text)
        return mls_usage_error(c, "%s: the value is empty", o->name);

    switch (o->type) {
    case MLS_OPT_TEXT:
    case MLS_OPT_TABLE:
    case MLS_OPT_OTHER:
        *(const char **)o->value = text;
        return 0;
    case MLS_OPT_LIST: {
        mls_texts *list = o->value;

        if (list->n == sizeof list->item / sizeof list->item[0])
            return mls_usage_error(c, "%s: at most %zu are taken", o->name, list->n);
        list->item[list->n++] = text;
        return 0;
    }
    case MLS_OPT_SIZE: {
        size_t n;

        if (!mls_parse_size(text, &n))
            return mls_usage_error(c, "%s: expected a whole number, found \"%s\"",
                                   o->name, text);
        if (bounded && ((double)n < o->min || (double)n > o->max))
            return mls_usage_error(c, "%s: expected %.0f to %.0f, found %s", o->name,
                                   o->min, o->max, text);
        *(size_t *)o->value = n;
        return 0;
    }
    case MLS_OPT_REAL: {
        double x;

        if (!mls_parse_real(text, &x))
            return mls_usage_error(c, "%s: expected a number, found \"%s\"", o->name,
                                   text);
        if (bounded && (x < o->min || x > o->max))
            return mls_usage_error(c, "%s: expected %g to %g, found %s", o->name,
                                   o->min, o->max, text);
        *(double *)o->value = x;
        return 0;
    }
    case MLS_OPT_GIB: {
        double gib, number;
        char unit[8];

        if (!mls_parse_gib(text, &gib)) {
            const bool bytes = sscanf(text, "%lf%7s", &number, unit) == 2 &&
                               (strcasecmp(unit, "gb") == 0 || strcmp(unit, "g") == 0);

            if (bytes)
                return mls_usage_error(
                    c, "%s: \"%s\" is no number of GiB; did you mean %gG?", o->name,
                    text, number);
            return mls_usage_error(c, "%s: expected GiB, as 24 or 24G, found \"%s\"",
                                   o->name, text);
        }
        if (bounded && (gib < o->min || gib > o->max))
            return mls_usage_error(c, "%s: expected %g to %g GiB, found %s", o->name,
                                   o->min, o->max, text);
        *(double *)o->value = gib;
        return 0;
    }
    case MLS_OPT_SHARE: {
        char number[32];
        const size_t len = strlen(text);
        const bool percent = len < sizeof number && text[len - 1] == '%';
        double x;

        snprintf(number, sizeof number, "%.*s", (int)(percent ? len - 1 : len), text);
        if (!mls_parse_real(number, &x))
            return mls_usage_error(
                c, "%s: expected a share, 0.25 or 25%%, found \"%s\"", o->name, text);
        x = percent ? x / 100 : x;
        if (x < o->min || x > o->max)
            return mls_usage_error(
                c, "%s: expected a share of %g to %g, 0.25 or 25%%, found %s", o->name,
                o->min, o->max, text);
        *(double *)o->value = x;
        return 0;
    }
    case MLS_OPT_FORMAT: {
        mls_err err = {0};

        if (mls_format_parse(o->value, text, &err))
            return mls_usage_error(c, "%s: %s", o->name, err.text);
        return 0;
    }
    case MLS_OPT_COMPUTE: {
        const bool bf16 = strcmp(text, "bf16") == 0;

        if (!bf16 && strcmp(text, "f32") != 0)
            return mls_usage_error(c, "%s: expected f32 or bf16, found \"%s\"", o->name,
                                   text);
        *(mls_compute *)o->value = bf16 ? MLS_COMPUTE_BF16 : MLS_COMPUTE_F32;
        return 0;
    }
    case MLS_OPT_FLAG:
        break;
    }
    *(bool *)o->value = true;
    return 0;
}

static int unknown(const mls_command *c, const mls_option *options, const char *name)
{
    const char *names[64];
    size_t n = 0;

    while (options->name && n < 62)
        names[n++] = options++->name;
    names[n++] = "--help";
    names[n] = NULL;

    const char *near = mls_nearest(name, names);
    if (near)
        return mls_usage_error(c, "there is no option %s; did you mean %s?", name,
                               near);
    return mls_usage_error(c, "there is no option %s", name);
}

/* The option at argv[*i], with its value; moves *i to the last word used. */
static int parse_one(const mls_command *c, int argc, char **argv, int *i,
                     const mls_option *options, bool *format_given)
{
    const char *word = argv[*i];
    const mls_option *o;
    const char *value = NULL;

    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        const size_t len = equals ? (size_t)(equals - word) : strlen(word);

        o = find_long(options, word, len);
        if (equals)
            value = equals + 1;
    } else {
        o = find_letter(options, word[1]);
        if (o && word[2])
            value = word + 2;
    }
    if (!o)
        return unknown(c, options, word);
    if (o->type == MLS_OPT_FLAG) {
        if (value)
            return mls_usage_error(c, "%s takes no value, found \"%s\"", o->name,
                                   value);
    } else if (!value) {
        if (*i + 1 >= argc)
            return mls_usage_error(c, "%s: a value is missing", o->name);
        value = argv[++*i];
    }
    *format_given = *format_given || o->type == MLS_OPT_FORMAT;
    return store(c, o, value);
}

size_t mls_options_without(const mls_option *options, int argc, char **argv,
                           const char *const *drop, const char **word)
{
    size_t n = 0;
    bool only_operands = false;

    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        const bool is_long = strncmp(argv[i], "--", 2) == 0;
        const mls_option *o = NULL;
        bool dropped = false;
        int last = i;

        if (!only_operands && strcmp(argv[i], "--") == 0)
            only_operands = true;
        else if (!only_operands && is_long)
            o = find_long(options, argv[i],
                          equals ? (size_t)(equals - argv[i]) : strlen(argv[i]));
        else if (!only_operands && argv[i][0] == '-' && argv[i][1])
            o = find_letter(options, argv[i][1]);
        if (o && o->type != MLS_OPT_FLAG && (is_long ? !equals : !argv[i][2]))
            last = i + 1 < argc ? i + 1 : i;
        for (size_t k = 0; o && drop[k]; k++)
            dropped |= strcmp(drop[k], o->name) == 0;
        for (; !dropped && i < last; i++)
            word[n++] = argv[i];
        i = last;
        if (!dropped)
            word[n++] = argv[i];
    }
    return n;
}

/* Options that name what is written: a file, or a folder of pictures and their data. */
static bool is_output(const mls_option *o)
{
    return strcmp(o->name, "--output") == 0 || strcmp(o->name, "--rows") == 0 ||
           strcmp(o->name, "--plots") == 0;
}

/* 2 when what `output` names would replace what text names, or a part of it. */
static int refuse_overwriting(const mls_command *c, const mls_option *output,
                              const char *text)
{
    const char *path = *(const char **)output->value;
    char why[MLS_OVERWRITE_WHY];
    const bool does = strcmp(output->name, "--plots") == 0
                          ? mls_plots_overwrite(path, text, why)
                          : mls_overwrites(path, text, why);

    return does ? mls_usage_error(c, "%s: %s; name another %s", output->name, why,
                                  strcmp(output->name, "--plots") == 0 ? "folder"
                                                                       : "file")
                : 0;
}

static int check_output(const mls_command *c, const mls_option *options,
                        const mls_option *output, const char **operands, size_t n)
{
    const char *path = *(const char **)output->value;
    const bool pictures = strcmp(output->name, "--plots") == 0;
    mls_err err = {0};
    int misuse = 0;

    if (!path || strcmp(path, "-") == 0)
        return 0;
    for (size_t i = 0; !misuse && i < n; i++)
        misuse = refuse_overwriting(c, output, operands[i]);
    for (const mls_option *o = options; !misuse && o->name; o++) {
        const mls_texts *list = o->value;
        const char *text = is_text(o) ? *(const char **)o->value : NULL;

        if (text && !is_output(o))
            misuse = refuse_overwriting(c, output, text);
        for (size_t i = 0; !misuse && o->type == MLS_OPT_LIST && i < list->n; i++)
            misuse = refuse_overwriting(c, output, list->item[i]);
    }
    if (!misuse && mls_room_for(path, pictures ? 2 << 20 : 64 << 10, &err))
        misuse = mls_exit_status(&err);
    return misuse;
}

/* No file is written over that the same command reads. */
static int check_outputs(const mls_command *c, const mls_option *options,
                         const char **operands, size_t n)
{
    int misuse = 0;

    for (const mls_option *o = options; !misuse && o->name; o++)
        if (is_text(o) && is_output(o))
            misuse = check_output(c, options, o, operands, n);
    return misuse;
}

/* What follows the last dot of a path's last name; "": nothing. */
static const char *ending(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');

    return dot && dot[1] ? dot + 1 : "";
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(word, *words) == 0)
            return true;
    return false;
}

/* FILE.csv is CSV: an output's name says the format, or contradicts and is wrong. */
static int settle_format(const mls_command *c, const mls_option *options, bool given)
{
    static const char *const tables[] = {"csv", "json", "jsonl", "md", "html", NULL};
    static const char *const strange[] = {"htm",  "markdown", "ods",  "parquet", "pdf",
                                          "png",  "svg",      "tex",  "tsv",     "xls",
                                          "xlsx", "xml",      "yaml", "yml",     NULL};
    const mls_option *output = NULL, *format = NULL;
    mls_format means;
    mls_err err = {0};

    for (const mls_option *o = options; o->name; o++) {
        if (o->type == MLS_OPT_TABLE || o->type == MLS_OPT_OTHER)
            output = o;
        if (o->type == MLS_OPT_FORMAT)
            format = o;
    }
    const char *path = output ? *(const char **)output->value : NULL;
    const char *end = path ? ending(path) : "";

    if (is_one_of(end, strange))
        return mls_usage_error(c,
                               "%s: nothing is written as .%s; tables are .csv, .json, "
                               ".jsonl, .md, .html or .txt",
                               path, end);
    if (!is_one_of(end, tables))
        return 0;
    if (output->type == MLS_OPT_OTHER)
        return output->max != 0 && strcasecmp(end, "json") == 0
                   ? 0
                   : mls_usage_error(c,
                                     "%s: %s writes no table there; --help says what "
                                     "it writes",
                                     path, c->name);
    char word[8];

    snprintf(word, sizeof word, "%s", end);
    for (char *s = word; *s; s++)
        *s = (char)tolower((unsigned char)*s);
    if (mls_format_parse(&means, word, &err))
        return mls_usage_error(c, "%s: %s", path, err.text);
    if (given && *(mls_format *)format->value != means)
        return mls_usage_error(c, "%s: the name says %s and --format something else",
                               path, word);
    *(mls_format *)format->value = means;
    return 0;
}

/* The first operand as the usage line names it: MODEL, RUN.h5, FILE. */
static const char *first_operand(const mls_command *c, char *out, size_t size)
{
    const char *name = strstr(c->usage, c->name) + strlen(c->name) + 1;
    size_t len = strcspn(name, " \n");

    if (len > 3 && strncmp(name + len - 3, "...", 3) == 0)
        len -= 3;
    snprintf(out, size, "%.*s", (int)len, name);
    return out;
}

bool mls_options_parse(const mls_command *c, int argc, char **argv,
                       const mls_option *options, const char **operands,
                       size_t operands_min, size_t operands_max, size_t *n_operands,
                       int *exit_status)
{
    size_t n = 0;
    bool only_operands = false, format_given = false;

    if (shown.visit) {
        shown.visit(shown.arg, c, options);
        *exit_status = 0;
        return false;
    }

    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];

        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands &&
                   (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            fputs(c->usage, stdout);
            *exit_status = 0;
            return false;
        } else if (!only_operands && word[0] == '-' && word[1]) {
            *exit_status = parse_one(c, argc, argv, &i, options, &format_given);
            if (*exit_status)
                return false;
        } else if (!*word) {
            *exit_status = mls_usage_error(c, "an operand is empty");
            return false;
        } else if (n == operands_max) {
            *exit_status = mls_usage_error(c, "\"%s\" is one operand too many", word);
            return false;
        } else {
            char kind[64];
            const bool model =
                n == 0 && strncmp(first_operand(c, kind, sizeof kind), "MODEL", 5) == 0;

            operands[n++] = model ? mls_hub_model(word) : word;
        }
    }
    if (n < operands_min) {
        char name[64];

        *exit_status =
            n ? mls_usage_error(c, "an operand is missing")
              : mls_usage_error(c, "no %s given", first_operand(c, name, sizeof name));
        return false;
    }
    *exit_status = settle_format(c, options, format_given);
    if (!*exit_status)
        *exit_status = check_outputs(c, options, operands, n);
    if (*exit_status)
        return false;
    *n_operands = n;
    return true;
}

/* A whole number of digits alone, to the character that ends it. */
static bool read_count(const char *text, char end, size_t *n)
{
    const size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9 || text[digits] != end)
        return false;
    *n = strtoul(text, NULL, 10);
    return true;
}

static mls_status shard_of_slurm(size_t *shard, size_t *n_shards, mls_err *err)
{
    static const char *const names[] = {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN",
                                        "SLURM_ARRAY_TASK_COUNT"};
    size_t value[3];

    for (size_t i = 0; i < 3; i++) {
        const char *text = getenv(names[i]);

        if (!text || !read_count(text, '\0', &value[i]))
            return mls_fail(err, MLS_E_INPUT,
                            "--shard slurm: %s is %s, expected a number: this is for "
                            "tasks of an array job",
                            names[i], text ? text : "not set");
    }
    if (value[0] < value[1] || value[0] - value[1] >= value[2])
        return mls_fail(
            err, MLS_E_INPUT,
            "--shard slurm: task %zu is not one of %zu from %zu in steps of "
            "1",
            value[0], value[2], value[1]);
    *shard = value[0] - value[1];
    *n_shards = value[2];
    return MLS_OK;
}

mls_status mls_tool_shard(const char *text, size_t *shard, size_t *n_shards,
                          mls_err *err)
{
    const char *slash = strchr(text, '/');

    if (strcmp(text, "slurm") == 0)
        return shard_of_slurm(shard, n_shards, err);
    if (!slash || !read_count(text, '/', shard) ||
        !read_count(slash + 1, '\0', n_shards) || *shard >= *n_shards)
        return mls_fail(err, MLS_E_INPUT,
                        "--shard %s: expected I/N with I from 0 to N - 1, or slurm",
                        text);
    return MLS_OK;
}
