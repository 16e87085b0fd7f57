/* demist eval: what its metrics share. Each is a file here with one row for the table in metrics.c. */
#ifndef DEMIST_EVAL_H
#define DEMIST_EVAL_H

#include <jansson.h>

#include "options/command.h"

typedef struct eval_request {
    const char *run, *metric, *json;
    const char *features, *layer, *images; /* quality */
    bool by_class;                 /* the same */
    const char *save, *plot;       /* quality and nll; nll */
    int64_t steps;                 /* nll: of the chain; 0 = all */
    bool ode;                      /* nll: by the probability-flow ODE */
    int64_t probes;                /* of that; 0 = as the library chooses */
    const char *weights;           /* loss: "all", or NULL */
    int64_t count;                 /* images; 0 = the metric's own */
    bool raw, force;
    bool silent;                   /* print no table, and write no file */
    bool ranks;                    /* those of the job work together */
    dm_quality_kept **kept;        /* quality: dm_quality_options.kept */
    const char *const *overrides;
    int32_t n_overrides;
    const dm_callbacks *callbacks;
} eval_request;

/* A figure of a report for a table: its name there, and its place in the report, as "samples.frechet". */
typedef struct eval_column { const char *name, *path; } eval_column;

typedef struct eval_metric {
    const char *name;
    const eval_column *columns;    /* for a sweep's table, what is plotted first; ends with a NULL name */
    eval_column sometimes;         /* one more, where a report has it */
    bool quality;                  /* takes --features, which it needs, --layer, --images, --count, --save */
    bool nll;                      /* takes --count, --steps, --ode, --probes, --save, --plot */
    bool count;                    /* takes --count and --weights all */
    /* Prints a table to stdout; *report, a new object, is what --json writes. */
    dm_status (*run)(const eval_request *r, json_t **report, dm_err *err);
} eval_metric;

/* For the row of --metric. */
#define EVAL_METRICS "quality|nll|loss|accuracy"
extern const eval_metric eval_accuracy, eval_loss, eval_nll, eval_quality;

/* NULL where there is none of this name. */
const eval_metric *eval_find(const char *name);
/* 0, or 2 after a usage error of command c was printed. */
int eval_usage(const cli_command *c, const eval_request *r, const eval_metric *m);

/* null where x is not finite. */
json_t *eval_number(double x);
/* The bound's n terms over t, and what they add up to from the data on; what is not finite is passed over. */
dm_status eval_plot_terms(const char *path, const double *t, const double *terms, int64_t n, dm_err *err);

#endif
