/* An experiment: a YAML file with its overrides, typed, defaulted and checked, every value with
 * where it came from. */
#ifndef DEMIST_CORE_EXPERIMENT_H
#define DEMIST_CORE_EXPERIMENT_H

#include "base/arena.h"
#include "base/error.h"
#include "settings/faults.h"
#include "plugin/instance.h"
#include "plugin/registry.h"
#include "settings/settings.h"

typedef struct dm_section {
    bool present;                  /* the file has it */
    const dm_plugin *plugin;       /* NULL where absent or the section takes none */
    void *cfg;                     /* the plugin's filled config struct; NULL if it has none */
    dm_mark at, use_at;            /* of the section, of the file where it is absent; of the plugin's name */
    const char **from;             /* a place or "default" for each of the host's rows, then the plugin's */
    dm_mark *marks;                /* of each of these values; of the section where it is not said */
    int faults;                    /* found in it; with 0 it may be used whatever is wrong elsewhere */
} dm_section;

typedef struct dm_experiment {
    dm_arena *arena;               /* owns everything here */
    dm_set_run run;
    dm_set_data data;
    dm_set_condition condition;
    dm_set_schedule schedule;
    dm_set_objective objective;
    dm_set_sampler sampler;
    dm_set_guidance guidance;
    dm_set_train train;
    dm_section section[DM_SEC_COUNT];
    const char *file;              /* as given */
    const char *dir;               /* absolute folder of the file; relative paths in it start there */
    const char *output;            /* absolute run folder */
    dm_plugin_log plugin_log;      /* of its plugins */
    int32_t listed;                /* steps that the grid itself has; 0: as many as it is asked for */
} dm_experiment;

typedef struct dm_experiment_options {
    const char *const *overrides;  /* "key.path=value" each */
    int n_overrides;
    /* How faults name them: the caller's, then n_options more, by their key, that came as options of their own; those
     * behind the first `opened` are of a later call and counted anew. */
    const char *override_name;     /* before the number; NULL = "command line: argument" */
    int opened, n_options;
    bool partial;                  /* network and objective may be absent (looking at a schedule alone) */
    bool need_data;                /* an absent data section is a fault (train); sampling does without */
    bool lenient_data;             /* the data's files need not be there, nor its plugin (sampling from a run) */
    bool kept;                     /* a text that a run has kept, of this demist or an earlier one: keys of plugins that
                                    * it lacks were not there then (dm_plugin.earlier) */
    dm_plugin_log plugin_log;      /* of its plugins, from reading on: a grid is asked for its steps */
    bool keep;                     /* *out is set also where it is wrong, unless the text cannot be read */
} dm_experiment_options;

/* Reads, checks and resolves. Where the experiment is wrong, all faults are in *faults, and err has the first
 * and its code: DM_EINVAL, or DM_EABI for a plugin that was refused. Each override is an argument "key=value";
 * faults name it by its place, from 1. Plugins are found through reg, which must outlive the
 * experiment and whose path gains the experiment's plugin_path. o and faults may be NULL. */
dm_status dm_experiment_load(const char *path, const dm_experiment_options *o, dm_registry *reg, dm_experiment **out,
                             dm_faults *faults, dm_err *err);
/* The same from text; name stands for the file, dir (itself relative to the current directory) is where relative
 * paths start. */
dm_status dm_experiment_parse(const char *text, size_t n, const char *name, const char *dir,
                              const dm_experiment_options *o, dm_registry *reg, dm_experiment **out, dm_faults *faults,
                              dm_err *err);
void dm_experiment_free(dm_experiment *e);

/* Whether the section sampler had this key before there were grids; it is read as one of theirs. */
bool dm_experiment_former_key(const char *key);

/* Each value of a section's plugin that differs, as YAML; nothing where the plugins do. */
void dm_experiment_differences(const dm_experiment *a, const dm_experiment *b, dm_section_id id,
                               void (*line)(void *user, const char *key, const char *a, const char *b), void *user);

/* What a plugin, or the host in its place, found wrong with a section, as one more fault: at the key whose name its
 * message begins with ("channels: ...", "data.size ..."), at the path that it quotes, or else at the plugin's name. */
void dm_experiment_fault(const dm_experiment *e, dm_section_id id, const dm_err *why, dm_faults *f);

/* Does its sampler choose its own steps? Then nobody knows how many there will be, and sampler.steps is the most. */
bool dm_experiment_chooses_steps(const dm_experiment *e);

/* The fully resolved YAML, defaults included, which parses to the same experiment; on the heap.
 * comments: each line says where its value came from. NULL when memory is exhausted. */
char *dm_experiment_print(const dm_experiment *e, bool comments);

#endif
