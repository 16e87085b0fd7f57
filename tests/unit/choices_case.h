/* What tests of choices of implementations share: a cache folder, devices, one small convolution, and the entry that is
 * kept of it. */
#ifndef DEMIST_TESTS_CHOICES_CASE_H
#define DEMIST_TESTS_CHOICES_CASE_H

#include "graph/op_def.h"
#include "plan/choices.h"
#include "plan/measure.h"

#include "scratch.h"

#include <jansson.h>

typedef struct heard { char lines[4096]; int warnings; } heard;

/* Of a group and of each test, whose state is the folder. One folder for all, since programs are cached there too; each
 * test begins without choices. */
int new_folder(void **state);
int remove_folder(void **state);
int no_choices(void **state);

void must(dm_status rc, const dm_err *err);
/* For logs; user: a heard. */
void hear(void *user, dm_log_level level, const char *line);
dm_device *open_device(const char *cache, const char *kernels);
dm_choices *open_choices(dm_device *d, dm_tune tune, heard *h);

/* A convolution small enough for the portable implementation to be a candidate. */
dm_opnode convolution(void);
dm_choice pick(dm_choices *c, dm_device *d, bool trains);
void measure(dm_choices *c);

/* The one entry of the cache; "" where there is none. */
void entry_path(const char *dir, char path[512]);
json_t *entry(const char *dir);
void write_text(const char *path, const char *text);
/* Valid until the next call. */
char *read_text(const char *path);

#endif
