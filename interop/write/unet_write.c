/* A network section as UNet2DModel's config.json, keys in alphabetical order. */
#include "interop/write/diffusers_write.h"

#include "interop/write/scheduler_parts.h"

#include <string.h>

/* 0 is null. */
static void put_int(FILE *to, const char *key, int64_t v)
{
    if (v)
        fprintf(to, "  \"%s\": %lld,\n", key, (long long)v);
    else
        fprintf(to, "  \"%s\": null,\n", key);
}

static void put_text(FILE *to, const char *key, const char *v)
{
    fprintf(to, v ? "  \"%s\": \"%s\",\n" : "  \"%s\": null,\n", key, v);
}

static bool at(const dm_ints *list, int level) { return list && level < list->n && list->v[level]; }

typedef struct way { const dm_ints *attend, *resnet; int n, last; } way; /* last: the level that is not resized */

static way way_of(const dm_section *net, bool up)
{
    const dm_ints *attend = dm_value_ints(net, "attend"), *other = dm_value_ints(net, "attend_up");
    const int n = attend->n;

    return (way){up && other->n ? other : attend, dm_value_ints(net, up ? "up_resnet" : "down_resnet"), n,
                 up ? 0 : n - 1};
}

/* diffusers has one type of resizing for all levels with attention: 1 residual blocks, 0 convolutions, -1 both. */
static int resizing(const way *w)
{
    int type = at(w->attend, w->last) && at(w->resnet, w->last), seen = 0;

    for (int l = 0; l < w->n; l++)
        if (l != w->last && at(w->attend, l)) {
            if (seen++ && type != at(w->resnet, l))
                return -1;
            type = at(w->resnet, l);
        }
    return type;
}

static void put_blocks(FILE *to, const dm_section *net, bool up)
{
    static const char *const names[2][3] = {{"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"},
                                            {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"}};
    const way w = way_of(net, up);

    fprintf(to, "  \"%s\": [", up ? "up_block_types" : "down_block_types");
    for (int i = 0; i < w.n; i++) {
        const int l = up ? w.n - 1 - i : i;

        fprintf(to, "%s\"%s\"", i ? ", " : "", names[up][at(w.attend, l) ? 1 : at(w.resnet, l) ? 2 : 0]);
    }
    fprintf(to, "],\n");
}

static const char *act(const dm_section *net)
{
    static const char *const names[] = {"silu", "mish", "gelu", "relu"};

    for (size_t i = 1; i < 4; i++)
        if (dm_value_is(net, "act", names[i]))
            return names[i];
    return names[0];
}

static dm_status check(const dm_experiment *e, const dm_data_info *data, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK];
    const way down = way_of(net, false), up = way_of(net, true);

    if (data->shape.rank != 3)
        return dm_error(err, DM_EINVAL, "diffusers has no network for data other than images");
    if (e->condition.derive.n || data->n_conditions)
        return dm_error(err, DM_EINVAL, "diffusers' UNet2DModel has no conditions but the class; this model has others "
                                        "(section condition, or of the data)");
    if (dm_value_int(net, "heads") > 1)
        return dm_error(err, DM_EINVAL,
                        "diffusers cannot express network.heads = %lld: its heads have as many channels at "
                        "every level (network.head_dim)",
                        (long long)dm_value_int(net, "heads"));
    if (dm_value_int(net, "time_in") && dm_value_int(net, "time_in") != dm_value_ints(net, "channels")->v[0])
        return dm_error(err, DM_EINVAL,
                        "diffusers cannot express network.time_in = %lld: its time embedding begins as wide "
                        "as the first of channels",
                        (long long)dm_value_int(net, "time_in"));
    if (dm_value_real(net, "time_scale") != 1)
        return dm_error(err, DM_EINVAL,
                        "diffusers cannot express network.time_scale: its networks take the timestep");
    if (resizing(&down) < 0 || resizing(&up) < 0)
        return dm_error(err, DM_EINVAL,
                        "diffusers cannot express network.%s: its levels with attention are all resized by residual "
                        "blocks, or all by convolutions", resizing(&down) < 0 ? "down_resnet" : "up_resnet");
    return DM_OK;
}

static void put_first_half(FILE *to, const dm_section *net, const dm_data_info *data)
{
    const dm_ints *channels = dm_value_ints(net, "channels");
    const way down = way_of(net, false);

    put_text(to, "act_fn", act(net));
    dm_config_put_bool(to, "add_attention", dm_value_bool(net, "mid_attention"));
    put_int(to, "attention_head_dim", dm_value_int(net, "heads") ? 0 : dm_value_int(net, "head_dim"));
    put_int(to, "attn_norm_num_groups", dm_value_int(net, "mid_groups"));
    fprintf(to, "  \"block_out_channels\": [");
    for (int32_t i = 0; i < channels->n; i++)
        fprintf(to, "%s%lld", i ? ", " : "", (long long)channels->v[i]);
    fprintf(to, "],\n");
    dm_config_put_bool(to, "center_input_sample", dm_value_bool(net, "center"));
    put_text(to, "class_embed_type", dm_value_is(net, "class_embed", "timestep") ? "timestep" : NULL);
    put_blocks(to, net, false);
    fprintf(to, "  \"downsample_padding\": %lld,\n", (long long)dm_value_int(net, "padding"));
    put_text(to, "downsample_type", resizing(&down) ? "resnet" : "conv");
    dm_config_put_real(to, "dropout", dm_value_real(net, "dropout"));
    dm_config_put_bool(to, "flip_sin_to_cos", dm_value_bool(net, "flip_sin_to_cos"));
    dm_config_put_real(to, "freq_shift", dm_value_real(net, "freq_shift"));
    put_int(to, "in_channels", data->shape.dim[0]);
    put_int(to, "layers_per_block", dm_value_int(net, "layers"));
}

dm_status dm_unet_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK], *obj = &e->section[DM_SEC_OBJECTIVE];
    const int64_t rows = dm_value_int(net, "class_rows"), outputs = dm_value_int(obj, "outputs");
    const bool table = dm_value_is(net, "class_embed", "table"), learned = dm_value_is(net, "time", "learned");
    dm_status rc;
    way up;

    if ((rc = check(e, data, err)))
        return rc;
    up = way_of(net, true);
    fprintf(to, "{\n  \"_class_name\": \"UNet2DModel\",\n");
    put_first_half(to, net, data);
    dm_config_put_real(to, "mid_block_scale_factor", dm_value_real(net, "mid_scale"));
    if (!dm_value_bool(net, "mid"))
        put_text(to, "mid_block_type", NULL);
    dm_config_put_real(to, "norm_eps", dm_value_real(net, "eps"));
    put_int(to, "norm_num_groups", dm_value_int(net, "groups"));
    put_int(to, "num_class_embeds", table && !rows ? data->classes + 1 : rows);
    if (learned)
        put_int(to, "num_train_timesteps", dm_value_int(net, "time_rows"));
    put_int(to, "out_channels", outputs ? outputs : data->shape.dim[0] * (dm_config_variance(e) ? 2 : 1));
    put_text(to, "resnet_time_scale_shift", dm_value_bool(net, "scale_shift") ? "scale_shift" : "default");
    if (data->shape.dim[1] == data->shape.dim[2])
        put_int(to, "sample_size", data->shape.dim[1]);
    else
        fprintf(to, "  \"sample_size\": [%lld, %lld],\n", (long long)data->shape.dim[1], (long long)data->shape.dim[2]);
    put_int(to, "time_embedding_dim", dm_value_int(net, "time_dim"));
    put_text(to, "time_embedding_type",
             learned ? "learned" : dm_value_is(net, "time", "fourier") ? "fourier" : "positional");
    put_blocks(to, net, true);
    fprintf(to, "  \"upsample_type\": \"%s\"\n}\n", resizing(&up) ? "resnet" : "conv");
    return DM_OK;
}
