/* An experiment's data without the rest of it: looked at before there is a network, or to know all that is wrong. */
#ifndef DEMIST_CORE_DATA_ALONE_H
#define DEMIST_CORE_DATA_ALONE_H

#include <demist/demist.h>

#include "base/log.h"
#include "data/data.h"

typedef struct dm_data_alone {
    dm_registry *registry;
    dm_experiment *experiment;
    dm_services services;
    dm_callbacks callbacks;
    dm_log *log;                   /* to callbacks.log */
} dm_data_alone;

/* From a file, or, where text is given, from that; faults go to the log. Only the data section must be there. */
dm_status dm_data_alone_open(dm_data_alone *a, const char *file, const char *text, const char *const *overrides, int n,
                             const dm_callbacks *cb, dm_err *err);
void dm_data_alone_close(dm_data_alone *a);

/* Reads every example of both splits once, and puts a line into the log for each that cannot be read. bad: how many of
 * all; skips: training goes on without them. */
dm_status dm_data_survey(dm_data_alone *a, int64_t *bad, int64_t *all, bool *skips, dm_err *err);
/* `count` examples that lie evenly in a split, as the network gets them, as one picture, unless png is NULL. line: what
 * there is, told. */
dm_status dm_data_preview(dm_data_alone *a, const char *split, int64_t count, const char *png,
                          void (*line)(void *user, const char *text), void *user, dm_err *err);

#endif
