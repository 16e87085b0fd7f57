/* What a command works with: an experiment with its plugins, noise process, device and model, opened
 * together from a YAML file or from what a training run left. */
#ifndef DEMIST_CORE_SESSION_H
#define DEMIST_CORE_SESSION_H

#include <demist/demist.h>

#include "comm/comm.h"
#include "model/checkpoint.h"
#include "base/log.h"
#include "model/net.h"
#include "text/number.h"

typedef struct dm_session {
    dm_registry *registry;
    dm_experiment *experiment;
    dm_noise *noise;               /* NULL where the experiment has no schedule */
    dm_comm *comm;                 /* the ranks that work together; the caller closes it. NULL = one alone */
    dm_device *device;             /* this rank's */
    dm_choices *choices;
    dm_net *model;
    dm_data_info data;
    dm_services data_services;
    struct dm_data *examples;      /* the training split, of a session that needs data; else NULL */
    int64_t label_width;           /* labels are vectors of so many elements; 0 = classes, if the data has them */
    dm_st *checkpoint;             /* sessions from a run; NULL otherwise */
    dm_st *start;                  /* what train.from names, once opened; NULL without */
    int64_t step;
    const char *const *overrides;  /* the caller's */
    int n_overrides;
    int n_options;                 /* of these, the last, that are options of the call that opened the session */
    bool kept;                     /* read from what a run has kept of its experiment */
    dm_callbacks callbacks;
    bool keeps_on;          /* kernels are built although it is cancelled: training, once begun, stops between steps */
    double compiling_since; /* seconds of the monotonic clock; 0 = nothing was compiled yet, below 0 = it was said */
    dm_log *log;                   /* to callbacks.log and, while a run is written, to its log.txt */
} dm_session;

/* Opens the device and makes the model; s->data must be known. */
dm_status dm_session_open(dm_session *s, bool profile, dm_err *err);
void dm_session_fini(dm_session *s);

void dm_session_log(const dm_session *s, dm_log_level level, const char *fmt, ...) DM_PRINTF(3, 4);
/* A line a kernel: time, FLOP/s, GB/s. */
dm_status dm_session_log_profile(const dm_session *s, dm_err *err);

#endif
