/* Sampling; see sampling.h. */
#include "model/sampling_state.h"

#include "device/kernels.h"
#include "text/number.h"
#include "model/net.h"
#include "model/objective.h"
#include "device/ops.h"
#include "noise/noise_services.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const dm_walk *dm_sampling_walk(const dm_sampling *s) { return &s->grid; }
int32_t dm_sampling_steps(const dm_sampling *s) { return s->made; }
int64_t dm_sampling_evaluations(const dm_sampling *s) { return s->evaluations; }

double dm_sampling_amplification(dm_sampling *s)
{
    dm_instance *obj = s->setup.objective;
    dm_affine f;

    if (s->limit > 0 || s->dynamic || obj->plugin->objective->affine(&obj->ctx, &s->grid.points[0], &f))
        return 0;
    return fabs(f.c_out);
}

/* ---- what samplers call ------------------------------------------------------------------- */

/* What stands for memory where there is no device, and nothing reads or writes any. */
static dm_buf *nowhere(void)
{
    static char place;

    return (dm_buf *)(void *)&place;
}

static dm_tensor *tensor_like(dm_ctx *c, const dm_tensor *like)
{
    dm_sampling *s = dm_services_of(c)->sampling;
    dm_err *err = c->err;
    dm_tensor *t = &s->scratch[s->n_scratch];
    size_t bytes;

    if (!like || !like->buf) {
        dm_error(err, DM_EINVAL, "tensor_like was given no tensor: NULL, or one from before the last begin()");
        return NULL;
    }
    if (s->n_scratch == DM_MAX_SCRATCH) {
        dm_error(err, DM_ENOMEM, "tensor_like was called too often; a plugin may have %d tensors", DM_MAX_SCRATCH);
        return NULL;
    }
    bytes = (size_t)dm_shape_count(&like->shape) * sizeof(float);
    t->buf = s->kept[s->n_scratch];
    s->kept[s->n_scratch] = NULL;
    if (!s->setup.device) {
        t->buf = nowhere(); /* its steps are counted */
    } else if (!t->buf || dm_buf_bytes(t->buf) != bytes) {
        dm_buf_free(t->buf);
        t->buf = NULL;
        if (dm_buf_new(s->setup.device, bytes, "a sampler's scratch", &t->buf, err))
            return NULL;
    }
    t->shape = like->shape;
    t->unwritten = true;
    s->n_scratch++;
    return t;
}

static dm_status randn(dm_ctx *c, dm_tensor *t, int32_t draw)
{
    dm_sampling *s = dm_services_of(c)->sampling;
    dm_err *err = c->err;
    const size_t count = (size_t)(s->setup.n * s->inner);
    const dm_sampling_run_options *o = &s->run;

    if (!t || !t->buf)
        return dm_error(err, DM_EINVAL,
                        "randn was given no tensor to write to: NULL, or one from before the last begin()");
    if (draw < 0 || draw > 15 || dm_shape_count(&t->shape) != (int64_t)count)
        return dm_error(err, DM_EINVAL,
                        "randn was given draw %d and %lld elements; draws are 0 to 15, and tensors have x's shape",
                        (int)draw, (long long)dm_shape_count(&t->shape));
    t->unwritten = false;
    if (s->services.counting) {
        s->drawn++;
        return DM_OK;
    }
    if (o->z && s->drawn >= o->draws)
        return dm_error(err, DM_EINVAL, "the given noise z has %lld draws; this walk needs more", (long long)o->draws);
    if (o->z) {
        const float *from = o->z + ((size_t)s->drawn++ * (size_t)o->z_count + (size_t)o->z_first) * (size_t)s->inner;
        const int64_t there = o->z_count - o->z_first < s->setup.n ? o->z_count - o->z_first : s->setup.n;

        memset(s->host, 0, count * sizeof *s->host);
        memcpy(s->host, from, (size_t)(there * s->inner) * sizeof *s->host);
        return dm_buf_write(t->buf, 0, count * sizeof *s->host, s->host, err);
    }
    s->drawn++;
    return dm_launch_randn(s->setup.device, t->buf, s->setup.n, s->inner,
                        &(dm_randn){.seed = (uint64_t)s->setup.experiment->run.seed,
                                    .purpose = DM_PURPOSE_SAMPLER,
                                    .step = s->call,
                                    .draw = (uint32_t)draw,
                                    .first_index = (uint32_t)o->first_index},
                        err);
}

/* x0 held by the quantile of each example, and eps that follows it. */
static dm_status dynamic(dm_sampling *s, const dm_tensor *x, const dm_point *p, const dm_pred *want, dm_err *err)
{
    const dm_set_sampler *set = &s->setup.experiment->sampler;
    dm_status rc;

    if ((rc = dm_launch_threshold(s->setup.device, want->x0->buf, s->setup.n, s->inner, set->dynamic_ratio,
                               set->dynamic_max, err)) ||
        !want->eps || !set->clip_eps)
        return rc;
    return dm_launch_sum(s->setup.device, want->eps->buf, (double[]){1 / p->sigma, -p->alpha / p->sigma},
                      (dm_buf *[]){x->buf, want->x0->buf}, 2, s->setup.n * s->inner, err);
}

/* The prediction's output and what it means, guided where the experiment says so: a->F, a->stride, a->c_skip and
 * a->c_out, and *eps where that does not follow. The learned variance is the class's. */
static dm_status ask(dm_sampling *s, const dm_tensor *x, const dm_point *p, const dm_affine *f, dm_predict_args *a,
                     dm_buf **eps, dm_err *err)
{
    dm_said said[DM_OF_COUNT] = {0};
    uint32_t uses;
    bool on = false;
    dm_status rc;

    if (s->guiding && (rc = dm_guiding_at(s->guiding, p, &on, err)))
        return rc;
    if (!on) {
        s->evaluations++;
        return s->setup.forward(s->setup.user, x->buf, p, f, &a->F, err);
    }
    uses = dm_guiding_plugin(s->guiding)->guidance->uses;
    if ((rc = s->setup.guesses(s->setup.user, x->buf, p, f, uses, said, err)))
        return rc;
    for (int k = 0; k < DM_OF_COUNT; k++)
        s->evaluations += uses >> k & 1;
    if (a->log_var) {
        a->F = said[DM_OF_CLASS].F;
        if ((rc = dm_launch_predict(s->setup.device, a, err)))
            return rc;
        a->log_var = NULL;
    }
    return dm_guiding_run(s->guiding, x, said, a, eps, err);
}

static dm_status predict(dm_ctx *c, const dm_tensor *x, const dm_point *p, const dm_pred *want)
{
    dm_sampling *s = dm_services_of(c)->sampling;
    dm_err *err = c->err;
    dm_instance *obj = s->setup.objective;
    const dm_objective *o = obj->plugin->objective;
    dm_predict_args a;
    dm_buf *eps = NULL;
    dm_pred with;
    dm_tensor x0 = {.shape = s->x.shape, .buf = s->spare};
    double k[2];
    dm_affine f;
    dm_status rc;

    if ((rc = dm_sampling_check_wanted(x, p, want, err)))
        return rc;
    a = (dm_predict_args){.n = s->setup.n, .inner = s->inner, .alpha = p->alpha, .sigma = p->sigma, .x = x->buf,
                          .stride = s->inner / s->setup.data->shape.dim[0] * s->setup.out_channels,
                          .limit = s->limit, .eps_first = !s->setup.experiment->sampler.clip_eps};
    with = *want;
    if ((rc = dm_objective_affine(obj, p, &f, err)))
        return rc;
    if (want->log_var) {
        if (!dm_objective_learns(o, s->setup.data, s->setup.out_channels))
            return dm_error(err, DM_EINVAL, "objective '%s' learns no variance", obj->plugin->name);
        if (!want->to)
            return dm_error(err, DM_EINVAL, "predict was given NULL for .to, the point that the step of log_var goes "
                                            "to");
        if ((rc = dm_objective_log_var(obj, p, want->to, k, err)))
            return rc;
        a.k0 = k[0];
        a.k1 = k[1];
        a.log_var = want->log_var->buf;
        want->log_var->unwritten = false;
    }
    if (want->x0)
        want->x0->unwritten = false;
    if (want->eps)
        want->eps->unwritten = false;
    s->reads_eps |= want->eps != NULL;
    if (s->services.counting)
        return DM_OK;
    a.c_skip = f.c_skip;
    a.c_out = f.c_out;
    if ((rc = ask(s, x, p, &f, &a, &eps, err)))
        return rc;
    if (s->dynamic && !with.x0)
        with.x0 = &x0;
    if (eps && with.eps) {
        if ((rc = dm_launch_sum(s->setup.device, with.eps->buf, (double[]){1}, &eps, 1, s->setup.n * s->inner, err)))
            return rc;
        with.eps = NULL;
    }
    a.x0 = with.x0 ? with.x0->buf : NULL;
    a.eps = with.eps ? with.eps->buf : NULL;
    if (!a.x0 && !a.eps && !a.log_var)
        return DM_OK;
    if ((rc = dm_launch_predict(s->setup.device, &a, err)) || !s->dynamic)
        return rc;
    return dynamic(s, x, p, &with, err);
}

/* ---- setting up ------------------------------------------------------------------------------ */

static dm_status allocate(dm_sampling *s, dm_err *err)
{
    const size_t count = (size_t)(s->setup.n * s->inner);
    dm_device *d = s->setup.device;
    dm_status rc;

    if (!(s->host = calloc(count, sizeof *s->host)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)s->setup.n);
    if ((rc = dm_buf_new(d, count * sizeof(float), "images", &s->x.buf, err)))
        return rc;
    return s->dynamic || s->setup.jumps.times > 1
               ? dm_buf_new(d, count * sizeof(float), s->dynamic ? "dynamic clipping" : "jumps", &s->spare, err)
               : DM_OK;
}

static dm_status check(dm_sampling *s, dm_err *err)
{
    const dm_sampler *p = s->sampler.plugin->sampler;
    const dm_plugin_log log = s->services.log;
    dm_step step = s->step;
    dm_status rc;

    if (!p->check)
        return DM_OK;
    step.x = NULL;
    if (!s->setup.says)
        s->services.log = (dm_plugin_log){NULL, NULL};
    rc = DM_CALL(&s->sampler, DM_CB_CHECK, err, p->check(&s->sampler.ctx, &step));
    s->services.log = log;
    return rc;
}

/* What the experiment's guidance needs, if it has any. */
static dm_status guide(dm_sampling *s, dm_err *err)
{
    const dm_experiment *e = s->setup.experiment;
    dm_status rc;

    if ((rc = dm_sampling_check_guidance(s, err))) {
        dm_error_prefix(err, "guidance: ");
        return rc;
    }
    return dm_guiding_wanted(e) ? dm_guiding_new(e, &s->services, s->setup.device, &s->x.shape, &s->guiding, err)
                                : DM_OK;
}

static dm_status check_jumps(const dm_sampling *s, const dm_plugin *sampler, dm_err *err)
{
    const dm_jumps *j = &s->setup.jumps;

    if (!j->length)
        return DM_OK;
    if (sampler->sampler->adaptive)
        return dm_error(err, DM_EINVAL,
                        "sampler '%s' chooses its own points; jumps need one that takes the grid's steps",
                        sampler->name);
    if (j->length > s->grid.n || j->times > INT32_MAX / s->grid.n)
        return dm_error(err, DM_EINVAL, "jumps of %d steps, %d times, do not fit this walk of %d steps%s",
                        (int)j->length, (int)j->times,
                        (int)s->grid.n, j->length > s->grid.n ? "" : ": too many steps in all");
    return DM_OK;
}

static dm_status part_of_walk(dm_sampling *s, const dm_plugin *sampler, dm_err *err)
{
    dm_status rc;

    if (s->setup.left_out > 0)
        dm_walk_begin_at(&s->grid, (1 - s->setup.left_out) * dm_noise_T(s->setup.noise));
    if ((rc = check_jumps(s, sampler, err)) || !s->setup.inverts)
        return rc;
    return sampler->sampler->inverts ? dm_walk_reverse(&s->grid, err)
                                     : dm_error(err, DM_EINVAL,
                                                "sampler '%s' does not go from data to noise; use a deterministic one "
                                                "that does", sampler->name);
}

dm_status dm_sampling_new(const dm_sampling_setup *setup, dm_sampling **out, dm_err *err)
{
    const dm_section *section = &setup->experiment->section[DM_SEC_SAMPLER];
    dm_sampling *s;
    dm_status rc;

    if (!section->plugin)
        return dm_error(err, DM_EINVAL,
                        "the experiment has no sampler; give one with sampler.use (demist plugins lists them)");
    if (!setup->objective->plugin->objective->affine)
        return dm_error(err, DM_EINVAL, "objective '%s' is not a diffusion objective; there is nothing to sample",
                        setup->objective->plugin->name);
    if (!(s = calloc(1, sizeof *s)))
        return dm_error(err, DM_ENOMEM, "out of memory for sampling");
    s->setup = *setup;
    s->inner = dm_shape_count(&setup->data->shape);
    s->x.shape = dm_net_batch_shape(&setup->data->shape, setup->n, setup->data->shape.dim[0]);
    dm_services_init(&s->services, &setup->experiment->plugin_log);
    dm_noise_serve(setup->noise, &s->services);
    s->services.device = setup->device;
    s->services.sampling = s;
    s->services.work.tensor_like = tensor_like;
    s->services.work.randn = randn;
    s->services.work.predict = predict;
    if ((rc = dm_sampling_clip(&setup->experiment->sampler, setup->data, &s->limit, &s->dynamic, err)) ||
        (rc = dm_noise_walk_of(setup->noise, setup->experiment, &s->grid, err)) ||
        (rc = part_of_walk(s, section->plugin, err)) ||
        (rc = dm_instance_init(&s->sampler, section->plugin, section->cfg, &s->services, err)))
        goto failed;
    s->step = (dm_step){.size = sizeof s->step, .n = s->grid.n, .grid = s->grid.points, .at = s->grid.points,
                        .learned_variance = dm_objective_learns(setup->objective->plugin->objective, setup->data,
                                                            setup->out_channels)};
    if ((rc = check(s, err)) || (setup->device && (rc = allocate(s, err))) ||
        (rc = dm_sampling_open_rms(s, err)) || (setup->device && setup->guesses && (rc = guide(s, err))))
        goto failed;
    *out = s;
    return DM_OK;
failed:
    dm_sampling_free(s);
    return rc;
}

dm_status dm_sampling_log_var(dm_sampling *s, int32_t i, double k[2], dm_err *err)
{
    const dm_plugin *p = s->sampler.plugin;
    dm_instance *obj = s->setup.objective;
    dm_step step = s->step;
    dm_status rc;

    if (!p->sampler->log_var)
        return dm_error(err, DM_EINVAL, "sampler '%s' has no Gaussian transition, so no likelihood", p->name);
    step.i = i;
    step.at = &s->grid.points[i];
    k[1] = 0;
    if ((rc = DM_CALL(&s->sampler, DM_CB_STEP_LOG_VAR, err, p->sampler->log_var(&s->sampler.ctx, &step, &k[0])))) {
        dm_error_prefix(err, "no likelihood: ");
        return rc;
    }
    if (!isnan(k[0]))
        return DM_OK;
    if (!s->step.learned_variance)
        return dm_error(err, DM_EINVAL, "sampler '%s' needs a learned variance; the model has none", p->name);
    return dm_objective_log_var(obj, &step.grid[i], &step.grid[i + 1], k, err);
}

void dm_sampling_free(dm_sampling *s)
{
    if (!s)
        return;
    dm_instance_fini(&s->sampler);
    dm_guiding_free(s->guiding);
    dm_sampling_take_scratch(s);
    for (int i = 0; i < DM_MAX_SCRATCH; i++)
        dm_buf_free(s->kept[i]);
    dm_buf_free(s->x.buf);
    dm_buf_free(s->spare);
    dm_sampling_close_rms(s);
    dm_walk_fini(&s->grid);
    free(s->host);
    free(s);
}

/* ---- a run ---------------------------------------------------------------------------------------- */

/* x at the noisiest point: unit noise where the process preserves variance, else sigma times that. */
static dm_status first_x(dm_sampling *s, dm_err *err)
{
    const dm_sampling_run_options *o = &s->run;
    const dm_point *p = &s->grid.points[0];
    const double start = dm_noise_start(p);
    const int64_t count = s->setup.n * s->inner;
    dm_status rc;

    if (o->noise)
        return dm_buf_write(s->x.buf, 0, (size_t)count * sizeof(float), o->noise, err);
    if ((rc = dm_launch_randn(s->setup.device, s->x.buf, s->setup.n, s->inner,
                           &(dm_randn){.seed = (uint64_t)s->setup.experiment->run.seed, .purpose = DM_PURPOSE_PRIOR,
                                       .first_index = (uint32_t)o->first_index}, err)) || start == 1)
        return rc;
    return dm_launch_sum(s->setup.device, s->x.buf, &start, &s->x.buf, 1, count, err);
}

static dm_status walk(dm_sampling *s, dm_err *err)
{
    const dm_sampler *p = s->sampler.plugin->sampler;
    const dm_sampling_run_options none = {0}, *o = s->services.counting ? &none : &s->run;
    dm_status rc;

    s->step.x = &s->x;
    s->step.next = s->sampler.plugin->sampler->adaptive ? &s->next : NULL;
    s->at = s->grid.points[0];
    s->step.at = &s->at;
    s->call = 0;
    s->taken = s->made = s->passes = 0;
    s->drawn = 0;
    s->step.i = 0;
    dm_sampling_take_scratch(s);
    if (s->guiding && (rc = dm_guiding_begin(s->guiding, &s->x, err)))
        return rc;
    rc = p->begin ? DM_CALL(&s->sampler, DM_CB_BEGIN, err, p->begin(&s->sampler.ctx, &s->step)) : DM_OK;
    if (!rc && o->step)
        rc = o->step(o->step_user, 0, dm_sampling_all_steps(s), s->x.buf, err);
    return rc ? rc : dm_sampling_take_steps(s, err);
}

/* Walks once without computing anything. */
static dm_status count(dm_sampling *s, dm_err *err)
{
    dm_status rc;

    s->services.counting = true;
    s->reads_eps = s->measures = false;
    rc = walk(s, err);
    s->services.counting = false;
    return rc;
}

dm_status dm_sampling_check_guidance(dm_sampling *s, dm_err *err)
{
    const dm_experiment *e = s->setup.experiment;
    const dm_plugin *p = e->section[DM_SEC_GUIDANCE].plugin;
    dm_status rc = dm_guiding_check(e, &s->setup.can, err);

    if (rc || !p || p->guidance->writes != DM_GUIDES_X0_AND_EPS)
        return rc;
    if (!s->setup.device)
        s->x.buf = nowhere();
    rc = count(s, err);
    if (!s->setup.device) {
        s->x.buf = NULL;
        s->n_scratch = 0;
    }
    return rc || s->reads_eps ? rc
                              : dm_error(err, DM_EINVAL,
                                         "guides eps apart from x0, and sampler '%s' does not read eps; use another "
                                         "sampler "
                                         "or other guidance",
                                         s->sampler.plugin->name);
}

/* What a sampler asks for depends on tensors only by rms; without it a walk that computes nothing tells. */
static dm_status check_draws(dm_sampling *s, dm_err *err)
{
    const dm_status rc = count(s, err);

    if (!rc && !s->measures && s->drawn > s->run.draws)
        return dm_error(err, DM_EINVAL, "the given noise z has %lld draws; %d steps of '%s' need %lld",
                        (long long)s->run.draws, (int)s->grid.n, s->sampler.plugin->name, (long long)s->drawn);
    return rc;
}

dm_status dm_sampling_run(dm_sampling *s, const dm_sampling_run_options *o, float *x, dm_err *err)
{
    const int64_t count = s->setup.n * s->inner, before = s->evaluations;
    int64_t bad;
    dm_status rc;

    s->run = *o;
    if ((o->z && (rc = check_draws(s, err))) || (rc = first_x(s, err)) || (rc = walk(s, err)))
        return rc;
    if ((rc = dm_buf_read(s->x.buf, 0, (size_t)count * sizeof *x, x, err)))
        return rc;
    if (s->evaluations == before)
        return dm_error(err, DM_EINVAL,
                        "sampler '%s' took %d steps without a prediction of the model, so its result is not a sample",
                        s->sampler.plugin->name, (int)s->made);
    if ((bad = dm_sampling_not_finite(s, x)) < 0)
        return DM_OK;
    return dm_error(err, DM_EDIVERGED, "image %lld is not finite after %d steps of '%s' (guidance: %s)",
                    (long long)(o->first_index + bad), (int)s->made, s->sampler.plugin->name,
                    dm_sampling_guidance(s));
}
