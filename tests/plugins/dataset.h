/* A data set plugin of the build folder as the host opens it. */
#ifndef DEMIST_TESTS_DATASET_H
#define DEMIST_TESTS_DATASET_H

#include "../unit/scratch.h"

#include "data/data.h"

typedef struct dataset {
    dm_experiment e;
    dm_services s;
    dm_arena *arena;
    void *so;
    dm_data *data;                 /* for dm_data_open to fill */
    dm_err err;
} dataset;

#define SET(...) (const char *const[]){__VA_ARGS__, NULL}
#define PLAIN (dm_set_data){.flip = false}

/* NAME.so in $DEMIST_TEST_PLUGINS, its config from defaults and "key=value" texts, and the host's keys. */
dataset *dataset_load(const char *name, const char *const *settings, dm_set_data set);
void dataset_free(dataset *f);

#endif
