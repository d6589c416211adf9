/*
 * Pickles may call any function; this reader knows none, which is why it can read
 * untrusted files at all. Only globals that tensors of numbers need are let through, by
 * full name, and an opcode is done or refused by its name: there is no default that
 * skips one. Numbers are little-endian but for BINFLOAT.
 */
#include "datasets/files/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "datasets/files/pickle_machine.h"

/* Opcodes by their names in Python's pickletools. */
enum {
    MARK = '(',
    STOP = '.',
    BINFLOAT = 'G',
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    NONE = 'N',
    BINPERSID = 'Q',
    REDUCE = 'R',
    BINUNICODE = 'X',
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    EMPTY_LIST = ']',
    APPEND = 'a',
    GLOBAL = 'c',
    APPENDS = 'e',
    BINGET = 'h',
    LONG_BINGET = 'j',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    SETITEM = 's',
    TUPLE = 't',
    EMPTY_TUPLE = ')',
    SETITEMS = 'u',
    EMPTY_DICT = '}',
    PROTO = 0x80,
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    LONG1 = 0x8a,
    SHORT_BINUNICODE = 0x8c,
    BINBYTES8 = 0x8e,
    STACK_GLOBAL = 0x93,
    MEMOIZE = 0x94,
    FRAME = 0x95,
};

static const struct {
    unsigned char code;
    const char *name;
} refused[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'b', "BUILD"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8d, "BINUNICODE8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

static mls_status take(mls_pickle_machine *m, size_t n, const unsigned char **out)
{
    *out = NULL;
    if (n > m->len - m->at)
        return mls_pickle_fail(m, "the file ends inside this opcode");
    *out = (const unsigned char *)m->data + m->at;
    m->at += n;
    return MLS_OK;
}

/* Little-endian number of n <= 8 bytes. */
static mls_status take_number(mls_pickle_machine *m, size_t n, uint64_t *out)
{
    const unsigned char *p;
    const mls_status st = take(m, n, &p);

    *out = 0;
    for (size_t i = 0; i < n && !st; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return st;
}

static mls_status push_int(mls_pickle_machine *m, int64_t value)
{
    return mls_pickle_push_new(
        m, (mls_pickle_node){.kind = MLS_PICKLE_INT, .integer = value}, NULL);
}

/* A length of n bytes, then that many bytes. */
static mls_status push_bytes(mls_pickle_machine *m, mls_pickle_kind kind, size_t n)
{
    const unsigned char *p;
    uint64_t len;
    mls_status st = take_number(m, n, &len);

    if (!st && len > m->len - m->at)
        st = mls_pickle_fail(m, "a text is longer than the rest of the file");
    if (!st)
        st = take(m, (size_t)len, &p);
    if (st)
        return st;
    return mls_pickle_push_new(
        m, (mls_pickle_node){.kind = kind, .bytes = (const char *)p, .n = (size_t)len},
        NULL);
}

static mls_status push_long(mls_pickle_machine *m)
{
    const unsigned char *p;
    uint64_t len, value = 0;
    mls_status st = take_number(m, 1, &len);

    if (!st)
        st = take(m, (size_t)len, &p);
    if (st)
        return st;
    if (len > 8)
        return mls_pickle_push_new(m,
                                   (mls_pickle_node){.kind = MLS_PICKLE_BIG,
                                                     .bytes = (const char *)p,
                                                     .n = (size_t)len},
                                   NULL);
    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)p[i] << (8 * i);
    if (len > 0 && len < 8 && p[len - 1] & 0x80)
        value |= UINT64_MAX << (8 * len); /* two's complement */
    return push_int(m, (int64_t)value);
}

static mls_status push_real(mls_pickle_machine *m)
{
    const unsigned char *p;
    const mls_status st = take(m, 8, &p);
    uint64_t bits = 0;
    double value;

    if (st)
        return st;
    for (size_t i = 0; i < 8; i++) /* the only big-endian number of the format */
        bits = bits << 8 | p[i];
    memcpy(&value, &bits, sizeof value);
    return mls_pickle_push_new(
        m, (mls_pickle_node){.kind = MLS_PICKLE_REAL, .real = value}, NULL);
}

/* Module and name of everything that may stand in a file of numbers. */
static const char *const globals[] = {
    "torch._utils\n_rebuild_tensor_v2",
    "torch.storage\n_load_from_bytes",
    "collections\nOrderedDict",
    "torch\ntensor",
    "torch\nByteStorage",
    "torch\nCharStorage",
    "torch\nShortStorage",
    "torch\nIntStorage",
    "torch\nLongStorage",
    "torch\nFloatStorage",
    "torch\nDoubleStorage",
};

static mls_status push_known_global(mls_pickle_machine *m, const char *module,
                                    size_t n_module, const char *name, size_t n_name)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++) {
        const size_t n = strcspn(globals[i], "\n"), all = strlen(globals[i]);

        if (n_module == n && memcmp(module, globals[i], n) == 0 &&
            n_name == all - n - 1 && memcmp(name, globals[i] + n + 1, n_name) == 0)
            return mls_pickle_push_new(m,
                                       (mls_pickle_node){.kind = MLS_PICKLE_GLOBAL,
                                                         .bytes = globals[i],
                                                         .n = all},
                                       NULL);
    }
    return mls_fail(m->err, MLS_E_INPUT,
                    "%s: pickle, byte %zu: global %.*s.%.*s is not one that numbers "
                    "need",
                    m->name, m->op, (int)(n_module < 100 ? n_module : 100), module,
                    (int)(n_name < 100 ? n_name : 100), name);
}

/* GLOBAL: two lines. */
static mls_status push_global(mls_pickle_machine *m)
{
    const char *start = m->data + m->at;
    const char *line = memchr(start, '\n', m->len - m->at);
    const char *end =
        line ? memchr(line + 1, '\n', m->len - (size_t)(line + 1 - m->data)) : NULL;

    if (!end)
        return mls_pickle_fail(m, "the file ends inside this opcode");
    m->at = (size_t)(end + 1 - m->data);
    return push_known_global(m, start, (size_t)(line - start), line + 1,
                             (size_t)(end - line - 1));
}

static mls_status stack_global(mls_pickle_machine *m)
{
    mls_pickle_node *name = NULL, *module = NULL;
    mls_status st = mls_pickle_pop(m, &name);

    if (!st)
        st = mls_pickle_pop(m, &module);
    if (st)
        return st;
    if (name->kind != MLS_PICKLE_TEXT || module->kind != MLS_PICKLE_TEXT)
        return mls_pickle_fail(m, "STACK_GLOBAL on what are not texts");
    return push_known_global(m, module->bytes, module->n, name->bytes, name->n);
}

static mls_status reduce(mls_pickle_machine *m)
{
    mls_pickle_node *arguments = NULL, *callable = NULL;
    mls_status st = mls_pickle_pop(m, &arguments);

    if (!st)
        st = mls_pickle_pop(m, &callable);
    if (st)
        return st;
    if (callable->kind != MLS_PICKLE_GLOBAL || arguments->kind != MLS_PICKLE_TUPLE)
        return mls_pickle_fail(m, "a call of what is not a global with a tuple");
    if (mls_pickle_is(callable, MLS_PICKLE_GLOBAL, "collections\nOrderedDict") &&
        arguments->n == 0)
        return mls_pickle_push_new(m, (mls_pickle_node){.kind = MLS_PICKLE_DICT}, NULL);
    st = mls_pickle_push(m, callable);
    if (!st)
        st = mls_pickle_push(m, arguments);
    return st ? st : mls_pickle_gather(m, MLS_PICKLE_CALL, 2);
}

static mls_status refuse(mls_pickle_machine *m, unsigned char code)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (refused[i].code == code)
            return mls_fail(m->err, MLS_E_INPUT,
                            "%s: pickle, byte %zu: opcode %s is not one that numbers "
                            "need",
                            m->name, m->op, refused[i].name);
    return mls_fail(m->err, MLS_E_INPUT,
                    "%s: pickle, byte %zu: 0x%02x is not an opcode", m->name, m->op,
                    code);
}

/* n bytes of a number, then an action on it. */
static mls_status with_number(mls_pickle_machine *m, size_t n,
                              mls_status (*action)(mls_pickle_machine *, uint64_t))
{
    uint64_t number;
    const mls_status st = take_number(m, n, &number);

    return st ? st : action(m, number);
}

static mls_status push_positive(mls_pickle_machine *m, uint64_t number)
{
    return push_int(m, (int64_t)number);
}

static mls_status push_signed_32(mls_pickle_machine *m, uint64_t number)
{
    return push_int(m, (int32_t)(uint32_t)number);
}

static mls_status ignore(mls_pickle_machine *m, uint64_t number)
{
    (void)m, (void)number;
    return MLS_OK;
}

static mls_status check_protocol(mls_pickle_machine *m, uint64_t number)
{
    return number >= 2 && number <= 5
               ? MLS_OK
               : mls_pickle_fail(m, "protocol is not one of 2..5");
}

static mls_status to_mark(mls_pickle_machine *m, mls_pickle_kind kind)
{
    size_t n;
    const mls_status st = mls_pickle_pop_mark(m, &n);

    if (st)
        return st;
    return kind == MLS_PICKLE_TUPLE ? mls_pickle_gather(m, kind, n)
                                    : mls_pickle_append(m, kind, n);
}

static mls_status step(mls_pickle_machine *m, unsigned char code)
{
    switch (code) {
    case PROTO:
        return with_number(m, 1, check_protocol);
    case FRAME:
        return with_number(m, 8, ignore);
    case MARK:
        return mls_pickle_put_mark(m);
    case NONE:
        return mls_pickle_push_new(m, (mls_pickle_node){.kind = MLS_PICKLE_NONE}, NULL);
    case NEWTRUE:
    case NEWFALSE:
        return mls_pickle_push_new(
            m, (mls_pickle_node){.kind = MLS_PICKLE_BOOL, .integer = code == NEWTRUE},
            NULL);
    case BININT:
        return with_number(m, 4, push_signed_32);
    case BININT1:
        return with_number(m, 1, push_positive);
    case BININT2:
        return with_number(m, 2, push_positive);
    case LONG1:
        return push_long(m);
    case BINFLOAT:
        return push_real(m);
    case BINUNICODE:
        return push_bytes(m, MLS_PICKLE_TEXT, 4);
    case SHORT_BINUNICODE:
        return push_bytes(m, MLS_PICKLE_TEXT, 1);
    case BINBYTES:
        return push_bytes(m, MLS_PICKLE_BYTES, 4);
    case SHORT_BINBYTES:
        return push_bytes(m, MLS_PICKLE_BYTES, 1);
    case BINBYTES8:
        return push_bytes(m, MLS_PICKLE_BYTES, 8);
    case EMPTY_TUPLE:
        return mls_pickle_push_new(m, (mls_pickle_node){.kind = MLS_PICKLE_TUPLE},
                                   NULL);
    case EMPTY_LIST:
        return mls_pickle_push_new(m, (mls_pickle_node){.kind = MLS_PICKLE_LIST}, NULL);
    case EMPTY_DICT:
        return mls_pickle_push_new(m, (mls_pickle_node){.kind = MLS_PICKLE_DICT}, NULL);
    case TUPLE:
        return to_mark(m, MLS_PICKLE_TUPLE);
    case TUPLE1:
    case TUPLE2:
    case TUPLE3:
        return mls_pickle_gather(m, MLS_PICKLE_TUPLE, (size_t)(code - TUPLE1 + 1));
    case APPEND:
        return mls_pickle_append(m, MLS_PICKLE_LIST, 1);
    case APPENDS:
        return to_mark(m, MLS_PICKLE_LIST);
    case SETITEM:
        return mls_pickle_append(m, MLS_PICKLE_DICT, 2);
    case SETITEMS:
        return to_mark(m, MLS_PICKLE_DICT);
    case GLOBAL:
        return push_global(m);
    case STACK_GLOBAL:
        return stack_global(m);
    case REDUCE:
        return reduce(m);
    case BINPERSID:
        return mls_pickle_gather(m, MLS_PICKLE_PERSISTENT, 1);
    case BINPUT:
        return with_number(m, 1, mls_pickle_remember);
    case LONG_BINPUT:
        return with_number(m, 4, mls_pickle_remember);
    case MEMOIZE:
        return mls_pickle_remember(m, m->n_memo);
    case BINGET:
        return with_number(m, 1, mls_pickle_recall);
    case LONG_BINGET:
        return with_number(m, 4, mls_pickle_recall);
    default:
        return refuse(m, code);
    }
}

mls_status mls_pickle_read(mls_pickle *out, const char *data, size_t len,
                           const char *name, mls_err *err)
{
    mls_pickle_machine m = {.data = data, .name = name, .len = len, .err = err};
    mls_status st = MLS_OK;
    bool stopped = false;

    *out = (mls_pickle){0};
    while (!st && !stopped) {
        uint64_t code;

        m.op = m.at;
        st = take_number(&m, 1, &code);
        stopped = !st && code == STOP;
        if (!st && !stopped)
            st = step(&m, (unsigned char)code);
    }
    if (!st && (m.n_stack != 1 || m.n_marks))
        st = mls_pickle_fail(&m, "STOP with more or less than one value on the stack");
    if (st)
        mls_pickle_free_nodes(m.blocks);
    else
        *out = (mls_pickle){.root = m.stack[0], .end = m.at, .arena = m.blocks};
    free(m.stack);
    free(m.marks);
    free(m.memo);
    return st;
}

void mls_pickle_free(mls_pickle *p)
{
    mls_pickle_free_nodes(p->arena);
    *p = (mls_pickle){0};
}

bool mls_pickle_is(const mls_pickle_node *node, mls_pickle_kind kind, const char *text)
{
    return node && node->kind == kind && node->n == strlen(text) &&
           memcmp(node->bytes, text, node->n) == 0;
}

bool mls_pickle_calls(const mls_pickle_node *node, const char *global)
{
    return node && node->kind == MLS_PICKLE_CALL &&
           mls_pickle_is(node->items[0], MLS_PICKLE_GLOBAL, global);
}

const mls_pickle_node *mls_pickle_get(const mls_pickle_node *dict, const char *key)
{
    for (size_t i = 0; dict->kind == MLS_PICKLE_DICT && i + 1 < dict->n; i += 2)
        if (mls_pickle_is(dict->items[i], MLS_PICKLE_TEXT, key))
            return dict->items[i + 1];
    return NULL;
}
