/*
 * Mutations of inputs that are JSON: of values, not bytes, so that most of what is
 * tried gets past the parser. What follows a byte 0xFF, which UTF-8 never has, is a
 * text (fuzz_tokenizer.c) and is mutated as one. One try in eight is libFuzzer's
 * own.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (size_t)(state >> 33) % n;
}

/* The place of a value: one of an object's or an array's. */
typedef struct {
    json_t *in;
    const char *key; /* NULL: at `index` of an array */
    size_t index;
} place;

/* Walk to place number *left. */
static bool find(json_t *value, size_t *left, place *found)
{
    const char *key;
    json_t *child;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach(value, key, child)
        {
            if ((*left)-- == 0) {
                *found = (place){value, key, 0};
                return true;
            }
            if (find(child, left, found))
                return true;
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, child)
        {
            if ((*left)-- == 0) {
                *found = (place){value, NULL, i};
                return true;
            }
            if (find(child, left, found))
                return true;
        }
    }
    return false;
}

static bool pick(json_t *root, place *found)
{
    size_t all = SIZE_MAX, which;

    if (find(root, &all, found) || all == SIZE_MAX)
        return false; /* no value in it */
    which = below(SIZE_MAX - all);
    return find(root, &which, found);
}

static json_t *get(const place *p)
{
    return p->key ? json_object_get(p->in, p->key) : json_array_get(p->in, p->index);
}

/* Takes the value over. */
static void put(const place *p, json_t *value)
{
    if (p->key)
        json_object_set_new(p->in, p->key, value);
    else
        json_array_set_new(p->in, p->index, value);
}

static json_t *constant(void)
{
    static const double reals[] = {0.5, -1.5, 1e-300, 1e308, 1e16};
    static const json_int_t integers[] = {
        0,   1,     -1,         2,          3,         4,        127,
        255, 65536, 2147483647, 4294967296, INT64_MAX, INT64_MIN};

    switch (below(7)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(below(2));
    case 2:
        return json_real(reals[below(sizeof reals / sizeof *reals)]);
    case 3:
        return json_string("");
    case 4:
        return json_array();
    case 5:
        return json_object();
    default:
        return json_integer(integers[below(sizeof integers / sizeof *integers)]);
    }
}

/* Something near to it: other bytes, a number a little off. */
static json_t *near(const json_t *value)
{
    uint8_t text[256];
    size_t n = json_string_length(value);

    if (json_is_integer(value)) {
        const json_int_t x = json_integer_value(value), by = (json_int_t)below(9) - 4;

        return json_integer((json_int_t)((uint64_t)x + (uint64_t)by));
    }
    if (json_is_real(value))
        return json_real(json_real_value(value) * ((double)below(5) - 1) / 2);
    if (!json_is_string(value) || n > sizeof text / 2)
        return constant();
    memcpy(text, json_string_value(value), n);
    n = LLVMFuzzerMutate(text, n, sizeof text);
    return json_stringn((const char *)text, n); /* NULL: no longer UTF-8 */
}

static void mutate(json_t *root)
{
    place at, other;
    json_t *copy;

    if (!pick(root, &at) || !pick(root, &other))
        return;
    switch (below(6)) {
    case 0:
        if (at.key)
            json_object_del(at.in, at.key);
        else
            json_array_remove(at.in, at.index);
        return;
    case 1: /* what is elsewhere */
        copy = json_deep_copy(get(&other));
        break;
    case 2: /* and here, too */
        copy = json_deep_copy(get(&other));
        if (at.key && other.key)
            json_object_set_new(at.in, other.key, copy);
        else if (!at.key)
            json_array_insert_new(at.in, at.index, copy);
        else
            json_decref(copy);
        return;
    case 3:
        copy = constant();
        break;
    default:
        copy = near(get(&at));
    }
    if (copy)
        put(&at, copy);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    const uint8_t *end = memchr(data, 0xFF, size);
    const size_t len = end ? (size_t)(end - data) : size, rest = size - len;
    json_t *root;
    char *text;
    size_t n;

    state = seed;
    if (below(8) == 0)
        return LLVMFuzzerMutate(data, size, max);
    if (rest > 0 && below(4) == 0)
        return len + 1 + LLVMFuzzerMutate(data + len + 1, rest - 1, max - len - 1);
    root = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    if (!root)
        return LLVMFuzzerMutate(data, size, max);
    for (size_t i = below(3) + 1; i > 0; i--)
        mutate(root);
    text = json_dumps(root, JSON_COMPACT);
    n = text ? strlen(text) : 0;
    json_decref(root);
    if (n == 0 || n + rest > max) {
        free(text);
        return LLVMFuzzerMutate(data, size, max);
    }
    memmove(data + n, data + len, rest);
    memcpy(data, text, n);
    free(text);
    return n + rest;
}
