/* From the source of a program to its kernels. */
#ifndef DEMIST_OPENCL_PROGRAMS_H
#define DEMIST_OPENCL_PROGRAMS_H

#include "opencl/host/host.h"
#include "opencl/opencl.h"

/* ---- source.c ------------------------------------------------------------ */

/* The source that file `id` is a part of: small.cl where that includes it, else itself. */
const char *ocl_source_home(const char *id);
/* The full text of a program: common.clh, then the file (text NULL) or the text, includes expanded. */
dm_status ocl_source(const dm_device *d, const char *id, const char *text, ocl_text *out, dm_err *err);

/* ---- cache.c: program binaries ------------------------------------------- */

/* Sets cl and signatures; false: not there, broken or of another device. */
bool ocl_cache_load(const dm_device *d, const char *options, const ocl_text *source, ocl_program *out);
/* A failure is no error: the next run builds again. */
void ocl_cache_store(const dm_device *d, const char *options, const ocl_text *source, cl_program p);

/* ---- program.c ----------------------------------------------------------- */

void ocl_programs_free(dm_device *d);
/* A kernel object of its own. */
dm_status ocl_kernel_new(const dm_kernel *k, cl_kernel *out, dm_err *err);
/* "kernel 'x' of 'f.cl'" */
void ocl_kernel_subject(const dm_kernel *k, char *s, size_t n);

/* ---- signature.c --------------------------------------------------------- */

/* Fills in what k's arguments are and which group it demands. */
dm_status ocl_kernel_describe(dm_kernel *k, dm_err *err);
/* Of all kernels of a built program, as text: drivers forget the arguments of a program from a binary. */
bool ocl_signatures(cl_program p, ocl_text *out);

#endif
