/* Schedule, objective and sampler as a scheduler_config.json. What the config has no key for is an argument of
 * diffusers' calls: the number of steps, eta, the clipped eps. */
#include "interop/write/diffusers_write.h"

#include "noise/noise.h"
#include "base/number.h"
#include "interop/write/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_real(FILE *to, const char *key, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "  \"%s\": %s,\n", key, dm_number_write(v, text));
}

static void put_bool(FILE *to, const char *key, bool v) { fprintf(to, "  \"%s\": %s,\n", key, v ? "true" : "false"); }
static void put_text(FILE *to, const char *key, const char *v) { fprintf(to, "  \"%s\": \"%s\",\n", key, v); }

/* diffusers' name of the schedule, NULL where it has none. */
static const char *schedule_name(const dm_section *s, bool ddim)
{
    if (dm_uses(s, "linear"))
        return "linear";
    if (dm_uses(s, "scaled_linear"))
        return "scaled_linear";
    if (dm_uses(s, "sigmoid_beta") && !ddim)
        return "sigmoid";
    if (dm_uses(s, "cosine") && dm_value_real(s, "s") == 0.008 && dm_value_real(s, "max_beta") == 0.999)
        return "squaredcos_cap_v2";
    return NULL;
}

static void put_number(FILE *to, bool first, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "%s%s", first ? "" : ", ", dm_number_write(v, text));
}

/* Any other discrete schedule is its betas. */
static dm_status put_betas(const dm_experiment *e, FILE *to, dm_err *err)
{
    const dm_reals *given = dm_value_reals(&e->section[DM_SEC_SCHEDULE], "betas");
    dm_point before = {.alpha = 1}, p;
    dm_noise *n;
    dm_status rc;

    fprintf(to, "  \"trained_betas\": [");
    for (int32_t i = 0; given && i < given->n; i++)
        put_number(to, !i, given->v[i]);
    if (!given) {
        if ((rc = dm_noise_new(e, &n, err)))
            return rc;
        for (int32_t t = 1; t <= dm_noise_T(n); t++, before = p) {
            dm_noise_at(n, t, &p);
            put_number(to, t == 1, p.alpha > 0 ? -expm1(2 * (log(p.alpha) - log(before.alpha))) : 1);
        }
        dm_noise_free(n);
    }
    fprintf(to, "],\n");
    return DM_OK;
}

/* Is the noise of a step of a variance that the network tells? */
static bool learned(const dm_section *obj, const dm_section *sampler)
{
    const bool there = dm_uses(obj, "hybrid") || (dm_uses(obj, "vlb") && !dm_value_is(obj, "variance", "fixed_small") &&
                                                  !dm_value_is(obj, "variance", "fixed_large"));

    return dm_value_is(sampler, "variance", "learned") || (dm_value_is(sampler, "variance", "auto") && there);
}

bool dm_scheduler_ends_noisy(const dm_experiment *e)
{
    const dm_section *sampler = &e->section[DM_SEC_SAMPLER], *grid = &e->section[DM_SEC_GRID];

    return dm_uses(sampler, "ddpm") &&
           (dm_value_is(sampler, "variance", "fixed_large") || learned(&e->section[DM_SEC_OBJECTIVE], sampler)) &&
           (dm_value_is(grid, "spacing", "trailing") || dm_value_int(grid, "offset"));
}

static dm_status check(const dm_experiment *e, dm_err *err)
{
    const dm_section *schedule = &e->section[DM_SEC_SCHEDULE], *obj = &e->section[DM_SEC_OBJECTIVE],
        *sampler = &e->section[DM_SEC_SAMPLER], *grid = &e->section[DM_SEC_GRID];

    if (!schedule->plugin || !schedule->plugin->schedule->fill)
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler and DDIMScheduler cannot express schedule '%s': it has no betas",
                        schedule->plugin ? schedule->plugin->name : "none");
    if (!dm_uses(obj, "simple") && !dm_uses(obj, "hybrid") && !dm_uses(obj, "vlb"))
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler and DDIMScheduler cannot express objective '%s'; simple, hybrid and "
                        "vlb "
                        "can be exported",
                        obj->plugin ? obj->plugin->name : "none");
    if (!dm_uses(sampler, "ddpm") && !dm_uses(sampler, "ddim"))
        return dm_error(err, DM_EINVAL, "sampler '%s' cannot be exported; give sampler.use=ddpm or sampler.use=ddim",
                        sampler->plugin ? sampler->plugin->name : "none");
    if (!dm_uses(grid, "uniform"))
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler and DDIMScheduler cannot express grid '%s'; give grid.use=uniform",
                        grid->plugin ? grid->plugin->name : "none");
    if (dm_uses(sampler, "ddpm") && !dm_value_is(grid, "last", "data"))
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler ends at the data; give grid.last=data, or sampler.use=ddim");
    if (dm_uses(sampler, "ddim") && learned(obj, sampler) && dm_value_real(sampler, "eta") > 0)
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDIMScheduler uses no learned variance; give sampler.variance=posterior");
    return DM_OK;
}

static dm_status put_clip(const dm_experiment *e, const dm_data_info *data, FILE *to)
{
    const dm_set_sampler *s = &e->sampler;
    const bool automatic = !strcmp(s->clip, "auto"), dynamic = !strcmp(s->clip, "dynamic");
    double range = 1;

    put_bool(to, "clip_sample", !dynamic && strcmp(s->clip, "off") && (!automatic || data->levels > 0));
    if (!automatic && dm_number_real(s->clip, &range) != DM_NUMBER_OK)
        range = 1;
    put_real(to, "clip_sample_range", range);
    put_real(to, "dynamic_thresholding_ratio", s->dynamic_ratio);
    return DM_OK;
}

dm_status dm_scheduler_write(const dm_experiment *e, const dm_data_info *data, FILE *to, const char **class_name,
                             dm_err *err)
{
    const dm_section *grid = &e->section[DM_SEC_GRID];
    const dm_section *schedule = &e->section[DM_SEC_SCHEDULE], *obj = &e->section[DM_SEC_OBJECTIVE],
        *sampler = &e->section[DM_SEC_SAMPLER];
    const bool ddim = dm_uses(sampler, "ddim");
    const char *name = schedule_name(schedule, ddim);
    const double k = dm_value_bool(schedule, "per_1000") ? 1000.0 / (double)e->schedule.timesteps : 1;
    const bool ends = name && strcmp(name, "squaredcos_cap_v2");
    dm_status rc;

    if ((rc = check(e, err)))
        return rc;
    *class_name = ddim ? "DDIMScheduler" : "DDPMScheduler";
    fprintf(to, "{\n  \"_class_name\": \"%s\",\n", *class_name);
    put_real(to, "beta_end", ends ? k * dm_value_real(schedule, "beta_end") : 0.02);
    put_text(to, "beta_schedule", name ? name : "linear");
    put_real(to, "beta_start", ends ? k * dm_value_real(schedule, "beta_start") : 1e-4);
    put_clip(e, data, to);
    fprintf(to, "  \"num_train_timesteps\": %lld,\n", (long long)e->schedule.timesteps);
    put_text(to, "prediction_type", dm_value_is(obj, "predict", "x0") ? "sample" : dm_value_is(obj, "predict", "v")
             ? "v_prediction" : "epsilon");
    /* The betas of other schedules have it in them. */
    put_bool(to, "rescale_betas_zero_snr", e->schedule.zero_terminal_snr && (name || dm_uses(schedule, "betas")));
    put_real(to, "sample_max_value", e->sampler.dynamic_max);
    if (ddim)
        put_bool(to, "set_alpha_to_one", dm_value_is(grid, "last", "data"));
    fprintf(to, "  \"steps_offset\": %lld,\n", (long long)dm_value_int(grid, "offset"));
    put_bool(to, "thresholding", !strcmp(e->sampler.clip, "dynamic"));
    if (!name && (rc = put_betas(e, to, err)))
        return rc;
    if (!ddim)
        put_text(to, "variance_type", dm_value_is(sampler, "variance", "fixed_large") ? "fixed_large"
                                      : !learned(obj, sampler) ? "fixed_small"
                                      : dm_value_is(obj, "variance", "log") ? "learned" : "learned_range");
    fprintf(to, "  \"timestep_spacing\": \"%s\"\n}\n", dm_value_is(grid, "spacing", "trailing") ? "trailing"
                                                         : dm_value_is(grid, "spacing", "linspace") ? "linspace"
                                                                                                    : "leading");
    return DM_OK;
}
