/* Which implementation each op gets: by rule (the first that preferred), or by measurement on the device, once, within
 * a budget of time; what was measured is kept in the cache folder. A training run keeps its choices, so that one that
 * goes on makes the same. */
#ifndef DEMIST_CORE_CHOICES_H
#define DEMIST_CORE_CHOICES_H

#include <demist/demist.h>

#include "plan/measure.h"
#include "plan/refused.h"

typedef enum dm_tune {
    DM_TUNE_OFF,                   /* by rule alone */
    DM_TUNE_AUTO,                  /* what the cache has, and measured where the work ahead is worth it */
    DM_TUNE_ON                     /* all is measured that the cache does not have */
} dm_tune;

typedef struct dm_choices_options {
    dm_tune tune;
    bool deterministic;            /* by rule, and only what gives each example the same bits in any batch */
    bool high;                     /* products of f32 may be rounded more than f32 does, as implementations state */
    const dm_refused *refused;     /* what is known not to run; NULL: nothing */
    double budget;                 /* seconds of measuring at most, in all; below 0 = by tune */
    void (*log)(void *user, dm_log_level level, const char *line);
    bool (*stopped)(void *user);   /* nothing more is measured then; may be NULL */
    void *user;
} dm_choices_options;

typedef struct dm_choices dm_choices;

dm_status dm_choices_new(dm_device *d, const dm_choices_options *o, dm_choices **out, dm_err *err);
void dm_choices_free(dm_choices *c);
/* Seconds of measuring from now on, 0 = none; below 0 = by tune. */
void dm_choices_budget(dm_choices *c, double seconds);

/* The ops of one plan before it is made: runs is how often it is expected to run. What fails here is no error: it is
 * chosen by rule. */
void dm_choices_measure(dm_choices *c, const dm_opnode *const *ops, size_t n, double runs);

/* DM_EINVAL where `force` names an op or an implementation that does not exist at all. */
dm_status dm_force_check(const char *force, dm_err *err);

/* By rule: the first implementation that is preferred on this device for the op, of those that o allows (deterministic,
 * high, refused; NULL: neither), or the one that `force` names where that supports it. Where all that are preferred
 * were refused, the first that supports it; where none is left, DM_EDEVICE with the last reason. */
dm_status dm_choose(const dm_device_info *dev, const dm_opnode *n, const dm_choices_options *o, const char *force,
                    const dm_impl **out, bool *forced, dm_err *err);

typedef struct dm_choice { const dm_impl *impl; char why[160]; } dm_choice;
/* trains: packed weights of weights are made anew each run. force: "conv2d=portable,matmul=vec16" or "portable", NULL
 * = nothing; DM_EINVAL where one does not exist at all. c may be NULL: by rule. refused: of a plan without c. */
dm_status dm_choices_pick(dm_choices *c, const dm_refused *refused, const dm_device_info *dev, const dm_opnode *n,
                          const char *force, bool trains, dm_choice *out, dm_err *err);
/* impl cannot run on this device for n: it is not picked again, and the log says so once an implementation. False when
 * memory ran out. */
bool dm_choices_refuse(dm_choices *c, const dm_opnode *n, const dm_impl *impl, const char *why);

/* What was picked for plans that train, as a JSON object of the ops' keys and implementations' names. */
struct json_t *dm_choices_json(const dm_choices *c);
/* Picks of such an object come before all but forced ones. DM_EINVAL where it is none. */
dm_status dm_choices_keep(dm_choices *c, const struct json_t *j, dm_err *err);

/* ---- choices_cache.c: what was measured, one small file an op ---------------------------------------- */

/* The number of implementations; 0 = there is no entry, or none that can be trusted; -1 = memory is exhausted. */
int dm_choices_load(const dm_device *d, dm_op_kind kind, const char *key, dm_measured out[DM_MAX_CANDIDATES]);
/* A failure is no error: the next process measures again. */
void dm_choices_store(const dm_device *d, const char *key, const dm_measured *m, int n);

#endif
