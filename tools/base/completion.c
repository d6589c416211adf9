/*
 * Commands are run as far as their tables of options, and what --help says beside each
 * option becomes its description: three shells, each with functions that say the same
 * in its words, so that no list of options is written by hand.
 */
#include "tools/base/completion.h"

#include <stdio.h>
#include <string.h>

#include "analysis/latent/gpu.h"
#include "analysis/serving/serving.h"
#include "bench/frame/method.h"
#include "common/base/words.h"
#include "reports/export/export.h"
#include "tools/base/options.h"

typedef struct shell shell;

/* How a shell says it. */
struct shell {
    const char *name;
    void (*begin)(mls_buf *out, const mls_command *const *commands);
    void (*command)(mls_buf *out, const mls_command *c);
    void (*option)(mls_buf *out, const mls_command *c, const mls_option *o,
                   const char *about, const char *values);
    void (*command_end)(mls_buf *out);
    const char *end;
};

typedef struct {
    mls_buf *out;
    const shell *how;
} work;

/* Words that an option takes, with spaces between; "": a file, a number, free text. */
static void values_of(mls_buf *b, const mls_option *o)
{
    mls_buf_puts(b, "");
    if (o->type == MLS_OPT_FORMAT)
        mls_buf_puts(b, "table md csv json jsonl html");
    else if (o->type == MLS_OPT_COMPUTE)
        mls_buf_puts(b, "f32 bf16");
    else if (strcmp(o->name, "--gpu") == 0)
        for (size_t i = 0; mls_gpus[i].name; i++)
            mls_buf_printf(b, "%s%s", i ? " " : "", mls_gpus[i].name);
    else if (strcmp(o->name, "--serve") == 0)
        for (int s = 0; s < MLS_SERVE_CLASSES; s++)
            mls_buf_printf(b, "%s%s", s ? " " : "", mls_serve_word((mls_serve)s));
    else if (strcmp(o->name, "--for") == 0)
        for (size_t i = 0; mls_export_names[i]; i++)
            mls_buf_printf(b, "%s%s", i ? " " : "", mls_export_names[i]);
    else if (strcmp(o->name, "--setting") == 0 || strcmp(o->name, "--method") == 0)
        for (size_t i = 0; mls_methods[i]; i++)
            mls_buf_printf(b, "%s%s", i ? " " : "", mls_methods[i]->name);
}

/* Up to the default in brackets, without what a shell gives a meaning. */
static char *harmless(char *out, size_t size, const char *words)
{
    size_t k = 0;

    for (; *words && *words != '[' && k + 4 < size; words++) {
        if (*words == '\'')
            k += (size_t)snprintf(out + k, size - k, "\u2019");
        else if (!strchr("\"\\`$]:", *words))
            out[k++] = *words;
    }
    while (k && out[k - 1] == ' ')
        k--;
    out[k] = '\0';
    return out;
}

/* What --help says beside an option, up to the end of its line. */
static void about_of(char *out, size_t size, const mls_command *c, const mls_option *o)
{
    const size_t n = strlen(o->name);
    const char *at = c->usage;

    *out = '\0';
    while ((at = strstr(at, o->name))) {
        const char *line = at;

        while (line > c->usage && line[-1] != '\n')
            line--;
        at += n;
        if (strspn(line, " ") == 0 || strchr(" ,\n", *at) == NULL)
            continue; /* in a sentence, or a longer name */

        const size_t rest = strcspn(at, "\n");
        char text[256];

        snprintf(text, sizeof text, "%.*s", (int)rest, at);
        const char *words = strstr(text, "  ");

        words = words ? words + strspn(words, " ") : "";
        harmless(out, size, words);
        return;
    }
}

static void bash_begin(mls_buf *out, const mls_command *const *commands)
{
    mls_buf_puts(out, "# bash completion for mlascope\n"
                      "_mlascope()\n"
                      "{\n"
                      "    local cur=${COMP_WORDS[COMP_CWORD]} "
                      "prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
                      "    COMPREPLY=()\n"
                      "    if [ \"$COMP_CWORD\" -eq 1 ] || [ \"$prev\" = help ]; then\n"
                      "        COMPREPLY=($(compgen -W \"");
    for (size_t i = 0; commands[i]; i++)
        mls_buf_printf(out, "%s ", commands[i]->name);
    mls_buf_puts(out, "help completion --help --version\" -- \"$cur\"))\n"
                      "        return\n"
                      "    fi\n"
                      "    case ${COMP_WORDS[1]} in\n"
                      "    completion) COMPREPLY=($(compgen -W \"bash zsh fish\" -- "
                      "\"$cur\")); return ;;\n");
}

static void bash_command(mls_buf *out, const mls_command *c)
{
    mls_buf_printf(out, "    %s)\n        words=\"$words --help\"\n", c->name);
}

static void bash_option(mls_buf *out, const mls_command *c, const mls_option *o,
                        const char *about, const char *values)
{
    (void)c;
    (void)about;
    mls_buf_printf(out, "        words=\"$words %s\"\n", o->name);
    if (!*values)
        return;
    mls_buf_printf(out, "        case $prev in %s", o->name);
    if (o->letter)
        mls_buf_printf(out, " | -%c", o->letter);
    mls_buf_printf(out,
                   ") COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;; esac\n",
                   values);
}

static void bash_command_end(mls_buf *out)
{
    mls_buf_puts(out, "        ;;\n");
}

static void zsh_begin(mls_buf *out, const mls_command *const *commands)
{
    mls_buf_puts(out, "#compdef mlascope\n"
                      "_mlascope() {\n"
                      "    local -a commands\n"
                      "    commands=(\n");
    char about[128];

    for (size_t i = 0; commands[i]; i++)
        mls_buf_printf(out, "        '%s:%s'\n", commands[i]->name,
                       harmless(about, sizeof about, commands[i]->summary));
    mls_buf_puts(out, "        'help:what a command does'\n"
                      "        'completion:completion for a shell'\n"
                      "    )\n"
                      "    if (( CURRENT == 2 )) || [[ ${words[2]} == help ]]; then\n"
                      "        _describe command commands\n"
                      "        return\n"
                      "    fi\n"
                      "    local command=${words[2]}\n"
                      "    shift words\n"
                      "    (( CURRENT-- ))\n"
                      "    case $command in\n"
                      "    completion) _values shell bash zsh fish ;;\n");
}

static void zsh_command(mls_buf *out, const mls_command *c)
{
    mls_buf_printf(out, "    %s)\n        _arguments '--help[what it does]' \\\n",
                   c->name);
}

static void zsh_option(mls_buf *out, const mls_command *c, const mls_option *o,
                       const char *about, const char *values)
{
    const char *repeated = o->type == MLS_OPT_LIST ? "*" : "";

    (void)c;
    for (int letter = 0; letter <= (o->letter != 0); letter++) {
        if (letter)
            mls_buf_printf(out, "            '%s-%c[%s]", repeated, o->letter, about);
        else
            mls_buf_printf(out, "            '%s%s[%s]", repeated, o->name, about);
        if (o->type != MLS_OPT_FLAG && *values)
            mls_buf_printf(out, ":%s:(%s)", o->name + 2, values);
        else if (o->type != MLS_OPT_FLAG)
            mls_buf_printf(out, ":%s:_files", o->name + 2);
        mls_buf_puts(out, "' \\\n");
    }
}

static void zsh_command_end(mls_buf *out)
{
    mls_buf_puts(out, "            '*:file:_files' ;;\n");
}

static void fish_begin(mls_buf *out, const mls_command *const *commands)
{
    static const char line[] =
        "complete -c mlascope -n __fish_use_subcommand -f -a %s -d '%s'\n";
    char about[128];

    mls_buf_puts(out, "# fish completion for mlascope\n");
    for (size_t i = 0; commands[i]; i++)
        mls_buf_printf(out, line, commands[i]->name,
                       harmless(about, sizeof about, commands[i]->summary));
    mls_buf_printf(out, line, "help", "what a command does");
    mls_buf_printf(out, line, "completion", "completion for a shell");
    mls_buf_puts(out, "complete -c mlascope -n '__fish_seen_subcommand_from completion'"
                      " -f -a 'bash zsh fish'\n");
}

static void fish_command(mls_buf *out, const mls_command *c)
{
    mls_buf_printf(out,
                   "complete -c mlascope -n '__fish_seen_subcommand_from help' -f "
                   "-a %s\n"
                   "complete -c mlascope -n '__fish_seen_subcommand_from %s' -l help "
                   "-d 'what it does'\n",
                   c->name, c->name);
}

static void fish_option(mls_buf *out, const mls_command *c, const mls_option *o,
                        const char *about, const char *values)
{
    mls_buf_printf(out,
                   "complete -c mlascope -n '__fish_seen_subcommand_from %s' -l %s",
                   c->name, o->name + 2);
    if (o->letter)
        mls_buf_printf(out, " -s %c", o->letter);
    if (o->type != MLS_OPT_FLAG && *values)
        mls_buf_printf(out, " -x -a '%s'", values);
    else if (o->type != MLS_OPT_FLAG)
        mls_buf_puts(out, " -r");
    mls_buf_printf(out, " -d '%s'\n", about);
}

static void fish_command_end(mls_buf *out)
{
    (void)out;
}

static const shell shells[] = {
    {"bash", bash_begin, bash_command, bash_option, bash_command_end,
     "    esac\n"
     "    case $cur in\n"
     "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
     "    *) compopt -o default ;;\n"
     "    esac\n"
     "}\n"
     "complete -F _mlascope mlascope\n"},
    {"zsh", zsh_begin, zsh_command, zsh_option, zsh_command_end,
     "    esac\n}\n_mlascope \"$@\"\n"},
    {"fish", fish_begin, fish_command, fish_option, fish_command_end, ""},
};

static void add_command(void *arg, const mls_command *c, const mls_option *options)
{
    const work *w = arg;

    w->how->command(w->out, c);
    for (const mls_option *o = options; o->name; o++) {
        char about[128];
        mls_buf values = {0};

        about_of(about, sizeof about, c, o);
        values_of(&values, o);
        if (values.data)
            w->how->option(w->out, c, o, about, values.data);
        w->out->failed = w->out->failed || values.failed;
        mls_buf_free(&values);
    }
    w->how->command_end(w->out);
}

mls_status mls_completion(mls_buf *out, const char *name,
                          const mls_command *const *commands, mls_err *err)
{
    enum { N = sizeof shells / sizeof shells[0] };
    const char *names[N + 1] = {0};
    char suggestion[MLS_SUGGESTION];

    for (size_t i = 0; i < N; i++) {
        work w = {out, &shells[i]};

        names[i] = shells[i].name;
        if (strcmp(name, names[i]) != 0)
            continue;
        shells[i].begin(out, commands);
        for (size_t k = 0; commands[k]; k++)
            mls_options_show(commands[k], add_command, &w);
        mls_buf_puts(out, shells[i].end);
        return MLS_OK;
    }
    return mls_fail(err, MLS_E_ARG, "there is no completion for \"%s\"%s", name,
                    mls_suggest(name, names, suggestion));
}
