/* The names of what lies in a run folder. */
#ifndef DEMIST_CORE_RUN_PATHS_H
#define DEMIST_CORE_RUN_PATHS_H

#define DM_RUN_CONFIG "resolved.yaml"
#define DM_RUN_BEST "checkpoints/best.safetensors"
#define DM_RUN_LOG "log.jsonl"
#define DM_RUN_PLOT "plots/loss.png"
#define DM_RUN_EVENTS "tb/events.out.tfevents.0.demist"

/* dir/name; on the heap, NULL when memory is exhausted. */
char *dm_run_path(const char *dir, const char *name);

#endif
