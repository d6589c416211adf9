/*
 * The hub's cache, as huggingface_hub lays it out:
 *
 *   HUB/models--ORG--NAME/refs/main          a commit's hash, as text
 *   HUB/models--ORG--NAME/snapshots/HASH/    the files, links into blobs/
 *
 * HUB is $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub, the first that is set.
 */
#include "tools/base/hub.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/system/files.h"

enum { PATH_LENGTH = 4096, HASH_LENGTH = 128 };

/* The cache's folder; false when nothing says where it is. */
static bool hub_folder(char *out, size_t size)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
        {"HOME", "/.cache/huggingface/hub"},
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *value = getenv(places[i].variable);

        if (value && *value)
            return (size_t)snprintf(out, size, "%s%s", value, places[i].below) < size;
    }
    return false;
}

/* refs/REVISION of a model's folder: a hash without the line's end. */
static bool read_ref(const char *model, const char *revision, char *hash, size_t size)
{
    char path[PATH_LENGTH + HASH_LENGTH];
    char *text = NULL;
    size_t len;

    snprintf(path, sizeof path, "%s/refs/%s", model, revision);
    if (mls_file_read_regular(path, HASH_LENGTH - 1, &text, &len, NULL))
        return false;
    snprintf(hash, size, "%.*s", (int)strcspn(text, "\r\n"), text);
    free(text);
    return hash[0] && !strchr(hash, '/');
}

/* The name of the only snapshot there is. */
static bool only_snapshot(const char *model, char *hash, size_t size)
{
    char path[PATH_LENGTH + 16];
    DIR *folder;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/snapshots", model);
    folder = opendir(path);
    if (!folder)
        return false;
    for (struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(hash, size, "%s", e->d_name);
        n++;
    }
    closedir(folder);
    return n == 1;
}

/* HUB/models--ORG--NAME to HUB/models--ORG--NAME/snapshots/HASH. */
static bool snapshot_of(const char *model, const char *revision, char *out, size_t size)
{
    char hash[256];

    if (!read_ref(model, *revision ? revision : "main", hash, sizeof hash)) {
        if (*revision)
            snprintf(hash, sizeof hash, "%s", revision); /* a hash itself */
        else if (!only_snapshot(model, hash, sizeof hash))
            return false;
    }
    return (size_t)snprintf(out, size, "%s/snapshots/%s", model, hash) < size &&
           mls_folder_exists(out);
}

/* "ORG/NAME" or "ORG/NAME@REVISION": one slash, no dots in front, nothing else. */
static bool is_hub_name(const char *name)
{
    const char *slash = strchr(name, '/');

    return slash && slash > name && slash[1] && !strchr(slash + 1, '/') &&
           name[0] != '.' && name[0] != '~';
}

const char *mls_hub_model(const char *name)
{
    static char found[PATH_LENGTH + 512];
    char hub[PATH_LENGTH / 2], model[PATH_LENGTH];
    const char *slash = strchr(name, '/'), *at = strchr(name, '@');
    char *inside;

    if (mls_folder_exists(name)) {
        inside = mls_path_join(name, "snapshots");
        const bool cached = inside && mls_folder_exists(inside);

        free(inside);
        if (!cached || !snapshot_of(name, "", found, sizeof found))
            return name;
    } else {
        if (mls_file_exists(name) || !is_hub_name(name) || !hub_folder(hub, sizeof hub))
            return name;
        const size_t last =
            at && at > slash ? (size_t)(at - slash - 1) : strlen(slash + 1);

        if ((size_t)snprintf(model, sizeof model, "%s/models--%.*s--%.*s", hub,
                             (int)(slash - name), name, (int)last,
                             slash + 1) >= sizeof model ||
            !snapshot_of(model, at && at > slash ? at + 1 : "", found, sizeof found))
            return name;
    }
    fprintf(stderr, "mlascope: %s is %s\n", name, found);
    return found;
}
