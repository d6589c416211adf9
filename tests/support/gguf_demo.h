/* The demo model as a GGUF file, as llama.cpp's converter would write it. */
#ifndef MLS_TESTS_GGUF_DEMO_H
#define MLS_TESTS_GGUF_DEMO_H

#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/gguf_names.h"
#include "datasets/checkpoint/tensors.h"
#include "datasets/files/ggml_blocks.h"
#include "tests/support/gguf_fixture.h"

/* Rows of a head as llama.cpp's converter lays them: dim c, then dim c + D/2. */
size_t interleaved_row(size_t row, size_t rows, size_t heads);

/* The keys of the demo model, as its config.json has them. */
void demo_keys(gguf_file *g);

/* A checkpoint of the demo model as a GGUF file; matrices in blocks, or NULL: F32. */
void save_demo(const char *path, const mls_checkpoint *c, const mls_ggml_block *block);

#endif
