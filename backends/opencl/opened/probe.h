/* What a device is tried for as it is opened. */
#ifndef DEMIST_OPENCL_PROBE_H
#define DEMIST_OPENCL_PROBE_H

#include "opencl/opencl.h"

/* Takes from d's info what does not build or compute there. DM_ECANCELLED alone. */
dm_status ocl_probe(dm_device *d, const dm_device_options *o, dm_err *err);

#endif
