/*
 * Preloaded: one allocation of the program or of jansson fails, and with
 * MLS_ALLOC_KEEPS=1 all later ones. MLS_ALLOC_AT is its number, from 1; those of a
 * whole run are counted into the file MLS_ALLOC_COUNT. Allocations of other
 * libraries are left alone: what they do without memory is not ours to mend.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own, under the names that a replacement calls. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

typedef struct {
    uintptr_t from, to;
} range;

static range ours[2]; /* the program, jansson */
static atomic_long n_calls;
static long target;
static bool keeps;
static pid_t first;

static int see_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const bool program = !*info->dlpi_name, json = strstr(info->dlpi_name, "jansson");

    (void)size, (void)arg;
    for (int i = 0; (program || json) && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && p->p_flags & PF_X)
            ours[json] = (range){info->dlpi_addr + p->p_vaddr,
                                 info->dlpi_addr + p->p_vaddr + p->p_memsz};
    }
    return 0;
}

static void count_at_exit(void)
{
    const char *path = getenv("MLS_ALLOC_COUNT");
    FILE *f = path && getpid() == first ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%ld\n", atomic_load(&n_calls));
        fclose(f);
    }
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("MLS_ALLOC_AT");

    target = at ? atol(at) : 0;
    keeps = getenv("MLS_ALLOC_KEEPS") != NULL;
    first = getpid();
    atexit(count_at_exit);
    dl_iterate_phdr(see_object, NULL);
}

/* Does the call that returns to `to` fail? */
static bool fails(const void *to)
{
    const uintptr_t at = (uintptr_t)to;

    if (!((at >= ours[0].from && at < ours[0].to) ||
          (at >= ours[1].from && at < ours[1].to)))
        return false;
    const long n = atomic_fetch_add(&n_calls, 1) + 1;

    if (target == 0 || (keeps ? n < target : n != target))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

char *strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);

    return copy ? memcpy(copy, s, n) : NULL;
}

char *strndup(const char *s, size_t most)
{
    const size_t n = strnlen(s, most);
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n + 1);

    if (!copy)
        return NULL;
    copy[n] = '\0';
    return memcpy(copy, s, n);
}
