/* A network section as DiTTransformer2DModel's config.json, keys in alphabetical order. */
#include "interop/write/diffusers_write.h"
#include "interop/write/scheduler_parts.h"

#include "text/number.h"

#include <string.h>

/* What diffusers has fixed. */
static const struct { const char *key; double is; } reals[] = {
    {"eps", 1e-6}, {"freq_shift", 1}, {"mlp_ratio", 4}, {"time_scale", 1},
};
static const struct { const char *key, *is; } choices[] = {
    {"norm", "layer"}, {"positions", "sincos"}, {"qk_norm", "none"},
};

/* Width, depth and heads by size, where they are 0. */
static int64_t measure(const dm_section *net, const char *key, int which)
{
    static const char *const sizes[] = {"S", "B", "L", "XL"};
    static const int64_t of[][3] = {{384, 12, 6}, {768, 12, 12}, {1024, 24, 16}, {1152, 28, 16}};
    const int64_t given = dm_value_int(net, key);

    for (int i = 0; i < 4 && !given; i++)
        if (dm_value_is(net, "size", sizes[i]))
            return of[i][which];
    return given;
}

int64_t dm_dit_blocks(const dm_section *net) { return measure(net, "depth", 1); }

int64_t dm_dit_width(const dm_section *net) { return measure(net, "width", 0); }

bool dm_dit_classless(const dm_section *net, const dm_data_info *data)
{
    return !data->classes || !dm_value_bool(net, "class_embed");
}

static dm_status check_fixed(const dm_section *net, dm_err *err)
{
    char text[DM_NUMBER_TEXT];

    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        if (dm_value_real(net, reals[i].key) != reals[i].is)
            return dm_error(err, DM_EINVAL,
                            "diffusers cannot express network.%s: its DiTTransformer2DModel has %s; train with "
                            "network.%s=%s to export",
                            reals[i].key, dm_number_write(reals[i].is, text), reals[i].key, text);
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
        if (!dm_value_is(net, choices[i].key, choices[i].is))
            return dm_error(err, DM_EINVAL,
                            "diffusers cannot express network.%s: its DiTTransformer2DModel has %s; train with "
                            "network.%s=%s to export",
                            choices[i].key, choices[i].is, choices[i].key, choices[i].is);
    if (dm_value_int(net, "time_in") != 256)
        return dm_error(err, DM_EINVAL, "diffusers cannot express network.time_in = %lld: its DiTTransformer2DModel "
                        "has 256; train with network.time_in=256 to export", (long long)dm_value_int(net, "time_in"));
    return DM_OK;
}

static dm_status check(const dm_experiment *e, const dm_data_info *data, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK];
    const int64_t side = dm_value_int(net, "positions_side");

    if (data->shape.rank != 3)
        return dm_error(err, DM_EINVAL, "diffusers has no network for data other than images");
    if (data->shape.dim[1] != data->shape.dim[2])
        return dm_error(err, DM_EINVAL, "diffusers' DiTTransformer2DModel is for square images; this model's are %lld "
                        "x %lld", (long long)data->shape.dim[2], (long long)data->shape.dim[1]);
    if (e->condition.derive.n || data->n_conditions)
        return dm_error(err, DM_EINVAL, "diffusers' DiTTransformer2DModel has no conditions but the class; this model "
                        "has others (section condition, or of the data)");
    if (side && side != data->shape.dim[1] / dm_value_int(net, "patch"))
        return dm_error(err, DM_EINVAL, "diffusers cannot express network.positions_side = %lld: its "
                        "DiTTransformer2DModel has as many places as tokens to a side, %lld; train with "
                        "network.positions_side=0 to export", (long long)side,
                        (long long)(data->shape.dim[1] / dm_value_int(net, "patch")));
    return check_fixed(net, err);
}

dm_status dm_dit_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK], *obj = &e->section[DM_SEC_OBJECTIVE];
    const int64_t outputs = dm_value_int(obj, "outputs"), heads = measure(net, "heads", 2);
    const double eps = dm_value_real(net, "hidden_eps");
    const dm_status rc = check(e, data, err);

    if (rc)
        return rc;
    fprintf(to, "{\n  \"_class_name\": \"DiTTransformer2DModel\",\n");
    dm_config_put_text(to, "activation_fn", "gelu-approximate");
    dm_config_put_bool(to, "attention_bias", dm_value_bool(net, "qkv_bias"));
    dm_config_put_int(to, "attention_head_dim", dm_dit_width(net) / heads);
    dm_config_put_real(to, "dropout", dm_value_real(net, "dropout"));
    dm_config_put_int(to, "in_channels", data->shape.dim[0]);
    dm_config_put_bool(to, "norm_elementwise_affine", false);
    dm_config_put_real(to, "norm_eps", eps > 0 ? eps : dm_value_real(net, "eps"));
    dm_config_put_text(to, "norm_type", "ada_norm_zero");
    dm_config_put_int(to, "num_attention_heads", heads);
    dm_config_put_int(to, "num_embeds_ada_norm", dm_dit_classless(net, data) ? 1 : data->classes);
    dm_config_put_int(to, "num_layers", dm_dit_blocks(net));
    dm_config_put_int(to, "out_channels", outputs ? outputs : data->shape.dim[0] * (dm_config_variance(e) ? 2 : 1));
    dm_config_put_int(to, "patch_size", dm_value_int(net, "patch"));
    fprintf(to, "  \"sample_size\": %lld\n}\n", (long long)data->shape.dim[1]);
    return DM_OK;
}
