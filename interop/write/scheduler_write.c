/* Schedule, objective and sampler as a scheduler_config.json: DDPMScheduler and DDIMScheduler; others are in
 * solver_write.c. What the config has no key for is an argument of diffusers' calls: the number of steps, eta, the
 * clipped eps. */
#include "interop/write/scheduler_parts.h"

#include <string.h>

/* Is the noise of a step of a variance that the network tells? */
static bool learned(const dm_experiment *e)
{
    const dm_section *sampler = &e->section[DM_SEC_SAMPLER];

    return dm_value_is(sampler, "variance", "learned") ||
           (dm_value_is(sampler, "variance", "auto") && dm_config_variance(e));
}

bool dm_scheduler_ends_noisy(const dm_experiment *e)
{
    const dm_section *sampler = &e->section[DM_SEC_SAMPLER], *grid = &e->section[DM_SEC_GRID];

    return dm_uses(sampler, "ddpm") &&
           (dm_value_is(sampler, "variance", "fixed_large") || learned(e)) &&
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
                        "vlb can be exported",
                        obj->plugin ? obj->plugin->name : "none");
    if (!dm_uses(sampler, "ddpm") && !dm_uses(sampler, "ddim"))
        return dm_error(err, DM_EINVAL, "sampler '%s' cannot be exported; give sampler.use=ddpm, sampler.use=ddim or "
                                        "another that diffusers has",
                        sampler->plugin ? sampler->plugin->name : "none");
    if (!dm_uses(grid, "uniform"))
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler and DDIMScheduler cannot express grid '%s'; give grid.use=uniform",
                        grid->plugin ? grid->plugin->name : "none");
    if (dm_value_bool(grid, "one_more") && !dm_value_is(grid, "spacing", "trailing"))
        return dm_error(err, DM_EINVAL, "diffusers' DDPMScheduler and DDIMScheduler cannot express grid.one_more; give "
                                        "grid.one_more=false");
    if (dm_uses(sampler, "ddpm") && !dm_value_is(grid, "last", "data"))
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDPMScheduler ends at the data; give grid.last=data, or sampler.use=ddim");
    if (dm_uses(sampler, "ddim") && learned(e) && dm_value_real(sampler, "eta") > 0)
        return dm_error(err, DM_EINVAL,
                        "diffusers' DDIMScheduler uses no learned variance; give sampler.variance=posterior");
    return DM_OK;
}

dm_status dm_scheduler_write(const dm_experiment *e, const dm_data_info *data, FILE *to, const char **class_name,
                             dm_err *err)
{
    const dm_section *grid = &e->section[DM_SEC_GRID], *sampler = &e->section[DM_SEC_SAMPLER];
    const bool ddim = dm_uses(sampler, "ddim");
    dm_status rc;

    if ((*class_name = dm_solver_class(e)))
        return dm_solver_write(e, data, *class_name, to, err);
    if ((rc = check(e, err)))
        return rc;
    *class_name = ddim ? "DDIMScheduler" : "DDPMScheduler";
    fprintf(to, "{\n  \"_class_name\": \"%s\",\n", *class_name);
    if ((rc = dm_config_put_betas(e, !ddim, true, to, err)))
        return rc;
    dm_config_put_prediction(e, to);
    dm_config_put_spacing(e, to);
    if (ddim)
        dm_config_put_bool(to, "set_alpha_to_one", dm_value_is(grid, "last", "data"));
    else
        dm_config_put_text(to, "variance_type", dm_value_is(sampler, "variance", "fixed_large") ? "fixed_large"
                                                : learned(e) ? dm_config_variance(e)
                                                             : "fixed_small");
    dm_config_put_real(to, "clip_sample_range", dm_config_clip_range(e));
    dm_config_put_real(to, "dynamic_thresholding_ratio", e->sampler.dynamic_ratio);
    dm_config_put_real(to, "sample_max_value", e->sampler.dynamic_max);
    dm_config_put_bool(to, "thresholding", !strcmp(e->sampler.clip, "dynamic"));
    fprintf(to, "  \"clip_sample\": %s\n}\n", dm_config_clips(e, data) ? "true" : "false");
    return DM_OK;
}
