/* Another model that guides; see guide.h. */
#include "sample/guide.h"

#include "device/kernels.h"
#include "model/forwards.h"
#include "model/objective.h"
#include "session/session_read.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>

struct dm_guide {
    dm_session s; /* its device and choices are another's */
    dm_wset *weights;
    dm_forwards *forwards;
    dm_buf *x; /* as its own schedule has it */
    double *c_in, *c_noise;
    int64_t n;
};

/* On the same device in the same precision; what guided that model in turn is left out. */
static dm_status open_on(dm_guide *g, dm_session *s, const char *run, dm_err *err)
{
    static const char *const precisions[] = {[DM_PRECISION_FP32] = "precision=fp32",
                                             [DM_PRECISION_BF16] = "precision=bf16",
                                             [DM_PRECISION_FP16] = "precision=fp16"};
    const char *const overrides[] = {precisions[s->experiment->run.precision], "device=auto", "guidance.use=none",
                                     "guidance.guide="};
    dm_status rc;

    if ((rc = dm_session_read_run(&g->s, run, overrides, 4, &s->callbacks, err)))
        return rc;
    if ((rc = dm_session_guide_fits(s, &g->s.data, run, err)) ||
        (rc = dm_net_new(g->s.experiment, g->s.noise, s->device, &g->s.data, g->s.label_width, &g->s.model, err)))
        return rc;
    if (!dm_conditions_same(dm_net_conditions(s->model), dm_net_conditions(g->s.model)))
        return dm_error(err, DM_EINVAL, "'%s' is conditioned on %s, this model on %s; a guide needs the same "
                                        "conditions", run,
                        dm_conditions_show(dm_net_conditions(g->s.model), g->s.data.classes).text,
                        dm_conditions_show(dm_net_conditions(s->model), s->data.classes).text);
    if (!dm_net_diffuses(g->s.model) || g->s.label_width)
        return dm_error(err, DM_EINVAL, "'%s' is not a model that can be sampled", run);
    dm_net_use(g->s.model, s->choices);
    g->s.device = s->device;
    if ((rc = dm_session_weights(&g->s, false, &g->weights, err)))
        return rc;
    return dm_forwards_new(g->s.model, g->weights, &g->forwards, err);
}

dm_status dm_guide_open(dm_session *s, const char *run, dm_guide **out, dm_err *err)
{
    dm_guide *g = calloc(1, sizeof *g);
    dm_status rc;

    if (!g)
        return dm_error(err, DM_ENOMEM, "out of memory for another model");
    if ((rc = open_on(g, s, run, err))) {
        dm_error_prefix(err, "guidance.guide: ");
        dm_guide_close(g);
        return rc;
    }
    *out = g;
    return DM_OK;
}

void dm_guide_close(dm_guide *g)
{
    if (!g)
        return;
    dm_forwards_free(g->forwards);
    dm_wset_free(g->weights);
    dm_buf_free(g->x);
    g->s.device = NULL;
    dm_session_fini(&g->s);
    free(g->c_in);
    free(g->c_noise);
    free(g);
}

static dm_status for_batches_of(dm_guide *g, int64_t n, dm_err *err)
{
    if (g->n == n)
        return DM_OK;
    dm_buf_free(g->x);
    free(g->c_in);
    free(g->c_noise);
    g->x = NULL;
    g->n = n;
    g->c_in = calloc((size_t)n, sizeof *g->c_in);
    g->c_noise = calloc((size_t)n, sizeof *g->c_noise);
    if (!g->c_in || !g->c_noise)
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)n);
    return dm_buf_new(g->s.device, (size_t)(n * dm_shape_count(&g->s.data.shape)) * sizeof(float), "guidance", &g->x,
                      err);
}

int64_t dm_guide_out_channels(const dm_guide *g) { return dm_net_out_channels(g->s.model); }

dm_status dm_guide_predict(dm_guide *g, dm_buf *x, int64_t n, const dm_point *p, const int32_t *labels,
                           const dm_condition_batch *conditions, uint64_t serial, dm_said *said, dm_err *err)
{
    const int64_t example = dm_shape_count(&g->s.data.shape);
    dm_forward *f;
    dm_affine a;
    dm_point at;
    double k;
    dm_status rc;

    dm_noise_at_log_snr(g->s.noise, p->log_snr, &at);
    k = hypot(at.alpha, at.sigma) / hypot(p->alpha, p->sigma);
    if ((rc = for_batches_of(g, n, err)) || (rc = dm_objective_affine(dm_net_objective(g->s.model), &at, &a, err)) ||
        (rc = dm_forwards_get(g->forwards, n, NULL, 0, &f, err)) ||
        (rc = dm_launch_sum(g->s.device, g->x, &k, &x, 1, n * example, err)) ||
        (rc = dm_buf_copy(g->x, 0, dm_forward_input(f), 0, dm_buf_bytes(g->x), err)) ||
        (rc = dm_forward_level(f, &at, &a, err)) ||
        (conditions->conditions && (rc = dm_forward_set_conditions(f, conditions, serial, err))))
        return rc;
    for (int64_t i = 0; i < n; i++) {
        g->c_in[i] = a.c_in;
        g->c_noise[i] = a.c_noise;
    }
    *said = (dm_said){g->x, dm_forward_output(f), at, a,
                      example / g->s.data.shape.dim[0] * dm_net_out_channels(g->s.model)};
    return dm_forward_run(f, g->c_in, g->c_noise, labels, err);
}
