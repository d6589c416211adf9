/* safetensors files made from the text of their header. */
#ifndef MLS_SAFETENSORS_FIXTURE_H
#define MLS_SAFETENSORS_FIXTURE_H

#include "tests/support/expect.h"

/* Without mls_file_write()'s fsync: thousands of files are made here. */
void put_file(const char *path, const void *data, size_t n);

/* A file of a header (len bytes) and n data bytes 0, 1, 2, ...; its path. */
const char *file_of(const char *header, size_t len, size_t n);

/* The value of one tensor in a header: T("F32", "[2,2]", 0, 16). */
#define T(dtype, shape, from, to)                                                      \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

#endif
