/* A scheduler_config.json of diffusers' solvers as schedule, objective, grid and sampler. */
#include "interop/read/scheduler.h"

#include "text/number.h"

#include <string.h>

/* ---- grids -------------------------------------------------------------------------------------- */

/* What changes the noise levels and is not to be had. */
static void refuse(dm_config *c, const char *key)
{
    if (dm_config_bool(c, key, false))
        dm_config_fail(c, key, "is not supported");
}

/* The grid that stands for sigmas of their own; NULL without. */
static const char *converted(dm_config *c, bool lambdas)
{
    const bool karras = dm_config_bool(c, "use_karras_sigmas", false);
    const bool exponential = dm_config_bool(c, "use_exponential_sigmas", false);
    const bool lu = lambdas && dm_config_bool(c, "use_lu_lambdas", false);

    refuse(c, "use_beta_sigmas");
    if (karras + exponential + lu > 1)
        dm_config_fail(c, karras ? "use_karras_sigmas" : "use_exponential_sigmas", "is set together with another of "
                                                                                   "its kind");
    return karras ? "karras" : exponential ? "exponential" : lu ? "log_snr" : NULL;
}

static void keep_sigma(dm_config *c, const char *key, const char *grid, const char *as, FILE *to)
{
    if (!dm_config_has(c, key))
        return;
    if (!grid)
        dm_config_fail(c, key, "is for use_karras_sigmas and use_exponential_sigmas");
    dm_scheduler_put_real(to, as, dm_config_real(c, key, 0));
}

/* From the noisiest level on, in n + 1 points of which the last is left out; multistep solvers. last: where the last
 * step goes if the config does not say, "zero" or "sigma_min". */
static void put_multistep_grid(dm_config *c, bool finals, const char *last, bool lambdas, FILE *to)
{
    static const char *const spacings[] = {"linspace", "leading", "trailing"};
    const char *grid = converted(c, lambdas);
    const int spacing = dm_config_choice(c, "timestep_spacing", "linspace", "linspace|leading|trailing");
    const int64_t offset = dm_config_int(c, "steps_offset", 0, 0, 1000000);
    const bool least = finals ? dm_config_choice(c, "final_sigmas_type", last, "zero|sigma_min") == 1
                              : !strcmp(last, "sigma_min");

    refuse(c, "use_flow_sigmas");
    refuse(c, "use_dynamic_shifting");
    dm_config_ignore(c, "flow_shift");
    dm_config_ignore(c, "time_shift_type");
    fprintf(to, "grid:\n");
    if (grid) {
        if (least)
            dm_config_fail(c, finals ? "final_sigmas_type" : "use_karras_sigmas",
                           "repeats the least of other sigmas, which is not supported");
        fprintf(to, "  use: %s\n", grid);
    } else {
        fprintf(to, "  use: uniform\n  spacing: %s\n  offset: %lld\n  one_more: %s\n  last: %s\n", spacings[spacing],
                (long long)(spacing == 1 ? offset : 0), spacing == 2 ? "false" : "true", least ? "first" : "data");
    }
}

/* n points of the timesteps, between them too; solvers in x / alpha. */
static void put_sigma_grid(dm_config *c, bool finals, bool lengths, FILE *to)
{
    static const char *const spacings[] = {"linspace", "leading", "trailing"};
    const char *grid = converted(c, false);
    const int spacing = dm_config_choice(c, "timestep_spacing", "linspace", "linspace|leading|trailing");
    const int64_t offset = dm_config_int(c, "steps_offset", 0, 0, 1000000);
    const bool least = finals && dm_config_choice(c, "final_sigmas_type", "zero", "zero|sigma_min") == 1;

    if (grid && spacing)
        dm_config_fail(c, "timestep_spacing", "must be linspace with sigmas of another kind");
    if (grid && least)
        dm_config_fail(c, "final_sigmas_type", "repeats the least of other sigmas, which is not supported");
    fprintf(to, "grid:\n  use: %s\n", grid ? grid : "uniform");
    if (lengths) {
        keep_sigma(c, "sigma_min", grid, "s_min", to);
        keep_sigma(c, "sigma_max", grid, "s_max", to);
    }
    if (!grid)
        fprintf(to, "  spacing: %s\n  offset: %lld\n  whole: %s\n  last: %s\n", spacings[spacing],
                (long long)(spacing == 1 ? offset : 0), spacing ? "true" : "false", least ? "first" : "data");
}

/* ---- samplers ------------------------------------------------------------------------------------ */

static void begin_sampler(const char *name, int64_t T, FILE *to)
{
    fprintf(to, "sampler:\n  use: %s\n  steps: %lld\n", name, (long long)(T < 50 ? T : 50));
}

static void put_flag(FILE *to, const char *key, bool v) { fprintf(to, "  %s: %s\n", key, v ? "true" : "false"); }

/* The solver's own keys; the noise of sde-... is eta 1. */
static void put_dpmpp_keys(dm_config *c, bool single, bool lower_order_final, FILE *to)
{
    static const char *const solvers[] = {"midpoint", "heun"};
    const int kind = dm_config_choice(c, "algorithm_type", "dpmsolver++",
                                      "dpmsolver++|sde-dpmsolver++|dpmsolver|sde-dpmsolver");

    if (kind > 1)
        dm_config_fail(c, "algorithm_type", "is %s, which is not supported; dpmsolver++ and sde-dpmsolver++ are",
                       kind == 2 ? "dpmsolver" : "sde-dpmsolver");
    fprintf(to, "  order: %lld\n  method: %s\n  solver: %s\n  eta: %d\n",
            (long long)dm_config_int(c, "solver_order", 2, 1, 3), single ? "singlestep_grid" : "multistep",
            solvers[dm_config_choice(c, "solver_type", "midpoint", "midpoint|heun")], kind == 1);
    put_flag(to, "lower_order_final", dm_config_bool(c, "lower_order_final", lower_order_final));
    fprintf(to, "  max_growth: 0\n  compat: diffusers\n");
}

/* Nothing of the schedule is cut off: its lambdas lie above what is clipped. */
static void check_clipped(dm_config *c)
{
    if (dm_config_has(c, "lambda_min_clipped") && dm_config_real(c, "lambda_min_clipped", -1e300) > -1e10)
        dm_config_fail(c, "lambda_min_clipped", "must be -Infinity; for another value use grid {use: lu, lambda_min}");
}

/* What both of dpmpp's schedulers say. */
static void put_dpmpp_common(dm_config *c, const dm_network_facts *f, bool single, FILE *to)
{
    const int64_t T = dm_scheduler_put_betas(c, 1000, 1e-4, 0.02, to);

    dm_scheduler_put_objective(c, f, to);
    dm_config_ignore(c, "variance_type");
    check_clipped(c);
    put_multistep_grid(c, true, "zero", !single, to);
    begin_sampler("dpmpp", T, to);
    put_dpmpp_keys(c, single, !single, to);
}

static void put_dpmpp(dm_config *c, const dm_network_facts *f, FILE *to)
{
    put_dpmpp_common(c, f, false, to);
    if (dm_config_bool(c, "euler_at_final", false) &&
        dm_config_choice(c, "final_sigmas_type", "zero", "zero|sigma_min"))
        dm_config_fail(c, "euler_at_final", "is not supported with final_sigmas_type sigma_min");
    dm_scheduler_put_clip(c, false, to);
}

static void put_single(dm_config *c, const dm_network_facts *f, FILE *to)
{
    put_dpmpp_common(c, f, true, to);
    dm_scheduler_put_clip(c, false, to);
}

static void put_unipc(dm_config *c, const dm_network_facts *f, FILE *to)
{
    static const char *const solvers[] = {"bh1", "bh2"};
    const int64_t T = dm_scheduler_put_betas(c, 1000, 1e-4, 0.02, to);
    const json_t *off = dm_config_has(c, "disable_corrector") ? dm_config_list(c, "disable_corrector", 0, 4096) : NULL;

    dm_scheduler_put_objective(c, f, to);
    for (int i = 0; i < 4; i++) {
        static const char *const none[] = {"sigma_min", "sigma_max", "shift_terminal", "solver_p"};

        if (dm_config_has(c, none[i]))
            dm_config_fail(c, none[i], "must be null; other values are not supported");
    }
    if (!dm_config_bool(c, "predict_x0", true))
        dm_config_fail(c, "predict_x0", "is false, which is not supported");
    put_multistep_grid(c, true, "zero", false, to);
    begin_sampler("unipc", T, to);
    fprintf(to, "  order: %lld\n  solver: %s\n  disable_corrector: [",
            (long long)dm_config_int(c, "solver_order", 2, 1, 3),
            solvers[dm_config_choice(c, "solver_type", "bh2", "bh1|bh2")]);
    for (size_t i = 0; i < json_array_size(off); i++) {
        const json_t *v = json_array_get(off, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 1000000)
            dm_config_fail(c, "disable_corrector", "must hold numbers of steps");
        fprintf(to, "%s%lld", i ? ", " : "", (long long)json_integer_value(v));
    }
    fprintf(to, "]\n");
    put_flag(to, "lower_order_final", dm_config_bool(c, "lower_order_final", true));
    fprintf(to, "  max_growth: 0\n");
    dm_scheduler_put_clip(c, false, to);
}

static void put_deis(dm_config *c, const dm_network_facts *f, FILE *to)
{
    const int64_t T = dm_scheduler_put_betas(c, 1000, 1e-4, 0.02, to);

    dm_scheduler_put_objective(c, f, to);
    dm_config_choice(c, "algorithm_type", "deis", "deis");
    dm_config_choice(c, "solver_type", "logrho", "logrho");
    put_multistep_grid(c, false, "sigma_min", false, to);
    begin_sampler("deis", T, to);
    fprintf(to, "  order: %lld\n", (long long)dm_config_int(c, "solver_order", 2, 1, 3));
    put_flag(to, "lower_order_final", dm_config_bool(c, "lower_order_final", true));
    fprintf(to, "  max_growth: 0\n");
    dm_scheduler_put_clip(c, false, to);
}

/* The least level is where the last step goes; the noise is that of tau_func's default, a function of Python. */
static void put_sa(dm_config *c, const dm_network_facts *f, FILE *to)
{
    const int64_t T = dm_scheduler_put_betas(c, 1000, 1e-4, 0.02, to);

    dm_scheduler_put_objective(c, f, to);
    dm_config_ignore(c, "variance_type");
    if (dm_config_has(c, "tau_func"))
        dm_config_fail(c, "tau_func", "must be null; other values are not supported; sampler {use: sa, tau, t_min, "
                                      "t_max} has its own");
    if (dm_config_choice(c, "algorithm_type", "data_prediction", "data_prediction|noise_prediction"))
        dm_config_fail(c, "algorithm_type", "is noise_prediction, which is not supported; data_prediction is");
    check_clipped(c);
    put_multistep_grid(c, false, "sigma_min", false, to);
    begin_sampler("sa", T, to);
    fprintf(to, "  predictor_order: %lld\n  corrector_order: %lld\n  tau: 1\n  t_min: 200\n  t_max: 800\n",
            (long long)dm_config_int(c, "predictor_order", 2, 1, 4),
            (long long)dm_config_int(c, "corrector_order", 2, 1, 4));
    put_flag(to, "lower_order_final", dm_config_bool(c, "lower_order_final", true));
    fprintf(to, "  compat: diffusers\n  max_growth: 0\n");
    dm_scheduler_put_clip(c, false, to);
}

static void put_pndm(dm_config *c, const dm_network_facts *f, FILE *to)
{
    static const char *const spacings[] = {"leading", "linspace", "trailing"};
    const int64_t T = dm_scheduler_put_betas(c, 1000, 1e-4, 0.02, to);
    const int spacing = dm_config_choice(c, "timestep_spacing", "leading", "leading|linspace|trailing");
    const int64_t offset = dm_config_int(c, "steps_offset", 0, 0, 1000000);

    if (dm_config_choice(c, "prediction_type", "epsilon", "epsilon|v_prediction"))
        dm_config_fail(c, "prediction_type",
                       "is v_prediction, whose outputs PNDMScheduler mixes as they are; that is not supported");
    dm_scheduler_put_objective(c, f, to);
    fprintf(to, "grid:\n  use: uniform\n  spacing: %s\n  offset: %lld\n  last: %s\n", spacings[spacing],
            (long long)(spacing ? 0 : offset), dm_config_bool(c, "set_alpha_to_one", false) ? "data" : "first");
    begin_sampler("pndm", T, to);
    fprintf(to, "  start: %s\n  clip: off\n", dm_config_bool(c, "skip_prk_steps", false) ? "repeat" : "runge_kutta");
}

/* Euler, ancestral or not, Heun and LMS. */
static void put_sigma_solver(dm_config *c, const dm_network_facts *f, const char *sampler, bool euler, FILE *to)
{
    const bool heun = !strcmp(sampler, "heun");
    const int64_t T = dm_scheduler_put_betas(c, 1000, heun ? 0.00085 : 1e-4, heun ? 0.012 : 0.02, to);

    dm_scheduler_put_objective(c, f, to);
    if (euler) {
        if (dm_config_choice(c, "interpolation_type", "linear", "linear|log_linear"))
            dm_config_fail(c, "interpolation_type", "is log_linear, which is not supported");
        if (dm_config_choice(c, "timestep_type", "discrete", "discrete|continuous"))
            dm_config_fail(c, "timestep_type", "is continuous, which is not supported");
    }
    put_sigma_grid(c, euler, euler, to);
    begin_sampler(sampler, T, to);
    if (heun) {
        fprintf(to, "  max_drop: 0\n");
        dm_scheduler_put_clip(c, false, to);
    } else {
        fprintf(to, "  clip: off\n");
    }
}

static void put_euler(dm_config *c, const dm_network_facts *f, FILE *to) { put_sigma_solver(c, f, "ddim", true, to); }
static void put_heun(dm_config *c, const dm_network_facts *f, FILE *to) { put_sigma_solver(c, f, "heun", false, to); }
static void put_lms(dm_config *c, const dm_network_facts *f, FILE *to) { put_sigma_solver(c, f, "lms", false, to); }

static void put_ancestral(dm_config *c, const dm_network_facts *f, FILE *to)
{
    put_sigma_solver(c, f, "ddim", false, to);
    fprintf(to, "  eta: 1\n  variance: posterior\n");
}

static void put_sde(dm_config *c, const dm_network_facts *f, FILE *to)
{
    const int64_t T = dm_scheduler_put_betas(c, 1000, 0.00085, 0.012, to);

    if (dm_config_choice(c, "prediction_type", "epsilon", "epsilon|sample|v_prediction") == 1)
        dm_config_fail(c, "prediction_type", "is sample, with which DPMSolverSDEScheduler itself does not step");
    dm_scheduler_put_objective(c, f, to);
    dm_config_ignore(c, "noise_sampler_seed"); /* `seed` of the experiment is instead */
    put_sigma_grid(c, false, false, to);
    begin_sampler("dpmpp", T, to);
    fprintf(to, "  order: 2\n  method: singlestep\n  solver: midpoint\n  eta: 1\n  compat: diffusers\n"
                "  max_growth: 0\n  clip: off\n");
}

/* ---- without betas --------------------------------------------------------------------------------- */

static int64_t put_edm_model(dm_config *c, FILE *to)
{
    const int64_t T = dm_config_int(c, "num_train_timesteps", 1000, 1, 1000000);
    const double low = dm_config_real(c, "sigma_min", 0.002), high = dm_config_real(c, "sigma_max", 80);
    const double rho = dm_config_real(c, "rho", 7);
    const int kind = dm_config_choice(c, "sigma_schedule", "karras", "karras|exponential");

    if (dm_config_choice(c, "prediction_type", "epsilon", "epsilon|v_prediction|sample"))
        dm_config_fail(c, "prediction_type", "is not epsilon, which alone is supported for EDM's schedulers");
    if (dm_config_choice(c, "final_sigmas_type", "zero", "zero|sigma_min"))
        dm_config_fail(c, "final_sigmas_type", "is sigma_min, which is not supported for EDM's schedulers");
    fprintf(to, "schedule:\n  use: edm\n  timesteps: %lld\n", (long long)T);
    dm_scheduler_put_real(to, "sigma_min", low);
    dm_scheduler_put_real(to, "sigma_max", high);
    dm_scheduler_put_real(to, "rho", rho);
    fprintf(to, "objective:\n  use: edm\n");
    dm_scheduler_put_real(to, "sigma_data", dm_config_real(c, "sigma_data", 0.5));
    fprintf(to, "grid:\n  use: %s\n", kind ? "exponential" : "karras");
    if (!kind)
        dm_scheduler_put_real(to, "rho", rho);
    return T;
}

static void put_edm_euler(dm_config *c, const dm_network_facts *f, FILE *to)
{
    (void)f;
    begin_sampler("ddim", put_edm_model(c, to), to);
    fprintf(to, "  clip: off\n");
}

static void put_edm_dpmpp(dm_config *c, const dm_network_facts *f, FILE *to)
{
    (void)f;
    begin_sampler("dpmpp", put_edm_model(c, to), to);
    dm_config_ignore(c, "euler_at_final"); /* the last step, to sigma 0, is of first order anyway */
    put_dpmpp_keys(c, false, true, to);
    dm_scheduler_put_clip(c, false, to);
}

static void put_flow(dm_config *c, const dm_network_facts *f, FILE *to)
{
    static const char *const of_shifting[] = {"base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len",
                                              "time_shift_type"};
    static const char *const none[] = {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas",
                                       "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"};
    const int64_t T = dm_config_int(c, "num_train_timesteps", 1000, 1, 1000000);
    const double shift = dm_config_real(c, "shift", 1), least = 1 / (double)T;

    (void)f;
    for (size_t i = 0; i < sizeof of_shifting / sizeof of_shifting[0]; i++)
        dm_config_ignore(c, of_shifting[i]);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        refuse(c, none[i]);
    if (dm_config_has(c, "shift_terminal"))
        dm_config_fail(c, "shift_terminal", "must be null; other values are not supported");
    fprintf(to, "schedule:\n  use: flow\n  timesteps: %lld\n", (long long)T);
    dm_scheduler_put_real(to, "shift", shift);
    fprintf(to, "objective:\n  use: flow\n");
    dm_scheduler_put_real(to, "time_scale", (double)T);
    fprintf(to, "grid:\n  use: uniform\n");
    dm_scheduler_put_real(to, "until",
                          shift * least / (1 + (shift - 1) * least)); /* diffusers shifts its least twice */
    begin_sampler("ddim", T, to);
    fprintf(to, "  clip: off\n");
}

/* ---- all of them ------------------------------------------------------------------------------------ */

static const struct { const char *name; void (*put)(dm_config *c, const dm_network_facts *f, FILE *to); } solvers[] = {
    {"DPMSolverMultistepScheduler", put_dpmpp}, {"UniPCMultistepScheduler", put_unipc},
    {"DEISMultistepScheduler", put_deis},       {"PNDMScheduler", put_pndm},
    {"SASolverScheduler", put_sa},
    {"EulerDiscreteScheduler", put_euler},      {"EulerAncestralDiscreteScheduler", put_ancestral},
    {"HeunDiscreteScheduler", put_heun},        {"LMSDiscreteScheduler", put_lms},
    {"EDMEulerScheduler", put_edm_euler},       {"EDMDPMSolverMultistepScheduler", put_edm_dpmpp},
    {"FlowMatchEulerDiscreteScheduler", put_flow},
    {"DPMSolverSinglestepScheduler", put_single}, {"DPMSolverSDEScheduler", put_sde},
};

bool dm_solver_put(dm_config *c, const char *name, const dm_network_facts *f, FILE *to)
{
    for (size_t i = 0; i < sizeof solvers / sizeof solvers[0]; i++)
        if (!strcmp(solvers[i].name, name)) {
            solvers[i].put(c, f, to);
            return true;
        }
    return false;
}

const char *dm_solver_names(void)
{
    return "DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler, "
           "DPMSolverSDEScheduler, UniPCMultistepScheduler, DEISMultistepScheduler, SASolverScheduler, "
           "PNDMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, HeunDiscreteScheduler, "
           "LMSDiscreteScheduler, EDMEulerScheduler, EDMDPMSolverMultistepScheduler, "
           "FlowMatchEulerDiscreteScheduler";
}
