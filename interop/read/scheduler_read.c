/* A scheduler_config.json as schedule, objective, grid and sampler: DDPMScheduler and DDIMScheduler; others are in
 * scheduler_solvers.c. */
#include "interop/read/scheduler.h"

#include <string.h>

enum { DDPM, DDIM };

static void put_sampler(dm_config *c, int kind, int64_t T, FILE *to)
{
    static const char *const spacings[] = {"leading", "trailing", "linspace"};
    static const char *const variances[] = {"fixed_small", "fixed_small", "fixed_large", "fixed_large", "learned",
                                            "learned"};
    const int spacing = dm_config_choice(c, "timestep_spacing", "leading", "leading|trailing|linspace");
    const int64_t offset = dm_config_int(c, "steps_offset", 0, 0, 1000000);

    /* DDPM's pipeline takes all steps, DDIM's 50; an offset, which leading alone has, leaves no room for all. */
    const bool all = kind == DDPM && (!offset || spacing);

    fprintf(to, "grid:\n  use: uniform\n  spacing: %s\n  offset: %lld\n", spacings[spacing],
            (long long)(spacing ? 0 : offset));
    if (kind == DDIM)
        fprintf(to, "  last: %s\n", dm_config_bool(c, "set_alpha_to_one", true) ? "data" : "first");
    fprintf(to, "sampler:\n  use: %s\n  steps: %lld\n", kind == DDIM ? "ddim" : "ddpm",
            (long long)(all ? 0 : T < 50 ? T : 50));
    if (kind == DDPM)
        fprintf(to, "  variance: %s\n", variances[dm_config_choice(c, "variance_type", "fixed_small",
                                                                   "fixed_small|fixed_small_log|fixed_large|"
                                                                 "fixed_large_log|learned|learned_range")]);
    else
        fprintf(to, "  variance: posterior\n");
    dm_scheduler_put_clip(c, true, to);
    /* diffusers' DDIM keeps the network's eps beside a clipped x0. */
    fprintf(to, "  clip_eps: %s\n", kind == DDIM ? "false" : "true");
}

static void put(dm_config *c, const dm_network_facts *f, FILE *to)
{
    const char *name = json_string_value(json_object_get(c->root, "_class_name"));
    int64_t T;

    if (name && strcmp(name, "DDPMScheduler") && strcmp(name, "DDIMScheduler")) {
        if (!dm_solver_put(c, name, f, to))
            dm_config_fail(c, "_class_name", "is '%.60s', which is not supported; these are: %s", name,
                           dm_solver_names());
        return;
    }
    /* A network without a scheduler is told of as many steps as it knows. */
    T = dm_scheduler_put_betas(c, json_object_size(c->root) || !f->time_rows ? 1000 : f->time_rows, 1e-4, 0.02, to);
    dm_scheduler_put_objective(c, f, to);
    put_sampler(c, name && !strcmp(name, "DDIMScheduler") ? DDIM : DDPM, T, to);
}

dm_status dm_scheduler_read(const char *path, const dm_network_facts *f, FILE *to, dm_err *err)
{
    dm_config c = {.path = "scheduler"};
    dm_status rc;

    if (path && (rc = dm_config_open(&c, path, err)))
        return rc;
    if (!path && !(c.root = json_object()))
        return dm_error(err, DM_ENOMEM, "out of memory for a scheduler");
    put(&c, f, to);
    return dm_config_end(&c, err);
}
