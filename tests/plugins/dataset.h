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

/* All that plugins have said, one after another. */
extern char dataset_log[4096];

#define SET(...) (const char *const[]){__VA_ARGS__, NULL}
#define PLAIN (dm_set_data){.flip = false}

/* NAME.so in $DEMIST_TEST_PLUGINS, its config from defaults and "key=value" texts, and the host's keys. */
dataset *dataset_load(const char *name, const char *const *settings, dm_set_data set);
/* Its train split opened; and that it cannot be, for this reason. */
dataset *dataset_open_ok(const char *name, const char *const *settings, dm_set_data set);
void dataset_open_fails(const char *name, const char *const *settings, dm_set_data set, dm_status code,
                        const char *says);
/* "key=" and the path of a file in the scratch folder; four at a time. */
const char *dataset_setting(scratch *dir, const char *key, const char *path);
void dataset_free(dataset *f);

#endif
