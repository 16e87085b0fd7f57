/* `demist plugin test`: what a plugin has to keep to, as checks that run each in a process of its own, so that one that
 * crashes or hangs costs no other. A check is a row of plugin_test_checks; it says what it finds wrong, and what to do
 * about it, by plugin_test_fail. */
#ifndef DEMIST_CLI_PLUGIN_TEST_H
#define DEMIST_CLI_PLUGIN_TEST_H

#include <demist/demist.h>

#include "base/arena.h"
#include "experiment/experiment.h"
#include "session/session.h"

typedef struct plugin_test {
    const char *file;              /* absolute */
    const char *device;            /* "0:0"; NULL in a check that needs none */
    const char *const *given;      /* "parameter=value" of the plugin, "section.key=value" of the experiment */
    int n_given;
    double order;                  /* what its author says; 0 = nothing */
    dm_arena *arena;
    dm_registry *registry;
    const dm_plugin *plugin;
    dm_kind kind;
    const char *folder;            /* for files of this check; gone after it */
    const struct plugin_test_data *datas; /* of plugin_test_list, where data were given */
    int failed;
} plugin_test;

typedef struct plugin_test_check {
    const char *name;
    uint32_t kinds;                /* PLUGIN_TEST_OF(kind) | ... */
    bool device;                   /* once on each platform */
    void (*run)(plugin_test *t);
    const char *what;              /* what it makes sure of: "each default is checked" */
} plugin_test_check;
#define PLUGIN_TEST_OF(kind) (UINT32_C(1) << (kind))
/* Ends with a NULL name. */
extern const plugin_test_check plugin_test_checks[];
const plugin_test_check *plugin_test_find(const char *name);

/* One check, in this process: what it finds goes to standard output, a line each. False where it failed, or could not
 * be tried: then err says why. */
bool plugin_test_run_check(plugin_test *t, const plugin_test_check *c, dm_err *err);
/* A temporary folder and all that is in it; links are not followed. */
void plugin_test_remove(const char *folder);

/* ---- for checks ------------------------------------------------------------------------------------- */

/* What is wrong, where, and what to do. */
void plugin_test_fail(plugin_test *t, const char *fmt, ...) DM_PRINTF(2, 3);
/* What is worth knowing. */
void plugin_test_note(plugin_test *t, const char *fmt, ...) DM_PRINTF(2, 3);

/* What the experiment of a check is: a mixture of two Gaussians in the plane with its exact prediction, and the plugin
 * under test in its section. The name of the file;
 * `changes`, "key=value" each, ends with NULL. Both live as long as the check. */
const char *plugin_test_experiment(plugin_test *t);
typedef struct plugin_test_overrides { const char **item; int n; } plugin_test_overrides;
plugin_test_overrides plugin_test_change(plugin_test *t, const char *const *changes);
/* "change 4" in a message as what it is: "network.width=4". */
void plugin_test_name_change(const plugin_test_overrides *o, dm_err *err);
extern const dm_callbacks plugin_test_callbacks;
#define PLUGIN_TEST_CHANGES(...) (const char *const[]){__VA_ARGS__, NULL}
#define PLUGIN_TEST_AS_IT_IS ((const char *const[]){NULL})
/* The mixture in double precision: E[x0 | x0 + s eps = y] of one of the two axes' common coordinates. */
enum { PLUGIN_TEST_D = 2 };
void plugin_test_denoised(const double y[PLUGIN_TEST_D], double s, double x0[PLUGIN_TEST_D]);
#define PLUGIN_TEST_MEAN 0.22      /* of each coordinate of the data, and their variance */
#define PLUGIN_TEST_VARIANCE 0.4056

/* A session as far as it goes without a device; data NULL: as the experiment's section says, else there is none. All
 * faults, one a line, in *text, "" where there are none; on the arena. Free it with dm_session_fini. */
dm_status plugin_test_examine(plugin_test *t, const char *const *changes, const dm_data_info *data, dm_session *s,
                              const char **text, dm_err *err);
/* The first of such faults without its place: "network.use: mlp: is for points". */
const char *plugin_test_reason(plugin_test *t, const char *text);
/* A model on the device, trained for so many steps. */
dm_status plugin_test_train(plugin_test *t, const char *const *changes, dm_model **out, dm_err *err);
/* Samples of it into x f32[n,...], which is allocated; free it. seed 0: that of the experiment. */
typedef struct plugin_test_draw {
    const char *const *changes;    /* NULL: none */
    int64_t n, first, seed;
    const float *noise;            /* f32[n,...], NULL: drawn */
    const int32_t *labels;
} plugin_test_draw;
dm_status plugin_test_sample(dm_model *m, const plugin_test_draw *d, float **x, int64_t *count, dm_err *err);
/* The place of the first value that is not finite; -1 where all are. */
int64_t plugin_test_bad(const float *x, int64_t n);
/* Largest difference, of the largest value. */
double plugin_test_difference(const float *a, const float *b, int64_t n);
/* Some samples together and each alone: they may differ by `most` of their size. labels: NULL, or one each. */
enum { PLUGIN_TEST_FEW = 6 };
void plugin_test_compare_alone(plugin_test *t, dm_model *m, const int32_t *labels, double most);

/* ---- the checks, by what they are of -------------------------------------------------------------------- */
void plugin_test_table(plugin_test *t);
void plugin_test_defaults(plugin_test *t);
void plugin_test_parameters(plugin_test *t);
void plugin_test_leaks(plugin_test *t);
void plugin_test_schedule(plugin_test *t);
void plugin_test_grid(plugin_test *t);
void plugin_test_dataset(plugin_test *t);
void plugin_test_readers(plugin_test *t);
void plugin_test_objective(plugin_test *t);
void plugin_test_loss(plugin_test *t);
void plugin_test_training(plugin_test *t);
void plugin_test_network(plugin_test *t);
void plugin_test_outputs(plugin_test *t);
void plugin_test_ops(plugin_test *t);
void plugin_test_samples(plugin_test *t);
void plugin_test_order(plugin_test *t);
void plugin_test_alone(plugin_test *t);

/* ---- the command --------------------------------------------------------------------------------------- */

typedef struct plugin_test_request {
    const char *file, *order, *check, *device;
    int64_t limit;                 /* seconds */
    bool json;
    const char *const *given;
    int n_given;
} plugin_test_request;
/* All checks, each in a process of its own, on every platform; the exit code. */
int plugin_test_all(const plugin_test_request *q);

typedef struct plugin_test_build {
    const char *file, *folder;     /* NAME.c; NULL: the user's folder of plugins */
    bool quiet;                    /* where it is is not said */
    bool watch;                    /* again at each change, and tested, until a signal comes */
    const char *const *given;      /* for the tests */
    int n_given;
} plugin_test_build;
/* Compiles into FOLDER/NAME.so; the exit code. */
int plugin_test_build_file(const plugin_test_build *q);

#endif
