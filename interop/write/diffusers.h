/* diffusers' configs as demist's experiment, and back. */
#ifndef DEMIST_INTEROP_DIFFUSERS_H
#define DEMIST_INTEROP_DIFFUSERS_H

#include "interop/read/config.h"
#include "experiment/experiment.h"

#include <stdio.h>

#define DM_DIFFUSERS_WEIGHTS "diffusion_pytorch_model.safetensors"

/* What the rest of the reading needs to know of a UNet2DModel. */
typedef struct dm_unet_facts {
    int64_t channels, outputs, height, width, classes;
    int64_t label_width;           /* labels are vectors of so many elements; 0 = they are not */
    bool sized;                    /* sample_size is there */
    bool fourier;
    int64_t time_rows;             /* of a learned time embedding; else 0 */
} dm_unet_facts;

/* Reads a UNet2DModel's config.json and writes the network section. */
dm_status dm_unet_read(const char *path, FILE *to, dm_unet_facts *facts, dm_err *err);
/* Reads a scheduler_config.json and writes schedule, objective and sampler. path NULL: DDPMScheduler's defaults. */
dm_status dm_scheduler_read(const char *path, const dm_unet_facts *facts, FILE *to, dm_err *err);

/* The other way round; DM_EINVAL says what diffusers cannot express. */
dm_status dm_unet_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
dm_status dm_scheduler_write(const dm_experiment *e, const dm_data_info *data, FILE *to, const char **class_name,
                             dm_err *err);

#endif
