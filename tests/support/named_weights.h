/*
 * Checkpoints whose weights follow from the tensors' names, so that an independent
 * program (tests/reference/forward.py, converted.py) makes the same ones: splitmix64 of
 * a counter from FNV-1a of the name, scaled, rounded to bfloat16.
 */
#ifndef MLS_TESTS_NAMED_WEIGHTS_H
#define MLS_TESTS_NAMED_WEIGHTS_H

#include "tests/support/expect.h"

#include "common/base/buf.h"
#include "common/numbers/half.h"
#include "common/system/files.h"

enum { NAMED_SIZE = 128 };

typedef struct named_tensor {
    char name[NAMED_SIZE];
    size_t rows, cols; /* cols 0: a vector */
    double scale, offset;
} named_tensor;

/* Number i of the sequence that belongs to a name, in [-1, 1). */
double named_uniform(uint64_t seed, const char *name, uint64_t i);

/* The first n with seed 0, as uniform() of tests/reference/ makes them; free(). */
double *named_doubles(size_t n, const char *name);
/* Their sums with plus in single precision; free(). */
float *named_floats(size_t n, const char *name, double plus);

/* FOLDER/model.safetensors: length of the header, header, numbers in the same order. */
void named_write(const char *folder, const named_tensor *t, size_t n, uint64_t seed);

/* The next word of a line; the line moves behind it. */
const char *named_word(char **line);
size_t named_whole(char **line);

/*
 * Read a file of cases: begin() gets what follows "case " on a line, read_line() every
 * other line of the case, end() is called when it is complete. How many there were.
 */
size_t named_each_case(const char *path, void *arg,
                       void (*begin)(void *arg, char *line),
                       void (*read_line)(void *arg, char *line),
                       void (*end)(void *arg));

/* "NAME ROWS COLS SCALE OFFSET" */
void named_parse(named_tensor *t, char *line);

/* FOLDER with the model of a case of tests/families/logits.txt, which is made. */
void named_model(const char *folder, const char *name);

#endif
