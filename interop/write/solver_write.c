/* Schedule, objective, grid and sampler as a scheduler_config.json of diffusers' solvers, as scheduler_solvers.c reads
 * it. What a class has no key for is an error that says what to give instead. */
#include "interop/write/scheduler_parts.h"

#include <math.h>
#include <string.h>

/* ---- which class ------------------------------------------------------------------------------------ */

enum grids { MULTISTEP, SIGMAS, CHAIN }; /* n + 1 points of which the last is left out; n, between timesteps too; n */

typedef struct solver {
    const char *name, *sampler, *method; /* method: of the sampler, where that decides */
    enum grids grids;
    bool karras, exponential, lengths, lambdas; /* grids beside uniform; their ends; log_snr */
    bool finals, to_data;          /* final_sigmas_type; without it: where the last step goes */
    bool rescales, clips, thresholds, variance;
    bool linspace, no_x0; /* no other spacing, and no key for it; predict: x0 is not to be had */
} solver;

static const solver solvers[] = {
    {.name = "DPMSolverSinglestepScheduler", .sampler = "dpmpp", .method = "singlestep_grid", .karras = true,
     .exponential = true, .finals = true, .thresholds = true, .variance = true, .linspace = true},
    {.name = "DPMSolverSDEScheduler", .sampler = "dpmpp", .method = "singlestep", .grids = SIGMAS, .karras = true,
     .exponential = true, .to_data = true, .no_x0 = true},
    {.name = "DPMSolverMultistepScheduler", .sampler = "dpmpp", .karras = true, .exponential = true, .lambdas = true,
     .finals = true, .rescales = true, .thresholds = true, .variance = true},
    {.name = "UniPCMultistepScheduler", .sampler = "unipc", .karras = true, .exponential = true, .finals = true,
     .rescales = true, .thresholds = true},
    {.name = "DEISMultistepScheduler", .sampler = "deis", .thresholds = true},
    {.name = "SASolverScheduler", .sampler = "sa", .thresholds = true, .variance = true},
    {.name = "PNDMScheduler", .sampler = "pndm", .grids = CHAIN},
    {.name = "HeunDiscreteScheduler", .sampler = "heun", .grids = SIGMAS, .karras = true, .exponential = true,
     .to_data = true, .clips = true},
    {.name = "LMSDiscreteScheduler", .sampler = "lms", .grids = SIGMAS, .karras = true, .exponential = true,
     .to_data = true},
    {.name = "EulerAncestralDiscreteScheduler", .grids = SIGMAS, .to_data = true, .rescales = true},
    {.name = "EulerDiscreteScheduler", .grids = SIGMAS, .karras = true, .exponential = true, .lengths = true,
     .finals = true, .rescales = true},
};

static const dm_section *of(const dm_experiment *e, dm_section_id id) { return &e->section[id]; }

const char *dm_solver_class(const dm_experiment *e)
{
    const dm_section *schedule = of(e, DM_SEC_SCHEDULE), *grid = of(e, DM_SEC_GRID), *sampler = of(e, DM_SEC_SAMPLER);
    const bool ddim = dm_uses(sampler, "ddim");
    const double eta = dm_value_real(sampler, "eta");

    if (dm_uses(schedule, "edm"))
        return dm_uses(sampler, "dpmpp") ? "EDMDPMSolverMultistepScheduler" : ddim && eta == 0 ? "EDMEulerScheduler"
                                                                                              : NULL;
    if (dm_uses(schedule, "flow"))
        return ddim && eta == 0 ? "FlowMatchEulerDiscreteScheduler" : NULL;
    for (size_t i = 0; i < sizeof solvers / sizeof solvers[0]; i++)
        if (solvers[i].sampler && dm_uses(sampler, solvers[i].sampler) &&
            (!solvers[i].method || dm_value_is(sampler, "method", solvers[i].method)))
            return solvers[i].name;
    /* Where DDIMScheduler has no such points. */
    if (ddim && (!dm_uses(grid, "uniform") ||
                 (dm_value_is(grid, "spacing", "linspace") && !dm_value_bool(grid, "whole"))))
        return eta == 0   ? "EulerDiscreteScheduler"
               : eta == 1 ? "EulerAncestralDiscreteScheduler"
                          : NULL;
    return NULL;
}

/* ---- grids ------------------------------------------------------------------------------------------ */

static dm_status cannot(const char *class_name, const char *what, const char *give, dm_err *err)
{
    return dm_error(err, DM_EINVAL, "diffusers' %s cannot express %s; give %s", class_name, what, give);
}

static dm_status put_uniform(const dm_experiment *e, const solver *s, FILE *to, dm_err *err)
{
    const dm_section *grid = of(e, DM_SEC_GRID);
    const bool even = !dm_value_is(grid, "spacing", "trailing"), line = dm_value_is(grid, "spacing", "linspace");
    const bool data = dm_value_is(grid, "last", "data"), more = dm_value_bool(grid, "one_more");

    if (s->linspace && !line)
        return cannot(s->name, "this grid.spacing", "grid.spacing=linspace grid.one_more=true", err);
    if (even && more != (s->grids == MULTISTEP))
        return cannot(s->name, more ? "grid.one_more" : "a grid without one point more",
                      more ? "grid.one_more=false" : "grid.one_more=true, or grid.spacing=trailing", err);
    if (line && dm_value_bool(grid, "whole") == (s->grids == SIGMAS))
        return cannot(s->name, "this linspace grid", s->grids == SIGMAS ? "grid.whole=false" : "grid.whole=true", err);
    if (s->grids == CHAIN)
        dm_config_put_bool(to, "set_alpha_to_one", data);
    else if (s->finals)
        dm_config_put_text(to, "final_sigmas_type", data ? "zero" : "sigma_min");
    else if (data != s->to_data)
        return cannot(s->name, "where the last step goes", s->to_data ? "grid.last=data" : "grid.last=first", err);
    if (!s->linspace)
        dm_config_put_spacing(e, to);
    return DM_OK;
}

/* Sigmas of their own, from the schedule's noisiest level to its least. */
static dm_status put_grid(const dm_experiment *e, const solver *s, FILE *to, dm_err *err)
{
    static const char *const grids[] = {"karras", "exponential", "log_snr"};
    static const char *const keys[] = {"use_karras_sigmas", "use_exponential_sigmas", "use_lu_lambdas"};
    const dm_section *grid = of(e, DM_SEC_GRID);
    const bool can[] = {s->karras, s->exponential, s->lambdas};
    const double low = dm_value_real(grid, "s_min"), high = dm_value_real(grid, "s_max");

    if (dm_uses(grid, "uniform"))
        return put_uniform(e, s, to, err);
    for (int i = 0; i < 3; i++) {
        if (!can[i] || !dm_uses(grid, grids[i]))
            continue;
        if (dm_value_real(grid, "rho") != (i ? 1 : 7))
            return cannot(s->name, "grid.rho", i ? "grid.rho=1" : "grid.rho=7", err);
        if (!dm_value_is(grid, "last", "data"))
            return cannot(s->name, "grid.last=least", "grid.last=data", err);
        if ((low > 0 || high > 0) && !s->lengths)
            return cannot(s->name, "grid.s_min and grid.s_max", "neither", err);
        if (low > 0)
            dm_config_put_real(to, "sigma_min", low);
        if (high > 0)
            dm_config_put_real(to, "sigma_max", high);
        dm_config_put_bool(to, keys[i], true);
        if (s->finals)
            dm_config_put_text(to, "final_sigmas_type", "zero");
        if (!s->linspace)
            dm_config_put_text(to, "timestep_spacing", "linspace");
        return DM_OK;
    }
    return dm_error(err, DM_EINVAL, "diffusers' %s cannot express grid '%s'; give grid.use=uniform", s->name,
                    grid->plugin ? grid->plugin->name : "none");
}

/* ---- samplers --------------------------------------------------------------------------------------- */

/* clips, thresholds: what the class can do; nothing is written of what it cannot. */
static dm_status put_clip(const dm_experiment *e, const dm_data_info *data, const char *class_name, bool clips,
                          bool thresholds, FILE *to, dm_err *err)
{
    const bool dynamic = !strcmp(e->sampler.clip, "dynamic");
    const bool clipped = dm_config_clips(e, data);

    if ((dynamic && !thresholds) || (clipped && !clips))
        return cannot(class_name, "sampler.clip", thresholds ? "sampler.clip=off or dynamic" : "sampler.clip=off", err);
    /* DPM-Solver++ and UniPC go on from x0, whatever eps is. */
    if ((clipped || (dynamic && dm_uses(of(e, DM_SEC_SAMPLER), "deis"))) && !e->sampler.clip_eps)
        return cannot(class_name, "sampler.clip_eps=false", "sampler.clip_eps=true", err);
    if (thresholds) {
        dm_config_put_bool(to, "thresholding", dynamic);
        dm_config_put_real(to, "dynamic_thresholding_ratio", e->sampler.dynamic_ratio);
        dm_config_put_real(to, "sample_max_value", e->sampler.dynamic_max);
    }
    if (clips) {
        dm_config_put_bool(to, "clip_sample", clipped);
        dm_config_put_real(to, "clip_sample_range", dm_config_clip_range(e));
    }
    return DM_OK;
}

/* A step that is long for what lies behind it. */
static dm_status check_limit(const dm_section *s, const char *key, const char *class_name, dm_err *err)
{
    char what[64], give[64];

    snprintf(what, sizeof what, "sampler.%s", key);
    snprintf(give, sizeof give, "sampler.%s=0", key);
    return dm_value_real(s, key) == 0 ? DM_OK : cannot(class_name, what, give, err);
}

/* Two evaluations a step, and the noise of diffusers' Brownian motion; none of it is in the config. */
static dm_status check_sde(const dm_section *s, const char *class_name, dm_err *err)
{
    if (dm_value_real(s, "eta") != 1 || dm_value_int(s, "order") != 2 || !dm_value_is(s, "solver", "midpoint") ||
        !dm_value_is(s, "compat", "diffusers"))
        return cannot(class_name, "these steps of sampler.method=singlestep",
                      "sampler.eta=1 sampler.order=2 sampler.solver=midpoint sampler.compat=diffusers, or "
                      "sampler.method=multistep or singlestep_grid",
                      err);
    return DM_OK;
}

static dm_status put_dpmpp(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    const double eta = dm_value_real(s, "eta");
    const bool grid = dm_value_is(s, "method", "singlestep_grid"), third = dm_value_int(s, "order") == 3;
    const bool differs = grid ? third && eta == 1 && dm_value_is(s, "solver", "heun") : third || eta == 1;

    if (!strcmp(class_name, "DPMSolverSDEScheduler"))
        return check_sde(s, class_name, err);
    if (!strncmp(class_name, "EDM", 3) && !dm_value_is(s, "method", "multistep"))
        return cannot(class_name, "this sampler.method", "sampler.method=multistep", err);
    if (eta != 0 && eta != 1)
        return cannot(class_name, "this sampler.eta", "0 or 1", err);
    if (differs && !dm_value_is(s, "compat", "diffusers"))
        return cannot(class_name, "these steps, since its own differ", "sampler.compat=diffusers to have those", err);
    dm_config_put_text(to, "algorithm_type", eta == 1 ? "sde-dpmsolver++" : "dpmsolver++");
    dm_config_put_int(to, "solver_order", dm_value_int(s, "order"));
    dm_config_put_text(to, "solver_type", dm_value_is(s, "solver", "heun") ? "heun" : "midpoint");
    dm_config_put_bool(to, "lower_order_final", dm_value_bool(s, "lower_order_final"));
    return check_limit(s, "max_growth", class_name, err);
}

static dm_status put_unipc(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    const dm_ints *off = dm_value_ints(s, "disable_corrector");

    if (!dm_value_bool(s, "corrector"))
        return cannot(class_name, "sampler.corrector=false", "sampler.disable_corrector, a list of all steps", err);
    dm_config_put_int(to, "solver_order", dm_value_int(s, "order"));
    dm_config_put_text(to, "solver_type", dm_value_is(s, "solver", "bh1") ? "bh1" : "bh2");
    dm_config_put_bool(to, "lower_order_final", dm_value_bool(s, "lower_order_final"));
    fprintf(to, "  \"disable_corrector\": [");
    for (int32_t i = 0; off && i < off->n; i++)
        fprintf(to, "%s%lld", i ? ", " : "", (long long)off->v[i]);
    fprintf(to, "],\n");
    return check_limit(s, "max_growth", class_name, err);
}

static dm_status put_deis(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    dm_config_put_int(to, "solver_order", dm_value_int(s, "order"));
    dm_config_put_bool(to, "lower_order_final", dm_value_bool(s, "lower_order_final"));
    return check_limit(s, "max_growth", class_name, err);
}

static dm_status put_sa(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    const int64_t predictor = dm_value_int(s, "predictor_order"), corrector = dm_value_int(s, "corrector_order");

    if (!corrector)
        return cannot(class_name, "sampler.corrector_order=0", "sampler.corrector_order=1 to 4", err);
    if (!dm_value_is(s, "compat", "diffusers") && (predictor > 1 || corrector > 1))
        return cannot(class_name, "these steps, since its own differ", "sampler.compat=diffusers to have those", err);
    if (dm_value_real(s, "tau") != 1 || dm_value_real(s, "t_min") != 200 || dm_value_real(s, "t_max") != 800 ||
        dm_value_real(s, "s_min") > 0 || dm_value_real(s, "s_max") < 1e9)
        return cannot(class_name, "other noise than that of its tau_func",
                      "sampler.tau=1 sampler.t_min=200 sampler.t_max=800 and neither s_min nor s_max", err);
    dm_config_put_int(to, "predictor_order", predictor);
    dm_config_put_int(to, "corrector_order", corrector);
    dm_config_put_bool(to, "lower_order_final", dm_value_bool(s, "lower_order_final"));
    return check_limit(s, "max_growth", class_name, err);
}

static dm_status put_pndm(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    if (dm_value_int(s, "order") != 4)
        return cannot(class_name, "sampler.order", "sampler.order=4", err);
    if (dm_value_is(s, "start", "lower_order"))
        return cannot(class_name, "sampler.start=lower_order", "sampler.start=repeat or runge_kutta", err);
    dm_config_put_bool(to, "skip_prk_steps", dm_value_is(s, "start", "repeat"));
    return DM_OK;
}

static dm_status check_heun(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    (void)to;
    if (dm_value_real(s, "churn") > 0)
        return cannot(class_name, "sampler.churn", "sampler.churn=0", err);
    return dm_value_bool(s, "correct") ? check_limit(s, "max_drop", class_name, err)
                                       : cannot(class_name, "sampler.correct=false", "sampler.use=ddim", err);
}

static dm_status check_lms(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    (void)to;
    return dm_value_int(s, "order") == 4 ? DM_OK : cannot(class_name, "sampler.order", "sampler.order=4", err);
}

static dm_status put_sampler(const dm_section *s, const char *class_name, FILE *to, dm_err *err)
{
    static const struct {
        const char *use;
        dm_status (*put)(const dm_section *, const char *, FILE *, dm_err *);
    } all[] = {{"dpmpp", put_dpmpp}, {"unipc", put_unipc},  {"deis", put_deis}, {"sa", put_sa},
               {"pndm", put_pndm},   {"heun", check_heun}, {"lms", check_lms}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (dm_uses(s, all[i].use))
            return all[i].put(s, class_name, to, err);
    return DM_OK; /* ddim, whose eta is the class */
}

/* ---- all of them ------------------------------------------------------------------------------------ */

static dm_status write_discrete(const dm_experiment *e, const dm_data_info *data, const solver *s, FILE *to,
                                dm_err *err)
{
    const dm_section *obj = of(e, DM_SEC_OBJECTIVE), *schedule = of(e, DM_SEC_SCHEDULE);
    const char *variance = dm_config_variance(e);
    dm_status rc;

    if (!schedule->plugin || !schedule->plugin->schedule->fill)
        return dm_error(err, DM_EINVAL, "diffusers' %s cannot express schedule '%s': it has no betas", s->name,
                        schedule->plugin ? schedule->plugin->name : "none");
    if (!dm_uses(obj, "simple") && !dm_uses(obj, "hybrid") && !dm_uses(obj, "vlb"))
        return dm_error(err, DM_EINVAL, "diffusers' %s cannot express objective '%s'; simple, hybrid and vlb can be "
                                        "exported",
                        s->name, obj->plugin ? obj->plugin->name : "none");
    if (variance && !s->variance)
        return cannot(s->name, "a network that predicts a variance", "sampler.use=ddpm or dpmpp", err);
    if (e->schedule.zero_terminal_snr && !s->rescales)
        return cannot(s->name, "schedule.zero_terminal_snr", "another sampler", err);
    if (s->no_x0 && dm_value_is(obj, "predict", "x0"))
        return cannot(s->name, "objective.predict=x0, with which it does not step", "another sampler", err);
    if (s->grids == CHAIN && dm_value_is(obj, "predict", "v"))
        return cannot(s->name, "objective.predict=v, whose outputs it mixes as they are", "another sampler", err);
    if ((rc = dm_config_put_betas(e, false, s->rescales, to, err)) || (rc = put_grid(e, s, to, err)) ||
        (rc = put_sampler(of(e, DM_SEC_SAMPLER), s->name, to, err)) ||
        (rc = put_clip(e, data, s->name, s->clips, s->thresholds, to, err)))
        return rc;
    if (variance)
        dm_config_put_text(to, "variance_type", variance);
    dm_config_put_prediction(e, to);
    return DM_OK;
}

static dm_status write_edm(const dm_experiment *e, const dm_data_info *data, const char *class_name, FILE *to,
                           dm_err *err)
{
    const dm_section *schedule = of(e, DM_SEC_SCHEDULE), *obj = of(e, DM_SEC_OBJECTIVE), *grid = of(e, DM_SEC_GRID);
    const bool karras = dm_uses(grid, "karras");
    const double rho = dm_value_real(schedule, "rho");
    dm_status rc;

    if (!dm_uses(obj, "edm"))
        return cannot(class_name, "this objective", "objective.use=edm", err);
    if (!karras && !dm_uses(grid, "exponential"))
        return cannot(class_name, "this grid", "grid.use=karras or exponential", err);
    if (dm_value_real(grid, "rho") != (karras ? rho : 1) || dm_value_real(grid, "s_min") > 0 ||
        dm_value_real(grid, "s_max") > 0 || !dm_value_is(grid, "last", "data"))
        return cannot(class_name, "other ends and another rho than the schedule's", "grid.rho as schedule.rho (1 with "
                                                                                    "exponential) and no ends", err);
    dm_config_put_int(to, "num_train_timesteps", e->schedule.timesteps);
    dm_config_put_real(to, "sigma_min", dm_value_real(schedule, "sigma_min"));
    dm_config_put_real(to, "sigma_max", dm_value_real(schedule, "sigma_max"));
    dm_config_put_real(to, "sigma_data", dm_value_real(obj, "sigma_data"));
    dm_config_put_real(to, "rho", rho);
    dm_config_put_text(to, "sigma_schedule", karras ? "karras" : "exponential");
    if ((rc = put_sampler(of(e, DM_SEC_SAMPLER), class_name, to, err)) ||
        (rc = put_clip(e, data, class_name, false, dm_uses(of(e, DM_SEC_SAMPLER), "dpmpp"), to, err)))
        return rc;
    dm_config_put_text(to, "prediction_type", "epsilon");
    return DM_OK;
}

static dm_status write_flow(const dm_experiment *e, const dm_data_info *data, const char *class_name, FILE *to,
                            dm_err *err)
{
    const dm_section *obj = of(e, DM_SEC_OBJECTIVE), *grid = of(e, DM_SEC_GRID);
    const double T = (double)e->schedule.timesteps, shift = dm_value_real(of(e, DM_SEC_SCHEDULE), "shift");
    const double until = shift / T / (1 + (shift - 1) / T);
    char give[64];
    dm_status rc;

    if (!dm_uses(obj, "flow") || dm_value_real(obj, "time_scale") != T)
        return cannot(class_name, "this objective", "objective.use=flow, whose time_scale is schedule.timesteps", err);
    snprintf(give, sizeof give, "grid.use=uniform grid.until=%.17g", until);
    if (!dm_uses(grid, "uniform") || fabs(dm_value_real(grid, "until") - until) > 1e-12)
        return cannot(class_name, "this grid", give, err);
    if ((rc = put_clip(e, data, class_name, false, false, to, err)))
        return rc;
    dm_config_put_real(to, "shift", shift);
    dm_config_put_int(to, "num_train_timesteps", e->schedule.timesteps);
    return DM_OK;
}

dm_status dm_solver_write(const dm_experiment *e, const dm_data_info *data, const char *class_name, FILE *to,
                          dm_err *err)
{
    const solver *s = NULL;
    dm_status rc;

    for (size_t i = 0; i < sizeof solvers / sizeof solvers[0]; i++)
        if (!strcmp(solvers[i].name, class_name))
            s = &solvers[i];
    fprintf(to, "{\n");
    rc = s ? write_discrete(e, data, s, to, err)
         : !strncmp(class_name, "EDM", 3) ? write_edm(e, data, class_name, to, err)
                                          : write_flow(e, data, class_name, to, err);
    fprintf(to, "  \"_class_name\": \"%s\"\n}\n", class_name);
    return rc;
}
