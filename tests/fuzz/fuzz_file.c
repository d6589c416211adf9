/*
 * libFuzzer: the readers that take a path, one a program: MLS_FUZZ_READER chooses. The
 * input becomes a file in memory (that of the index, whose name counts, one in a folder
 * of /dev/shm); whatever it holds, the call succeeds or says why in one sentence.
 */
#define _GNU_SOURCE /* memfd_create */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analysis/capture/capture_inner.h"
#include "analysis/capture/store_inner.h"
#include "analysis/latent/latent_file.h"
#include "bench/plan/plan.h"
#include "bench/setting/settings_file.h"
#include "common/base/checked.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/files/rankfile.h"
#include "datasets/text/documents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tiny[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
    "\"vocab_size\": 50, \"hidden_size\": 12, \"intermediate_size\": 20, "
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"head_dim\": 6, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
    "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\"}";

static void put_bytes(int fd, const void *data, size_t size)
{
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
        exit(1); /* no room to try in: nothing is wrong with the reader */
}

static char folder[64];

static void remove_folder(void)
{
    char command[96];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        fputs("the folder stays\n", stderr);
}

static int put_file(const char *name)
{
    char path[128];
    const char *parent = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

    if (!*folder) {
        snprintf(folder, sizeof folder, "%s/mls-fuzz-XXXXXX", parent);
        if (!mkdtemp(folder))
            exit(1);
        atexit(remove_folder);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

/* Read once: the inputs differ in other files. */
static const mls_config *tiny_config(void)
{
    static mls_config config;
    mls_err err = {0};

    if (config.L == 0 &&
        mls_config_parse(&config, tiny, sizeof tiny - 1, "config", &err))
        exit(1);
    return &config;
}

/* A folder of sharded weights whose index is the input. A shard s of one tensor a is
   there. */
static int put_index(void)
{
    static const char shard[] =
        "\x40\0\0\0\0\0\0\0"
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}          "
        "\0\0\200\77\0\0\0\100";
    const int fd = put_file("s.safetensors");

    put_bytes(fd, shard, sizeof shard - 1);
    close(fd);
    return put_file("model.safetensors.index.json");
}

static mls_status read_index(const char *path, mls_err *err)
{
    mls_checkpoint *c = calloc(1, sizeof *c);
    mls_status st;

    (void)path;
    if (!c || !(c->folder = strdup(folder)))
        exit(1);
    c->config = *tiny_config();
    st = mls_checkpoint_open_weights(c, err);
    mls_checkpoint_close(c);
    return st;
}

static mls_status read_ranks(const char *path, mls_err *err)
{
    mls_rankfile f;
    const mls_status st = mls_rankfile_read(&f, path, err);

    if (!st)
        mls_rankfile_free(&f);
    return st;
}

/* The hash in front is made right: it keeps chance out, not intent. */
static mls_status read_capture(const char *path, mls_err *err)
{
    const int fd = H5open() < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC); /* once */
    char front[MLS_STORE_BLOCK];
    uint64_t hash, n;
    size_t sets;
    mls_capture *c;
    mls_status st;

    if (fd < 0 || lseek(fd, 0, SEEK_END) < MLS_STORE_BLOCK ||
        mls_xxh3_fd(fd, path, MLS_STORE_BLOCK, &hash, &n, NULL)) {
        close(fd);
        return MLS_OK;
    }
    mls_store_front(front, MLS_CAPTURE_KIND, hash, n);
    if (pwrite(fd, front, sizeof front, 0) != (ssize_t)sizeof front)
        exit(1);
    close(fd);
    st = mls_capture_open(&c, path, err);
    if (!st)
        st = mls_capture_verify(c, &sets, &n, err);
    mls_capture_close(c);
    return st;
}

static mls_status read_plan(const char *path, mls_err *err)
{
    mls_plan p;
    const mls_status st = mls_plan_read(&p, path, err);

    if (!st)
        mls_plan_free(&p);
    return st;
}

static mls_status read_settings(const char *path, mls_err *err)
{
    mls_listing list = {0};
    const mls_status st = mls_listing_read(&list, path, tiny_config(), err);

    mls_listed_free(&list);
    return st;
}

static mls_status read_latent(const char *path, mls_err *err)
{
    mls_latent_form f;
    mls_latent_origin origin;
    const mls_status st = mls_latent_read(&f, &origin, path, err);

    if (!st)
        mls_latent_free(&f);
    return st;
}

static mls_status take_document(void *arg, const char *text, size_t len, mls_err *err)
{
    (void)arg, (void)err;
    if (text[len])
        abort();
    return MLS_OK;
}

static mls_status read_lines(const char *path, mls_err *err)
{
    return mls_documents_read(&path, 1, take_document, NULL, NULL, err);
}

static const struct {
    const char *reader;
    mls_status (*read)(const char *path, mls_err *err);
} readers[] = {
    {"index", read_index}, {"rankfile", read_ranks},    {"capture", read_capture},
    {"plan", read_plan},   {"settings", read_settings}, {"latent", read_latent},
    {"jsonl", read_lines},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];

    if (fd < 0) {
        fd = strcmp(MLS_FUZZ_READER, "index") == 0 ? put_index()
                                                   : memfd_create("input", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    put_bytes(fd, data, size);
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        mls_err err = {0};
        mls_status st;

        if (strcmp(readers[i].reader, MLS_FUZZ_READER) != 0)
            continue;
        st = readers[i].read(path, &err);
        if (st ? st != err.status || (st != MLS_E_INPUT && st != MLS_E_ARG) ||
                     !*err.text || strchr(err.text, '\n')
               : err.status != MLS_OK)
            abort();
    }
    return 0;
}
