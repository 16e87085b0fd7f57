/* What the writers of a scheduler_config.json share; see scheduler_parts.h. */
#include "interop/write/scheduler_parts.h"

#include "text/number.h"
#include "noise/noise.h"

#include <math.h>
#include <string.h>

void dm_config_put_real(FILE *to, const char *key, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "  \"%s\": %s,\n", key, dm_number_write(v, text));
}

void dm_config_put_int(FILE *to, const char *key, int64_t v) { fprintf(to, "  \"%s\": %lld,\n", key, (long long)v); }

void dm_config_put_bool(FILE *to, const char *key, bool v)
{
    fprintf(to, "  \"%s\": %s,\n", key, v ? "true" : "false");
}

void dm_config_put_text(FILE *to, const char *key, const char *v) { fprintf(to, "  \"%s\": \"%s\",\n", key, v); }

/* diffusers' name of the schedule, NULL where it has none. */
static const char *schedule_name(const dm_section *s, bool sigmoid)
{
    if (dm_uses(s, "linear"))
        return "linear";
    if (dm_uses(s, "scaled_linear"))
        return "scaled_linear";
    if (dm_uses(s, "sigmoid_beta") && sigmoid)
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
static dm_status put_trained_betas(const dm_experiment *e, FILE *to, dm_err *err)
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

dm_status dm_config_put_betas(const dm_experiment *e, bool sigmoid, bool rescales, FILE *to, dm_err *err)
{
    const dm_section *schedule = &e->section[DM_SEC_SCHEDULE];
    const char *name = schedule_name(schedule, sigmoid);
    const double k = dm_value_bool(schedule, "per_1000") ? 1000.0 / (double)e->schedule.timesteps : 1;
    const bool ends = name && strcmp(name, "squaredcos_cap_v2");

    dm_config_put_real(to, "beta_end", ends ? k * dm_value_real(schedule, "beta_end") : 0.02);
    dm_config_put_text(to, "beta_schedule", name ? name : "linear");
    dm_config_put_real(to, "beta_start", ends ? k * dm_value_real(schedule, "beta_start") : 1e-4);
    dm_config_put_int(to, "num_train_timesteps", e->schedule.timesteps);
    if (rescales) /* the betas of other schedules have it in them */
        dm_config_put_bool(to, "rescale_betas_zero_snr",
                           e->schedule.zero_terminal_snr && (name || dm_uses(schedule, "betas")));
    return name ? DM_OK : put_trained_betas(e, to, err);
}

void dm_config_put_prediction(const dm_experiment *e, FILE *to)
{
    const dm_section *obj = &e->section[DM_SEC_OBJECTIVE];

    dm_config_put_text(to, "prediction_type", dm_value_is(obj, "predict", "x0")  ? "sample"
                                              : dm_value_is(obj, "predict", "v") ? "v_prediction"
                                                                                 : "epsilon");
}

void dm_config_put_spacing(const dm_experiment *e, FILE *to)
{
    const dm_section *grid = &e->section[DM_SEC_GRID];

    dm_config_put_text(to, "timestep_spacing", dm_value_is(grid, "spacing", "trailing")   ? "trailing"
                                               : dm_value_is(grid, "spacing", "linspace") ? "linspace"
                                                                                          : "leading");
    dm_config_put_int(to, "steps_offset", dm_value_int(grid, "offset"));
}

bool dm_config_clips(const dm_experiment *e, const dm_data_info *data)
{
    const char *clip = e->sampler.clip;

    return strcmp(clip, "dynamic") && strcmp(clip, "off") && (strcmp(clip, "auto") || data->levels > 0);
}

double dm_config_clip_range(const dm_experiment *e)
{
    double range;

    return dm_number_real(e->sampler.clip, &range) == DM_NUMBER_OK ? range : 1;
}

const char *dm_config_variance(const dm_experiment *e)
{
    const dm_section *obj = &e->section[DM_SEC_OBJECTIVE];
    const bool fixed = dm_value_is(obj, "variance", "fixed_small") || dm_value_is(obj, "variance", "fixed_large");

    if (!dm_uses(obj, "hybrid") && (!dm_uses(obj, "vlb") || fixed))
        return NULL;
    return dm_value_is(obj, "variance", "log") ? "learned" : "learned_range";
}
