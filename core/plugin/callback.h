/* Calls into plugins: which callback of which plugin a thread is in. Host calls are refused where they do not belong
 * by it, a failure without a reason is given one, and a program can name the plugin that crashed or does not return. */
#ifndef DEMIST_CORE_CALLBACK_H
#define DEMIST_CORE_CALLBACK_H

#include "base/error.h"

struct dm_instance;

typedef enum dm_callback {
    DM_CB_NONE,                    /* no plugin is at work */
    DM_CB_FILL, DM_CB_AT,                                      /* schedules */
    DM_CB_GRID_STEPS, DM_CB_GRID_FILL,                         /* grids */
    DM_CB_GUIDANCE_CHECK, DM_CB_GUIDANCE_AT, DM_CB_GUIDANCE_BEGIN, DM_CB_GUIDE, /* guidance */
    DM_CB_CHECK, DM_CB_BEGIN, DM_CB_STEP, DM_CB_STEP_LOG_VAR,  /* samplers */
    DM_CB_BUILD,                                               /* networks */
    DM_CB_DATA_OPEN, DM_CB_READ, DM_CB_DATA_SHAPE, DM_CB_NAME, DM_CB_CLASS_NAME, /* data sets */
    DM_CB_READ_CONDITION,
    DM_CB_OPEN, DM_CB_AFFINE, DM_CB_LOG_VAR, DM_CB_SCALARS, DM_CB_LOSS, DM_CB_DRAW, /* objectives */
    DM_CB_OP_SHAPE, DM_CB_FORWARD, DM_CB_BACKWARD,             /* custom ops */
    DM_CB_CLOSE,
    DM_CB_COUNT
} dm_callback;
/* As the header names it, "step()"; an op's say "the op's forward()". */
const char *dm_callback_name(dm_callback c);
#define DM_IN(c) (UINT32_C(1) << (c))

/* rc = DM_CALL(instance, DM_CB_STEP, err, p->step(&instance->ctx, &step)): the callback's status, err set where it is
 * not DM_OK ("plugin 'name': why", or that it gave no reason). Within one thread calls may nest. The call writes its
 * reason to the instance's own error; DM_CALL_WITH is for a context with another one. */
#define DM_CALL(i, which, to, call) DM_CALL_WITH(i, which, &(i)->err, to, call)
#define DM_CALL_WITH(i, which, why, to, call) (dm_call_enter((i), (which), (why)), dm_call_leave((call), (to)))
void dm_call_enter(const struct dm_instance *i, dm_callback which, dm_err *why);
dm_status dm_call_leave(dm_status rc, dm_err *err);

/* The innermost call of this thread. */
const struct dm_instance *dm_call_instance(void);
dm_callback dm_call_which(void);

/* The host works for the plugin from here to the other: the plugin makes progress. */
void dm_call_host_enter(void);
void dm_call_host_leave(void);
/* A call of the host that takes no time to speak of: progress where a plugin is at work, nothing elsewhere. */
void dm_call_progress(void);

/* What a message says of a call: `which` is a callback's name, settings the parameters as "s=0.5 u=1". The strings
 * live as long as the plugin is open. */
typedef struct dm_call_info { const char *plugin, *kind, *file, *callback, *settings; } dm_call_info;
/* This thread's; false where no plugin is at work in it. May be called by a signal handler. */
bool dm_call_here(dm_call_info *out);
/* A call, of any thread, that has neither returned nor asked the host for anything for so long: "sampler plugin 'x' is
 * in step() with {eta: 0}". */
bool dm_call_stuck(double seconds, char *what, size_t n);
/* Is any thread in this callback of a plugin, whatever that has asked the host for? */
bool dm_call_anywhere(dm_callback which);

#endif
