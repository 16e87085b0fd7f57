/* demist sweep: a grid of experiments, each measured, resumed where it was interrupted.
 * grid.c makes the cells, run_name.c names their runs, cell.c trains and measures one, ranks.c shares them among ranks,
 * picture.c draws its samples, table.c writes what came of all. */
#ifndef DEMIST_SWEEP_H
#define DEMIST_SWEEP_H

#include <sha256.h>

#include "base/arena.h"
#include "eval/eval.h"
#include "session/session.h"

enum { SWEEP_AXES = 8, SWEEP_CELLS = 10000, SWEEP_HEX = 24 };

/* A key and its values; section and name are its parts, name "" where the value is a whole section. */
typedef struct sweep_axis {
    const char *key;
    const char **value;
    int n;
    dm_section_id section;
    const char *name;
    bool trains;                   /* another value is another training run */
} sweep_axis;

typedef enum sweep_state { SWEEP_PLANNED, SWEEP_DONE, SWEEP_REFUSED, SWEEP_FAILED } sweep_state;

typedef struct sweep_cell {
    int value[SWEEP_AXES];         /* of each axis; -1 where the key means nothing to the cell's plugin */
    const char **overrides;        /* the command line's and the cell's */
    int n_overrides;
    const char *experiment;        /* resolved; NULL where refused */
    sweep_state state;
    dm_status code;                /* why it failed */
    char why[300];                 /* of a cell that is refused or failed */
    bool kept;                     /* measured by an earlier call */
    bool told;                     /* what came of it was said */
    json_t *report;                /* of the metric */
    int64_t step;                  /* of the checkpoint */
    const char *picture;           /* of its samples, in the sweep's folder; NULL where there is none */
    double seconds;                /* that the measurement took; of quality, sampling */
} sweep_cell;

typedef struct sweep_fault { char text[300]; } sweep_fault;

typedef struct sweep {
    dm_arena *arena;
    const char *base;              /* an experiment, or a run where is_run */
    bool is_run;
    const char *const *fixed;      /* overrides for all cells */
    int n_fixed;
    sweep_axis axis[SWEEP_AXES];
    int n_axes;
    sweep_cell *cell;
    int n;
    const char *dir;               /* of results */
    dm_folder folder;              /* the same, open */
    const char *output;            /* run folder of the experiment as it is, or the run */
    const char *run_text;          /* of a run: its experiment */
    const eval_metric *metric;
    const eval_column *columns;    /* of the tables: the metric's, and what only some cells have */
    eval_request request;          /* of all cells: callbacks, features, count, raw */
    char features[80];             /* the network of the features, by its checkpoint */
    int64_t samples;               /* drawn of each cell; 0 = none */
    const char *ready;             /* the run that is trained and known, and its checkpoint */
    char checkpoint[80];
    int64_t step;
    sweep_fault heard;             /* of the cell that runs */
    dm_comm *comm;                 /* the ranks that have a part of the cells each */
} sweep;

/* Keeps the first error of what is logged, without where it is: rows of a table show it. */
void sweep_hear(sweep_fault *first, dm_log_level level, const char *line);

/* "key=a,b,[c, d]" as a further axis: commas inside brackets, braces and quotes do not separate. */
dm_status sweep_add_axis(sweep *s, const char *text, dm_err *err);
/* The cells of all axes, the first axis slowest. A key that a cell's plugin does not take is left out of that cell,
 * and cells that are then alike become one. Those that the experiment's checks refuse say why. */
dm_status sweep_make_cells(sweep *s, dm_err *err);
/* "sampler.use=ddpm sampler.steps=50" */
const char *sweep_cell_name(const sweep *s, const sweep_cell *c);
/* Seconds for one image, NaN unless it is known. */
double sweep_cell_pace(const sweep_cell *c);

/* Trains what is not trained, measures what is not measured, keeps it in s->dir. What fails there is the cell's
 * state; the status is DM_ECANCELLED, or a failure that every further cell would meet. */
dm_status sweep_run_cell(sweep *s, sweep_cell *c, dm_err *err);
/* The first half of that: its run is trained. */
dm_status sweep_train_cell(sweep *s, sweep_cell *c, dm_err *err);
/* Whether its run is trained and it was measured; reads alone. */
dm_status sweep_has_result(sweep *s, const sweep_cell *c, bool *yes, dm_err *err);
/* All cells, by all ranks: first the runs that are to be trained, each by one rank, then the cells, each by one. All
 * ranks know the states of all cells afterwards, the first one their results too. told: called for each cell once its
 * state is known, on that rank and on the first. Fails on all ranks. */
dm_status sweep_run_together(sweep *s, void (*told)(const sweep *s, const dm_callbacks *cb, int k),
                             const dm_callbacks *cb, dm_err *err);
/* Draws its samples and keeps them: c->picture. hash: of what they follow from. */
dm_status sweep_draw_cell(sweep *s, sweep_cell *c, const char *run, const char *hash, dm_err *err);
/* "sampler.KEY=VALUE" of all keys, those of the grid and the guidance, and the device: so that a run's weights are
 * sampled as the cell says. */
dm_status sweep_sampling_overrides(sweep *s, const sweep_cell *c, const char ***out, int *n, dm_err *err);

/* The run folder whose weights are measured: where training keys are swept, one called by them in s->dir/runs. NULL
 * when memory is exhausted. */
const char *sweep_run_folder(sweep *s, const sweep_cell *c);
/* What decides the weights, and with `sampling` also what decides samples and their speed; not where the run lies. */
void sweep_hash_experiment(SHA2_CTX *ctx, const char *text, bool sampling);
const char *sweep_hex(sweep *s, SHA2_CTX *ctx);
/* Which checkpoint: its step and checksum. */
dm_status sweep_identify(const char *run, char *text, size_t n, int64_t *step, dm_err *err);

/* Which columns there are, once the cells are measured. */
dm_status sweep_choose_columns(sweep *s, dm_err *err);
/* A number of a report by its path, NaN where there is none. */
double sweep_number(const json_t *report, const char *path);
/* sweep.csv, sweep.md, sweep.json and, with what gnuplot can draw, sweep.png in s->dir. */
dm_status sweep_write_tables(const sweep *s, dm_err *err);
dm_status sweep_plot(const sweep *s, dm_err *err);
/* The Markdown table, which is for the terminal too. */
void sweep_print_table(const sweep *s, FILE *to);

#endif
