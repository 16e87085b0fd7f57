/* What a command works with: an experiment with its plugins, noise process, device and model, opened
 * together from a YAML file or from what a training run left. */
#ifndef DEMIST_CORE_SESSION_H
#define DEMIST_CORE_SESSION_H

#include <demist/demist.h>

#include "model/checkpoint.h"
#include "base/log.h"
#include "model/model.h"
#include "base/number.h"

/* What of an experiment must be there and sound; each has the ones before it. */
typedef enum dm_need {
    DM_NEED_NETWORK,               /* not its data: what they are, if it matters, is known otherwise */
    DM_NEED_DATA,                  /* also data, as training goes on with them, and a place for the run */
    DM_NEED_START,                 /* also what a new run begins with */
    DM_NEED_ALL                    /* also what only others read later: a test split for evaluations */
} dm_need;

typedef struct dm_session {
    dm_registry *registry;
    dm_experiment *experiment;
    dm_noise *noise;               /* NULL where the experiment has no schedule */
    dm_device *device;
    dm_choices *choices;
    dm_model *model;
    dm_data_info data;
    dm_services data_services;
    struct dm_data *examples;      /* the training split, of a session that needs data; else NULL */
    int64_t label_width;           /* labels are vectors of so many elements; 0 = classes, if the data has them */
    dm_st *checkpoint;             /* sessions from a run; NULL otherwise */
    dm_st *start;                  /* what train.from names, once opened; NULL without */
    int64_t step;
    const char *const *overrides;  /* the caller's */
    int n_overrides;
    dm_callbacks callbacks;
    bool keeps_on;          /* kernels are built although it is cancelled: training, once begun, stops between steps */
    double compiling_since; /* seconds of the monotonic clock; 0 = nothing was compiled yet, below 0 = it was said */
    dm_log *log;                   /* to callbacks.log and, while a run is written, to its log.txt */
} dm_session;

/* Reads the experiment, finds its plugins, makes the noise process. All faults go to the log, each with its place.
 * From DM_NEED_DATA on, s->examples is opened, and all that training needs is tried. */
dm_status dm_session_read(dm_session *s, const char *experiment, const char *const *overrides, int n, dm_need need,
                          const dm_callbacks *cb, dm_err *err);
/* The same from a run folder, a checkpoint or a model of another program (foreign.h), with the data's facts and the
 * weights' file. */
dm_status dm_session_read_run(dm_session *s, const char *run, const char *const *overrides, int n,
                              const dm_callbacks *cb, dm_err *err);
/* The same from an experiment's text, called name, without weights; overrides may replace its parts. */
dm_status dm_session_read_text(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                               const dm_callbacks *cb, dm_err *err);
/* Opens the device and makes the model; s->data must be known. */
dm_status dm_session_open(dm_session *s, bool profile, dm_err *err);
/* A set of weights from the checkpoint: the first average unless raw or there is none. */
dm_status dm_session_weights(dm_session *s, bool raw, dm_wset **out, dm_err *err);
/* Opens what a run folder (its newest whole checkpoint, whose step comes back), a file or a model of another program
 * has. */
dm_status dm_session_source(const dm_session *s, const char *run, dm_st **out, int64_t *step, dm_err *err);
/* What the names of such weights begin with there. */
const char *dm_session_prefix(const dm_st *f, bool raw);
/* DM_ECORRUPT unless they are this layout's; what is missing, too many or of another shape goes to the log, all of it.
 * DM_EINVAL where an override made the session's model another than was trained. */
dm_status dm_session_fits(dm_session *s, const dm_layout *l, const dm_st *f, bool raw, dm_err *err);
/* Warns of each value of the network, dropout aside, that was another where these weights, called from, were made. */
void dm_session_compare_network(const dm_session *s, const dm_st *f, const char *from);
void dm_session_fini(dm_session *s);

void dm_session_log(const dm_session *s, dm_log_level level, const char *fmt, ...) DM_PRINTF(3, 4);
/* A line a kernel: time, FLOP/s, GB/s. */
dm_status dm_session_log_profile(const dm_session *s, dm_err *err);

/* How data's facts travel in a checkpoint's metadata: "demist.data.shape" and so on. text: room for the values. */
typedef struct dm_data_meta { char shape[96], classes[16], levels[16], low[DM_NUMBER_TEXT],
                             high[DM_NUMBER_TEXT]; } dm_data_meta;
enum { DM_DATA_PAIRS = 5 };
void dm_data_meta_write(const dm_data_info *data, dm_data_meta *text, dm_st_pair pairs[DM_DATA_PAIRS]);
dm_status dm_data_meta_read(const dm_st *f, dm_data_info *data, dm_err *err);

#endif
