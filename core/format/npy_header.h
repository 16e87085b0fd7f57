/* The header of an .npy file. */
#ifndef DEMIST_CORE_NPY_HEADER_H
#define DEMIST_CORE_NPY_HEADER_H

#include "format/safetensors.h"

enum { DM_NPY_MAX_HEAD = 65536 };

typedef struct dm_npy_header { dm_st_type type; bool swap, fortran; dm_shape shape; } dm_npy_header;

/* Of the dictionary's text; path: for messages. */
dm_status dm_npy_header_parse(const char *path, const char *head, dm_npy_header *out, dm_err *err);
/* n elements of `size` bytes each, in the other byte order. */
void dm_npy_swap(unsigned char *b, int64_t n, size_t size);

#endif
