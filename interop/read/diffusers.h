/* diffusers' configs as demist's experiment. */
#ifndef DEMIST_INTEROP_DIFFUSERS_H
#define DEMIST_INTEROP_DIFFUSERS_H

#include "interop/read/config.h"

#include <stdio.h>

#define DM_DIFFUSERS_WEIGHTS "diffusion_pytorch_model.safetensors"

/* What the rest of the reading needs to know of a network. */
typedef struct dm_network_facts {
    const char *class_name;        /* diffusers' */
    int64_t channels, outputs, height, width, classes;
    int64_t label_width;           /* labels are vectors of so many elements; 0 = they are not */
    bool sized;                    /* sample_size is there */
    bool fourier;
    int64_t time_rows;             /* of a learned time embedding; else 0 */
} dm_network_facts;

/* Reads a network's config.json and writes the network section. */
dm_status dm_network_read(const char *path, FILE *to, dm_network_facts *facts, dm_err *err);
/* The same of an open config, of one class. */
void dm_unet_put(dm_config *c, FILE *to, dm_network_facts *facts);
void dm_dit_put(dm_config *c, FILE *to, dm_network_facts *facts);
bool dm_dit_is(const char *class_name);
/* The names of a model_index.json's id2label, with '/' between them; nothing where it has none. */
dm_status dm_class_names_read(const char *path, int64_t classes, FILE *to, dm_err *err);
/* Reads a scheduler_config.json and writes schedule, objective and sampler. path NULL: DDPMScheduler's defaults. */
dm_status dm_scheduler_read(const char *path, const dm_network_facts *facts, FILE *to, dm_err *err);

#endif
