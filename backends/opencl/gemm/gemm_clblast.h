/* Matrix products by CLBlast. */
#ifndef DEMIST_OPENCL_GEMM_CLBLAST_H
#define DEMIST_OPENCL_GEMM_CLBLAST_H

#include "opencl/opencl.h"

dm_status ocl_gemm_check(const dm_device *d, const dm_gemm *g, dm_err *err);
dm_status ocl_gemm_run(dm_device *d, const dm_gemm *g, int row, const dm_work *work, dm_err *err);
/* Frees what CLBlast kept for this device. */
void ocl_gemm_forget(void);

#endif
