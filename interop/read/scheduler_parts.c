/* Parts that schedulers have in common; see scheduler.h. */
#include "interop/read/scheduler.h"

#include "text/number.h"

#include <string.h>

void dm_scheduler_put_real(FILE *to, const char *key, double v)
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

int64_t dm_scheduler_put_betas(dm_config *c, int64_t def, double def_from, double def_till, FILE *to)
{
    static const char *const names[] = {"linear", "scaled_linear", "cosine", "sigmoid_beta"};
    const int64_t T = dm_config_int(c, "num_train_timesteps", def, 1, 1000000);
    const json_t *betas = dm_config_has(c, "trained_betas") ? dm_config_list(c, "trained_betas", 1, 50000) : NULL;
    const double from = dm_config_real(c, "beta_start", def_from), till = dm_config_real(c, "beta_end", def_till);
    const int kind = dm_config_choice(c, "beta_schedule", "linear", "linear|scaled_linear|squaredcos_cap_v2|sigmoid");

    fprintf(to, "schedule:\n  timesteps: %lld\n", (long long)T);
    if (betas) {
        put_betas(c, betas, T, to);
    } else {
        fprintf(to, "  use: %s\n", names[kind]);
        if (kind != 2) {
            dm_scheduler_put_real(to, "beta_start", from);
            dm_scheduler_put_real(to, "beta_end", till);
        }
    }
    fprintf(to, "  zero_terminal_snr: %s\n", dm_config_bool(c, "rescale_betas_zero_snr", false) ? "true" : "false");
    return T;
}

void dm_scheduler_put_clip(dm_config *c, bool def, FILE *to)
{
    const bool clip = dm_config_bool(c, "clip_sample", def), dynamic = dm_config_bool(c, "thresholding", false);
    const double range = dm_config_real(c, "clip_sample_range", 1);
    const double ratio = dm_config_real(c, "dynamic_thresholding_ratio", 0.995);
    const double most = dm_config_real(c, "sample_max_value", 1);

    if (dynamic)
        fprintf(to, "  clip: dynamic\n");
    else if (clip)
        dm_scheduler_put_real(to, "clip", range);
    else
        fprintf(to, "  clip: off\n");
    if (dynamic) { /* else they mean nothing, whatever they are */
        dm_scheduler_put_real(to, "dynamic_ratio", ratio);
        dm_scheduler_put_real(to, "dynamic_max", most);
    }
}

/* Channels beyond the image's are a variance only to a scheduler that asks for one. */
void dm_scheduler_put_objective(dm_config *c, const dm_network_facts *f, FILE *to)
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
