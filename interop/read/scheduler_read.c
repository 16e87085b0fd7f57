/* A scheduler_config.json of DDPMScheduler or DDIMScheduler as schedule, objective and sampler. */
#include "interop/read/diffusers.h"

#include "base/number.h"

#include <string.h>

enum { DDPM, DDIM };

static void print_real(FILE *to, const char *key, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "  %s: %s\n", key, dm_number_write(v, text));
}

static void put_betas(dm_config *c, const json_t *list, int64_t T, FILE *to)
{
    char text[DM_NUMBER_TEXT];

    if ((int64_t)json_array_size(list) != T)
        dm_config_fail(c, "trained_betas", "has %zu entries; num_train_timesteps is %lld", json_array_size(list),
                       (long long)T);
    fprintf(to, "  use: betas\n  betas: [");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_number(v) || !(json_number_value(v) > 0 && json_number_value(v) <= 1))
            dm_config_fail(c, "trained_betas", "must hold numbers above 0, at most 1");
        fprintf(to, "%s%s", i ? ", " : "", dm_number_write(json_number_value(v), text));
    }
    fprintf(to, "]\n");
}

/* def: timesteps where the config does not say. */
static int64_t put_schedule(dm_config *c, int64_t def, FILE *to)
{
    static const char *const names[] = {"linear", "scaled_linear", "cosine", "sigmoid_beta"};
    const int64_t T = dm_config_int(c, "num_train_timesteps", def, 1, 1000000);
    const json_t *betas = dm_config_has(c, "trained_betas") ? dm_config_list(c, "trained_betas", 1, 50000) : NULL;
    const double from = dm_config_real(c, "beta_start", 1e-4), till = dm_config_real(c, "beta_end", 0.02);
    const int kind = dm_config_choice(c, "beta_schedule", "linear", "linear|scaled_linear|squaredcos_cap_v2|sigmoid");

    fprintf(to, "schedule:\n  timesteps: %lld\n", (long long)T);
    if (betas) {
        put_betas(c, betas, T, to);
    } else {
        fprintf(to, "  use: %s\n", names[kind]);
        if (kind != 2) {
            print_real(to, "beta_start", from);
            print_real(to, "beta_end", till);
        }
    }
    fprintf(to, "  zero_terminal_snr: %s\n", dm_config_bool(c, "rescale_betas_zero_snr", false) ? "true" : "false");
    return T;
}

static void put_clip(dm_config *c, int kind, FILE *to)
{
    const bool clip = dm_config_bool(c, "clip_sample", true), dynamic = dm_config_bool(c, "thresholding", false);
    const double range = dm_config_real(c, "clip_sample_range", 1);
    const double ratio = dm_config_real(c, "dynamic_thresholding_ratio", 0.995);
    const double most = dm_config_real(c, "sample_max_value", 1);

    if (dynamic)
        fprintf(to, "  clip: dynamic\n");
    else if (clip)
        print_real(to, "clip", range);
    else
        fprintf(to, "  clip: off\n");
    if (dynamic) { /* else they mean nothing, whatever they are */
        print_real(to, "dynamic_ratio", ratio);
        print_real(to, "dynamic_max", most);
    }
    /* diffusers' DDIM keeps the network's eps beside a clipped x0. */
    fprintf(to, "  clip_eps: %s\n", kind == DDIM ? "false" : "true");
}

static void put_sampler(dm_config *c, int kind, int64_t T, FILE *to)
{
    static const char *const spacings[] = {"leading", "trailing", "linspace"};
    static const char *const variances[] = {"fixed_small", "fixed_small", "fixed_large", "fixed_large", "learned",
                                            "learned"};
    const int spacing = dm_config_choice(c, "timestep_spacing", "leading", "leading|trailing|linspace");
    const int64_t offset = dm_config_int(c, "steps_offset", 0, 0, 1000000);

    /* DDPM's pipeline takes all steps, DDIM's 50; an offset, which leading alone has, leaves no room for all. */
    const bool all = kind == DDPM && (!offset || spacing);

    fprintf(to, "grid:\n  use: uniform\n  spacing: %s\n  offset: %lld\n", spacings[spacing], (long long)offset);
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
    put_clip(c, kind, to);
}

/* Channels beyond the image's are a variance only to a scheduler that asks for one. */
static void put_objective(dm_config *c, const dm_unet_facts *f, FILE *to)
{
    static const char *const predicts[] = {"eps", "x0", "v"};
    const int predict = dm_config_choice(c, "prediction_type", "epsilon", "epsilon|sample|v_prediction");
    const char *variance = json_string_value(json_object_get(c->root, "variance_type"));

    if (variance && !strncmp(variance, "learned", 7) && f->outputs == 2 * f->channels) {
        fprintf(to, "objective:\n  use: hybrid\n  predict: %s\n  variance: %s\n", predicts[predict],
                strcmp(variance, "learned") ? "range" : "log");
        return;
    }
    fprintf(to, "objective:\n  use: simple\n  predict: %s\n", predicts[predict]);
    if (f->outputs != f->channels)
        fprintf(to, "  outputs: %lld\n", (long long)f->outputs);
}

static void put(dm_config *c, const dm_unet_facts *f, FILE *to)
{
    const int kind = dm_config_choice(c, "_class_name", "DDPMScheduler", "DDPMScheduler|DDIMScheduler");
    /* A network without a scheduler is told of as many steps as it knows. */
    const int64_t T = put_schedule(c, json_object_size(c->root) || !f->time_rows ? 1000 : f->time_rows, to);

    put_objective(c, f, to);
    put_sampler(c, kind, T, to);
}

dm_status dm_scheduler_read(const char *path, const dm_unet_facts *f, FILE *to, dm_err *err)
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
