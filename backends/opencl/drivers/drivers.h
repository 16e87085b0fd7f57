/* Which drivers and devices there are. */
#ifndef DEMIST_OPENCL_DRIVERS_H
#define DEMIST_OPENCL_DRIVERS_H

#include "base/findings.h"
#include "opencl/host/host.h"
#include "opencl/opencl.h"

/* ---- device_list.c ------------------------------------------------------- */

/* Why platforms that are there may offer no device, and what to do; "" where there is no platform. */
const char *ocl_empty_platforms(void);
/* Asks a device for all that is told of it: 1, 0 where it is not to be used, -1 when memory ran out. */
int ocl_device_ask(int pi, cl_platform_id p, int di, cl_device_id d, dm_device_info *o);
/* The ids behind info's i:j. */
dm_status ocl_device_ids(const dm_device_info *info, cl_platform_id *p, cl_device_id *d, dm_err *err);

/* ---- driver_files.c ------------------------------------------------------ */

enum { OCL_DRIVERS = 64 };         /* at most */
typedef struct ocl_driver_file { char file[OCL_PATH], library[OCL_PATH]; } ocl_driver_file;
/* Where the loader looks for .icd files: a folder or one of them; NULL: another loader is told in its own way. */
const char *ocl_driver_folder(void);
/* What it finds there, n of OCL_DRIVERS; NULL where memory ran out. *fault: errno of a folder that is there and cannot
 * be read, 0 otherwise. */
ocl_driver_file *ocl_driver_files(const char *where, int *n, int *fault);
int ocl_driver_count(void);

/* ---- drivers.c ----------------------------------------------------------- */

/* Asks each by itself; a line for each that is at fault. False where this process must not ask them, since one crashes
 * or hangs. To be called before the first call of OpenCL. */
bool ocl_drivers_check(dm_findings *r);

#endif
