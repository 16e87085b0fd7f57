/* This machine: its processor, texts and files, the cache folder. Nothing here calls OpenCL. */
#ifndef DEMIST_OPENCL_HOST_H
#define DEMIST_OPENCL_HOST_H

#include "device/device.h"

enum { OCL_PATH = 4096 };          /* bytes of a path, the 0 included */

/* ---- host_cpu.c ---------------------------------------------------------- */

/* Fills in the width of vectors, and what inline assembly may use, on a device that is this machine itself. */
void ocl_host_cpu(dm_device_info *o);
/* What dm_cpu_hold was given; "": nothing. */
const char *ocl_held_cpu(void);

/* ---- files.c ------------------------------------------------------------- */

/* A text or byte string that grows; s always ends in 0 when it is not NULL. */
typedef struct ocl_text { char *s; size_t n, cap; } ocl_text;

bool ocl_text_add(ocl_text *t, const void *p, size_t n);
bool ocl_text_print(ocl_text *t, const char *fmt, ...) DM_PRINTF(2, 3);
void ocl_text_fini(ocl_text *t);
/* dir/rest; false when it does not fit. */
bool ocl_path(char path[OCL_PATH], const char *dir, const char *rest);
/* Makes it and the folders above; false when it is not there in the end or may not be written. */
bool ocl_folder(const char *path);
/* The whole file; DM_ENOENT untold (err untouched) where there is none. limit: most bytes that are read. */
dm_status ocl_file_read(const char *path, size_t limit, ocl_text *out, dm_err *err);
/* An entry of the cache, as dm_cache_read takes it. */
bool ocl_cache_read(const char *path, size_t limit, ocl_text *out);
/* By a temporary file and a rename; false when it did not work. */
bool ocl_file_write(const char *path, const void *p, size_t n);
uint64_t ocl_hash(uint64_t seed, const void *p, size_t n);
/* Where cached things go: asked for, or from the environment; "" = nowhere. */
void ocl_cache_dir(const char *asked, char path[OCL_PATH]);

#endif
