/* safetensors files: named tensors and string metadata. The reader trusts nothing: at most 100 MB
 * of header, 2^20 tensors, rank 8, checked products, data contiguous from 0 without gap or overlap,
 * and a file of just the size that follows. Data is read by pread, never mapped. */
#ifndef DEMIST_CORE_SAFETENSORS_H
#define DEMIST_CORE_SAFETENSORS_H

#include "base/file.h"

typedef enum dm_st_type {
    DM_ST_BOOL, DM_ST_U8, DM_ST_I8, DM_ST_F8_E5M2, DM_ST_F8_E4M3, DM_ST_I16, DM_ST_U16, DM_ST_F16, DM_ST_BF16,
    DM_ST_I32, DM_ST_U32, DM_ST_F32, DM_ST_I64, DM_ST_U64, DM_ST_F64, DM_ST_TYPES
} dm_st_type;
const char *dm_st_type_name(dm_st_type t); /* "F32" */
size_t dm_st_type_size(dm_st_type t);      /* bytes */
dm_status dm_st_type_find(const char *name, dm_st_type *out); /* DM_EINVAL for a name that is none */
/* n elements from little-endian bytes; false where the type cannot be converted (the 8-bit floats). */
bool dm_st_to_f64(dm_st_type t, const void *bytes, int64_t n, double *to);

typedef struct dm_st dm_st;
typedef struct dm_st_tensor {
    const char *name;              /* UTF-8; as hostile as the file when printed */
    dm_st_type type;
    dm_shape shape;
    int64_t count;                 /* elements, 0 where an extent is 0 */
    uint64_t offset, bytes;        /* place in the file */
} dm_st_tensor;

/* DM_ECORRUPT says what is wrong and with which tensor. Calls of one dm_st may overlap. */
dm_status dm_st_open(const char *path, dm_st **out, dm_err *err);
/* The same in a folder, as dm_folder_file opens it. */
dm_status dm_st_open_in(const dm_folder *in, const char *name, dm_st **out, dm_err *err);
void dm_st_close(dm_st *f);
const char *dm_st_path(const dm_st *f);
int dm_st_fd(const dm_st *f);       /* what is read, whatever lies at the path by now; -1 of a gathered one */
int64_t dm_st_count(const dm_st *f);
const dm_st_tensor *dm_st_at(const dm_st *f, int64_t i);            /* in the order of their data */
const dm_st_tensor *dm_st_find(const dm_st *f, const char *name);   /* NULL if there is none */
const char *dm_st_meta(const dm_st *f, const char *key);            /* NULL if there is none */
/* The i-th pair, in the file's order; false past the last. */
bool dm_st_meta_at(const dm_st *f, int64_t i, const char **key, const char **value);

/* DM_ECORRUPT where the file has a checksum and is not what it was made of; one without is taken as it is. */
dm_status dm_st_verify(const dm_st *f, dm_err *err);

/* n bytes of t's data from byte `from`, little-endian as they are. */
dm_status dm_st_read(const dm_st *f, const dm_st_tensor *t, uint64_t from, void *to, size_t n, dm_err *err);
/* n elements from element `first`, any type but the 8-bit floats converted. */
dm_status dm_st_read_f32(const dm_st *f, const dm_st_tensor *t, int64_t first, int64_t n, float *to, dm_err *err);
dm_status dm_st_read_f64(const dm_st *f, const dm_st_tensor *t, int64_t first, int64_t n, double *to, dm_err *err);
/* An error that names the tensor unless it is there with just this shape, of any type; an extent
 * of -1 in want fits any. */
dm_status dm_st_expect(const dm_st *f, const char *name, const dm_shape *want, const dm_st_tensor **out, dm_err *err);

/* A tensor of another source, as it shall be known: as many elements in another shape, under another name. */
typedef struct dm_st_part { dm_st *file; const dm_st_tensor *tensor; const char *name; dm_shape shape; } dm_st_part;
/* One source out of several, with metadata of its own; path is what it is called. Owns the files from then on,
 * also where it fails. DM_ECORRUPT where a name is there twice or a shape does not fit. */
dm_status dm_st_gather(const char *path, dm_st *const *files, int64_t n_files, const dm_st_part *parts, int64_t n,
                       const dm_pair *meta, int64_t n_meta, dm_st **out, dm_err *err);

/* A tensor to write: data, or fill, which is asked for the bytes in order, chunk by chunk. */
typedef struct dm_st_source {
    const char *name;
    dm_st_type type;
    dm_shape shape;
    const void *data;
    dm_status (*fill)(void *user, uint64_t from, void *to, size_t n, dm_err *err);
    void *user;
} dm_st_source;

typedef dm_pair dm_st_pair; /* metadata */
/* A pair of this key gets the CRC-32 of the file as its value: of all its bytes, this value taken as eight zeros. */
#define DM_ST_CHECKSUM "crc32"

/* Tensors and metadata in the order given, the same bytes each time; durable when it returns, and
 * where it fails what was at path is still there. */
dm_status dm_st_write(const char *path, const dm_st_source *t, int64_t n, const dm_pair *meta, int64_t n_meta,
                      dm_err *err);
dm_status dm_st_write_in(const dm_folder *in, const char *name, const dm_st_source *t, int64_t n, const dm_pair *meta,
                         int64_t n_meta, dm_err *err);

#endif
