/* demist eval: what its metrics share. Each is a file eval_*.c with one row for the table in cmd_eval.c. */
#ifndef DEMIST_EVAL_H
#define DEMIST_EVAL_H

#include <jansson.h>

#include "cli.h"

typedef struct eval_request {
    const char *run, *metric, *json;
    const char *features, *layer, *images, *save; /* quality */
    int64_t count;                 /* images; 0 = the metric's own */
    bool raw, force;
    const char *const *overrides;
    int32_t n_overrides;
    dm_callbacks callbacks;
} eval_request;

typedef struct eval_metric {
    const char *name;
    bool quality;                  /* takes --features, which it needs, --layer, --images, --count, --save */
    /* Prints a table to stdout; *report, a new object, is what --json writes. */
    dm_status (*run)(const eval_request *r, json_t **report, dm_err *err);
} eval_metric;

extern const eval_metric eval_accuracy, eval_quality;

/* null where x is not finite. */
json_t *eval_number(double x);

#endif
