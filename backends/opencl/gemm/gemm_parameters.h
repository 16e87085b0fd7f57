/* CLBlast's parameters for a device: sets of them, where they are kept, how they are given to CLBlast. */
#ifndef DEMIST_OPENCL_GEMM_PARAMETERS_H
#define DEMIST_OPENCL_GEMM_PARAMETERS_H

#include "opencl/opencl.h"

enum { OCL_MAX_PARAMETERS = 16 };
/* Of one of CLBlast's kernels; n 0 = CLBlast's own choice. */
typedef struct ocl_parameters {
    int n;
    const char *names[OCL_MAX_PARAMETERS];
    size_t values[OCL_MAX_PARAMETERS];
} ocl_parameters;
/* "Xgemm" takes large products, "XgemmDirect" those below a size, "GemmRoutine" says which. */
typedef struct ocl_gemm_set { ocl_parameters indirect, direct, routine; } ocl_gemm_set;

extern const char *const ocl_indirect_names[], *const ocl_direct_names[], *const ocl_routine_names[]; /* end in NULL */

/* DM_EDEVICE where CLBlast refuses. */
dm_status ocl_gemm_apply(const dm_device *d, const char *kernel, const ocl_parameters *p, dm_err *err);
/* What `demist tune` kept for this device, if that can be trusted, is given to CLBlast: *used then. Fails only where
 * there is no memory: a product would be another than with it. */
dm_status ocl_gemm_load(const dm_device *d, bool *used, dm_err *err);
/* A number that changes with what is kept for this device, 0 where nothing is. */
uint64_t ocl_gemm_stamp(const dm_device *d);
/* false: it could not be written. */
bool ocl_gemm_keep(const dm_device *d, const ocl_gemm_set *set);

#endif
