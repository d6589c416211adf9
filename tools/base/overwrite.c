/*
 * Files are told apart by device and inode, so that links, hard links and other
 * spellings of a path are the same file. Of a model's folder and the folders in it,
 * what is there already is refused unless mlascope made it, and of new names those that
 * a loader would take for a part of the model: model.safetensors.index.json hides
 * model.safetensors. Where one file of a model is read, the others that have the names
 * of a model's files are refused.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "tools/base/overwrite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/checked.h"
#include "common/system/files.h"

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Names that a program looks for in a model's folder. */
static bool is_of_a_model(const char *name)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "adapter_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "chat_template.jinja",
                                        "preprocessor_config.json"};
    static const char *const ends[] = {".safetensors", ".safetensors.index.json",
                                       ".bin",         ".bin.index.json",
                                       ".gguf",        ".model"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_in(name, ends[i]))
            return true;
    return false;
}

/* Files of ours say so in their first bytes. */
static bool is_ours(const char *path)
{
    char head[257] = "";

    mls_file_front(path, head, sizeof head - 1);
    return strstr(head, "mlascope") != NULL;
}

/* Parts of one GGUF model end alike: -00001-of-00003.gguf. */
static bool same_model(const char *a, const char *b)
{
    const char *part = strstr(a, "-of-");
    const size_t n = part ? (size_t)(part - a) : 0;

    return n > 5 && strncmp(a, b, n - 5) == 0 && strcmp(part, b + n) == 0;
}

/* The folder part of a path, and its last word; both point into copy. */
static const char *folder_of(char *copy, const char **name)
{
    char *slash = strrchr(copy, '/');

    *name = slash ? slash + 1 : copy;
    if (!slash)
        return ".";
    if (slash == copy)
        return "/";
    *slash = '\0';
    return copy;
}

/*
 * A file in the folder that output is, by whatever name; beside one file of a model
 * (only_like) those alone that have names of a model's files.
 */
static bool is_in_folder(const char *folder, const char *only_like,
                         const struct stat *output, char found[256])
{
    DIR *d = opendir(folder);
    bool yes = false;

    for (struct dirent *e; d && !yes && (e = readdir(d));) {
        char *path = mls_path_join(folder, e->d_name);
        struct stat s;

        yes = path &&
              (!only_like || same_model(only_like, e->d_name) ||
               (is_of_a_model(only_like) && is_of_a_model(e->d_name))) &&
              stat(path, &s) == 0 && S_ISREG(s.st_mode) && same_file(&s, output);
        if (yes)
            snprintf(found, 256, "%s", e->d_name);
        free(path);
    }
    if (d)
        closedir(d);
    return yes;
}

/* A new name that a loader would take for a part of the model in folder. */
static bool hides_part(const char *output, const char *folder,
                       char why[MLS_OVERWRITE_WHY])
{
    struct stat of_output, of_folder;
    const char *name;
    char *copy = strdup(output);
    const char *beside = copy ? folder_of(copy, &name) : NULL;
    const bool hides = beside && is_of_a_model(name) && stat(beside, &of_output) == 0 &&
                       stat(folder, &of_folder) == 0 &&
                       same_file(&of_output, &of_folder);

    if (hides)
        snprintf(why, MLS_OVERWRITE_WHY, "%s would be taken for a part of the model",
                 output);
    free(copy);
    return hides;
}

/* Does output, with its links followed, lie somewhere below folder? */
static bool lies_below(const char *output, const char *folder)
{
    char *a = realpath(output, NULL), *b = realpath(folder, NULL);
    const size_t n = b ? strlen(b) : 0;
    const bool yes = a && n > 1 && strncmp(a, b, n) == 0 && a[n] == '/';

    mls_free_all(a, b);
    return yes;
}

/* output against a folder that is read. */
static bool overwrites_in(const char *output, const struct stat *there,
                          const char *folder, char why[MLS_OVERWRITE_WHY])
{
    char found[256];

    if (!there)
        return hides_part(output, folder, why);
    if (is_ours(output))
        return false;
    if (is_in_folder(folder, NULL, there, found))
        snprintf(why, MLS_OVERWRITE_WHY, "%s is %s of %s", output, found, folder);
    else if (lies_below(output, folder))
        snprintf(why, MLS_OVERWRITE_WHY, "%s is in %s", output, folder);
    else
        return false;
    return true;
}

static bool overwrites_path(const char *output, const struct stat *there,
                            const char *input, char why[MLS_OVERWRITE_WHY])
{
    char found[256];
    struct stat s;

    if (stat(input, &s))
        return false;
    if (S_ISDIR(s.st_mode))
        return overwrites_in(output, there, input, why);
    if (there && same_file(&s, there)) {
        snprintf(why, MLS_OVERWRITE_WHY, "%s is read by this command", input);
        return true;
    }
    char *copy = strdup(input);
    const char *name, *folder = copy ? folder_of(copy, &name) : NULL;
    bool part = false;

    if (folder && there) {
        part = is_in_folder(folder, name, there, found);
        if (part)
            snprintf(why, MLS_OVERWRITE_WHY, "%s is a part of the model", output);
    } else if (folder) {
        part = is_of_a_model(name) && hides_part(output, folder, why);
    }
    free(copy);
    return part;
}

bool mls_overwrites(const char *output, const char *input, char why[MLS_OVERWRITE_WHY])
{
    struct stat s;
    const bool exists = stat(output, &s) == 0;
    char *words, *state = NULL;
    bool yes;

    if (exists && !S_ISREG(s.st_mode))
        return false;
    yes = overwrites_path(output, exists ? &s : NULL, input, why);
    if (yes || !strchr(input, '=') || !(words = strdup(input)))
        return yes;
    for (char *w = strtok_r(words, " \t", &state); w && !yes;
         w = strtok_r(NULL, " \t", &state)) {
        const char *equals = strchr(w, '=');

        const char *value = equals ? equals + 1 : NULL;

        if (value && strncmp(value, "file:", 5) == 0)
            value += 5;
        yes = value && overwrites_path(output, exists ? &s : NULL, value, why);
    }
    free(words);
    return yes;
}

/* Files of one folder that plots write over, by the ends of their names. */
static bool plots_overwrite_in(const char *folder, const char *input,
                               char why[MLS_OVERWRITE_WHY])
{
    static const char *const ends[] = {".csv", ".gp", ".png", ".svg", ".txt"};
    DIR *d = opendir(folder);
    bool yes = false;

    for (struct dirent *e; d && !yes && (e = readdir(d));) {
        char *path = mls_path_join(folder, e->d_name);

        for (size_t i = 0; path && !yes && i < sizeof ends / sizeof ends[0]; i++)
            yes = ends_in(e->d_name, ends[i]) && mls_overwrites(path, input, why);
        free(path);
    }
    if (d)
        closedir(d);
    return yes;
}

bool mls_plots_overwrite(const char *folder, const char *input,
                         char why[MLS_OVERWRITE_WHY])
{
    char *plots = mls_path_join(folder, "plots"), *data = mls_path_join(folder, "data");
    const bool yes = (plots && plots_overwrite_in(plots, input, why)) ||
                     (data && plots_overwrite_in(data, input, why));

    mls_free_all(plots, data);
    return yes;
}
