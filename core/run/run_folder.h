/* The run folder: who may write it, and what lies where.
 *     lock                     held while a process writes the run
 *     resolved.yaml env.json   the experiment, and with what it ran
 *     choices.json             what the plan chose, kept for a resumed run
 *     log.jsonl log.txt        numbers (run_log.h), messages
 *     tb/                      TensorBoard events (tb_events.h)
 *     checkpoints/step-00001000.safetensors
 *     checkpoints/best.safetensors  that of the least held-out loss (train.validate_every)
 *     samples/ plots/          grids during training, curves: PNG
 *     eval/quality.json        the last report of each metric, written by `demist eval` */
#ifndef DEMIST_CORE_RUN_FOLDER_H
#define DEMIST_CORE_RUN_FOLDER_H

#include "format/safetensors.h"
#include "run/run_paths.h"

typedef enum dm_run_mode {
    DM_RUN_NEW,                    /* refused where a run is there, DM_EINVAL */
    DM_RUN_RESUME,                 /* refused where none is, DM_ENOENT */
    DM_RUN_OVERWRITE               /* one may be there; dm_run_clear removes it */
} dm_run_mode;

typedef struct dm_run dm_run;

/* Makes the folder and takes its lock until dm_run_close; DM_EINVAL while another process has it. Leftovers
 * of interrupted writes are removed. A new run writes DM_RUN_CONFIG before anything else: by it a run is known. */
dm_status dm_run_open(const char *dir, dm_run_mode mode, dm_run **out, dm_err *err);
/* Removes what an earlier run left, for DM_RUN_OVERWRITE: once nothing more can be found wrong with the new one. */
dm_status dm_run_clear(const dm_run *r, dm_err *err);
/* Whether a run could be there, as far as can be seen without writing; DM_EINVAL says why not. */
dm_status dm_run_possible(const char *dir, dm_err *err);
void dm_run_close(dm_run *r);
const dm_folder *dm_run_folder(const dm_run *r);
/* Whether a process has the lock of the run in this folder. */
bool dm_run_in_use(const dm_folder *f);

/* A small file below the folder, whole or not at all. */
dm_status dm_run_write(const dm_run *r, const char *name, const void *data, size_t n, dm_err *err);

struct json_t;

/* env.json: demist, the system, the libraries, the command line, the pairs (device, driver, ...), and the plugins,
 * which are taken; NULL = none. After dm_json_begin where there are some. */
dm_status dm_run_write_env(const dm_run *r, int argc, const char *const *argv, const dm_pair *more, int n,
                           struct json_t *plugins, dm_err *err);

/* Checkpoints need no lock to be read; dir is the run folder. */
char *dm_checkpoint_path(const char *dir, int64_t step);
enum { DM_CHECKPOINT_NAME = 64 };
/* Its name in the folder; returns it. */
const char *dm_checkpoint_name(int64_t step, char name[DM_CHECKPOINT_NAME]);
/* Steps, newest first, whole or not; on the heap. None is no error. */
dm_status dm_checkpoint_list(const char *dir, int64_t **steps, int *n, dm_err *err);
/* Opens the newest whole one. DM_ENOENT where there is none at all, DM_ECORRUPT where none is whole. skipped,
 * if not NULL, tells of the newest that is damaged: its msg is empty if none is. */
dm_status dm_checkpoint_latest(const char *dir, dm_st **out, int64_t *step, dm_err *skipped, dm_err *err);
/* After the checkpoint of `step` is durable: removes all but the newest `keep` up to it, and none above it. Those of
 * the spared steps stay too: what is newer than the checkpoint that the run went on from may be whole after all. */
dm_status dm_checkpoint_prune(const dm_folder *f, int64_t step, int64_t keep, const int64_t *spared, int n,
                              dm_err *err);

#endif
