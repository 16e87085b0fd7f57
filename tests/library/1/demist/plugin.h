/* What the demist.h beside this file used of plugin.h on the day it was kept. */
#ifndef DEMIST_PLUGIN_H
#define DEMIST_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DM_HAS(T, p, field) ((p)->size >= offsetof(T, field) + sizeof((p)->field))
#define DM_EXPORT

typedef struct dm_shape { int32_t rank; int64_t dim[8]; } dm_shape;

typedef enum dm_status {
    DM_OK = 0,
    DM_EINVAL = -1,
    DM_ENOENT = -2,
    DM_EIO = -3,
    DM_ENOMEM = -4,
    DM_ENOSPC = -5,
    DM_EDEVICE = -6,
    DM_ECORRUPT = -7,
    DM_EDIVERGED = -8,
    DM_EABI = -9,
    DM_ECANCELLED = -10,
} dm_status;

typedef struct dm_err { dm_status code; char msg[1024]; } dm_err;

#endif
