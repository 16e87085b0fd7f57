/* log.jsonl of a run: one JSON object a line, "step" first: one line a step, and one more where the loss on
 * held-out data was measured. What belongs to a step is written before that step's checkpoint, so that a resumed run,
 * which cuts back to the checkpoint, has each step once. */
#ifndef DEMIST_CORE_RUN_LOG_H
#define DEMIST_CORE_RUN_LOG_H

#include "base/folder.h"

/* A number of a step, for the log and for TensorBoard. */
typedef struct dm_field { const char *name; double value; } dm_field;

typedef struct dm_run_log dm_run_log;

/* Opens for appending, having dropped the lines of steps above `last`, broken lines and a torn tail;
 * last = -1 begins anew. in may be NULL: name is a path then. */
dm_status dm_run_log_open(const dm_folder *in, const char *name, int64_t last, dm_run_log **out, dm_err *err);
/* One line, written at once. A number that is not finite becomes null. */
dm_status dm_run_log_put(dm_run_log *l, int64_t step, const dm_field *f, int n, dm_err *err);
void dm_run_log_close(dm_run_log *l);

/* The named numbers of all whole lines: values[row * n + i], NaN where a line lacks one; on the heap. */
dm_status dm_run_log_read(const dm_folder *in, const char *name, const char *const *names, int n, double **values,
                          int64_t *rows, dm_err *err);
/* The last finite one of each among the log's last lines (256 KiB of them), NaN where there is none. */
dm_status dm_run_log_last(const dm_folder *in, const char *name, const char *const *names, int n, double *values,
                          dm_err *err);

#endif
