/* Do an objective's affine() and loss() mean the same? Data of one value have an exact prediction, which the network
 * exact_gaussians gives as affine() has it: no other can have a smaller loss. */
#include "plugin_test/plugin_test.h"

#include <math.h>
#include <stdlib.h>

#include "model/net_make.h"
#include "plugin_test/settings.h"

enum { EXAMPLES = 4 };
static const double value = 2.0 * 160 / 255 - 1, away = 0.05; /* a level of 256 */

typedef struct trial {
    plugin_test *t;
    const plugin_test_data *d;
    const char *schedule;
    double predicted;              /* what the network says that x0 is */
    int first, n;                  /* of the examples */
} trial;

static const char *const *changes_of(const trial *r)
{
    dm_arena *a = r->t->arena;
    const char **c = dm_alloc_n(a, 6, sizeof *c);

    if (!c)
        return NULL;
    c[0] = "network.use=exact_gaussians";
    c[1] = dm_sprintf(a, "network.means=[%.9g]", r->predicted);
    c[2] = "network.deviations=[1e-6]";
    c[3] = "network.weights=[]";
    c[4] = r->schedule;
    return c[1] && c[4] ? c : NULL;
}

static dm_status run_step(const trial *r, dm_session *s, dm_net *net, dm_wset *weights, float *losses, dm_err *err)
{
    const int64_t D = dm_shape_count(&r->d->shape);
    const int32_t T = dm_noise_T(s->noise);
    dm_point at[EXAMPLES];
    double weight[EXAMPLES];
    int32_t labels[EXAMPLES] = {0};
    float *x0 = dm_array(r->n, D, sizeof *x0);
    const dm_grad_batch b = {.x0 = x0, .labels = r->d->classes ? labels : NULL, .at = at, .weight = weight, .seed = 7,
                             .first_index = (uint32_t)r->first};
    dm_grad_step *step = NULL;
    dm_status rc = x0 ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");

    for (int64_t i = 0; x0 && i < r->n * D; i++)
        x0[i] = (float)value;
    for (int i = 0; i < r->n; i++) {
        const double t = (0.2 + 0.18 * (r->first + i)) * T;

        dm_noise_at(s->noise, dm_noise_discrete(s->noise) ? ceil(t) : t, &at[i]);
        weight[i] = 1;
    }
    if (!rc && !(rc = dm_grad_step_new(net, weights, NULL, NULL, r->n, true, &step, err)) &&
        !(rc = dm_grad_step_run(step, &b, err)))
        rc = dm_grad_step_losses(step, losses, err);
    dm_grad_step_free(step);
    free(x0);
    return rc;
}

/* The losses of its examples; *refused: it does not go with that network or schedule. */
static dm_status losses_of(const trial *r, float *losses, bool *refused, dm_err *err)
{
    const dm_device_options options = {0};
    const dm_data_info data = plugin_test_info(r->d);
    const char *const *changes = changes_of(r), *text = "";
    dm_wset *weights = NULL;
    dm_net *net = NULL;
    dm_session s = {0};
    dm_status rc = changes ? plugin_test_examine(r->t, changes, &data, &s, &text, err)
                           : dm_error(err, DM_ENOMEM, "out of memory");

    *refused = *text;
    if (!rc && !*refused && !(rc = dm_device_open(r->t->device, &options, &s.device, err)) &&
        !(rc = dm_net_new(s.experiment, s.noise, s.device, &data, 0, &net, err)) &&
        !(rc = dm_wset_new(s.device, dm_net_layout(net), &weights, err)) &&
        !(rc = dm_buf_zero(dm_wset_flat(weights), 0, dm_buf_bytes(dm_wset_flat(weights)), err)))
        rc = run_step(r, &s, net, weights, losses, err);
    dm_wset_free(weights);
    dm_net_free(net);
    dm_session_fini(&s);
    return rc;
}

/* False where it was said. */
static bool compare_alone(const trial *all, const float *together, dm_err *err)
{
    for (int i = 0; i < EXAMPLES; i++) {
        trial one = *all;
        float alone;
        bool refused;

        one.first = i;
        one.n = 1;
        if (losses_of(&one, &alone, &refused, err))
            return false;
        if (fabs((double)alone - (double)together[i]) > 1e-3 * fmax(fabs((double)alone), 1e-9)) {
            plugin_test_fail(all->t, "the loss of an example is %.5g in a batch of %d and %.5g alone: loss() mixes the "
                             "examples; the host averages", (double)together[i], EXAMPLES, (double)alone);
            return false;
        }
    }
    return true;
}

/* With one schedule; false where it was refused, or something was said. */
static bool check_schedule(plugin_test *t, const plugin_test_data *d, const char *schedule)
{
    trial r = {t, d, schedule, value, 0, EXAMPLES};
    float best[EXAMPLES], more[EXAMPLES], less[EXAMPLES];
    bool refused = false;
    dm_err err = {0};
    dm_status rc = losses_of(&r, best, &refused, &err);

    if (!rc && refused)
        return false;
    r.predicted = value + away;
    if (!rc)
        rc = losses_of(&r, more, &refused, &err);
    r.predicted = value - away;
    if (!rc)
        rc = losses_of(&r, less, &refused, &err);
    for (int i = 0; i < EXAMPLES && !rc && !t->failed; i++) {
        const double other = fmin((double)more[i], (double)less[i]);

        if (!((double)best[i] <= other + 1e-4 * fabs(other) + 1e-9))
            plugin_test_fail(t, "%s: the loss is %.5g where the network's output means the data, by affine(), and %.5g "
                             "where it means something else: affine() and loss() differ in what the output is, or "
                             "loss() gives the network something else than c_in xt", schedule, (double)best[i], other);
    }
    if (!rc && !t->failed)
        compare_alone(&r, less, &err);
    if (err.code)
        plugin_test_fail(t, "%s: %s", schedule, err.msg);
    return !t->failed;
}

void plugin_test_loss(plugin_test *t)
{
    static const char *const schedules[] = {"schedule.use=linear", "schedule.use=edm", "schedule.use=flow"};
    const char *network = "network.use=exact_gaussians", *why = "";
    const plugin_test_data *d;
    dm_err err = {0};
    int good = 0;

    if (!t->plugin->objective->affine) {
        plugin_test_note(t, "it does not diffuse");
        return;
    }
    if (!(d = plugin_test_taken(t, PLUGIN_TEST_CHANGES(network), &why, &err))) {
        plugin_test_note(t, "not with an exact prediction: %.300s", err.code ? err.msg : why);
        return;
    }
    for (size_t k = 0; k < sizeof schedules / sizeof schedules[0] && !t->failed; k++)
        good += check_schedule(t, d, schedules[k]);
    if (!t->failed)
        plugin_test_note(t, "affine() and loss() agree with %d of %d schedules", good,
                         (int)(sizeof schedules / sizeof schedules[0]));
}
