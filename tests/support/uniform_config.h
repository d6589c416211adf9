/* The config of a model whose layers are all alike, without a file. */
#ifndef TEST_UNIFORM_CONFIG_H
#define TEST_UNIFORM_CONFIG_H

#include "datasets/checkpoint/config.h"

mls_config uniform_config(size_t L, size_t E, size_t H, size_t G, size_t D);

#endif
