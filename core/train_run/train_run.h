/* Pieces of a training run that stand on their own: may it be resumed, sample grids, held-out loss. */
#ifndef DEMIST_CORE_TRAIN_RUN_H
#define DEMIST_CORE_TRAIN_RUN_H

#include "sample/sample_job.h"
#include "run/run_folder.h"
#include "run/tb_events.h"
#include "eval/validation.h"

/* What a run has kept as its experiment, in today's keys: text as it is where it cannot be read; on the heap, NULL when
 * memory is exhausted. */
char *dm_resume_today(const char *text, dm_registry *plugins);
/* Where the experiment says nothing of its grid, the run's holds, whose default may be that of an earlier demist. It
 * lies in *before, which outlives e. */
dm_status dm_resume_keep_grid(dm_experiment *e, const char *old, dm_registry *plugins, dm_experiment **before,
                              dm_err *err);
/* DM_EINVAL with the first key that may not change when a run goes on: old and now are resolved experiments.
 * Those that decide only how long it goes on, what it logs and how it samples may. */
dm_status dm_resume_compare(const char *old, const char *now, const char *dir, dm_err *err);

/* samples/step-00001000.png from fixed noise, by the first average or the raw weights, also as a TensorBoard image. The
 * session's ranks draw a part each; the first writes, and what fails there the others have to be told. folder, events:
 * NULL on the others. */
dm_status dm_train_samples(dm_session *s, const dm_run *folder, dm_tb *events, const dm_train_state *state, double wall,
                           dm_err *err);

/* Measures, by all ranks together, and writes val_loss and val_band_1.. of the step to the log and to TensorBoard. log,
 * events: NULL on all ranks but the first; what fails in writing the others have to be told. */
dm_status dm_train_validate(dm_validation *v, dm_run_log *log, dm_tb *events, int64_t step, double wall, double *loss,
                            dm_err *err);
/* The held-out loss of the run's best checkpoint, as its metadata says; infinite where there is no whole one. */
#define DM_BEST_LOSS "val_loss"
dm_status dm_best_loss(const dm_folder *run, double *loss, dm_err *err);

#endif
