/* UNet2DModel's config.json as a network section. Absent keys mean what they mean to diffusers. */
#include "interop/read/diffusers.h"

#include "text/number.h"

#include <string.h>

enum { LEVELS = 16 };
typedef struct lists {
    int n;
    int64_t channels[LEVELS];
    bool attend[LEVELS], resnet[LEVELS], attend_up[LEVELS], resnet_up[LEVELS];
} lists;

static const char *const block_names[2][3] = {{"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"},
                                              {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"}};

/* One list of block types into attend and resnet, finest level first. */
static void read_blocks(dm_config *c, bool up, lists *l)
{
    static const char *const defaults[2][4] = {{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"},
                                               {"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"}};
    const char *key = up ? "up_block_types" : "down_block_types";
    const json_t *list = dm_config_list(c, key, 1, LEVELS);
    const bool resnet = dm_config_choice(c, up ? "upsample_type" : "downsample_type", "conv", "conv|resnet") == 1;
    const int n = list ? (int)json_array_size(list) : 4;

    if (n != l->n) {
        dm_config_fail(c, key, "has %d entries; block_out_channels has %d", n, l->n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const char *name = list ? json_string_value(json_array_get(list, (size_t)i)) : defaults[up][i];
        const int level = up ? n - 1 - i : i;
        int kind = 0;

        if (name && !strncmp(name, "UNetRes", 7))
            name += 7;
        while (kind < 3 && (!name || strcmp(name, block_names[up][kind])))
            kind++;
        if (kind == 3)
            dm_config_fail(c, key, "has '%.60s', which demist does not know; it has %s, %s and %s", name ? name : "?",
                           block_names[up][0],
                           block_names[up][1], block_names[up][2]);
        (up ? l->attend_up : l->attend)[level] = kind == 1;
        (up ? l->resnet_up : l->resnet)[level] = kind == 2 || (kind == 1 && resnet);
    }
}

static void read_lists(dm_config *c, lists *l)
{
    static const int64_t defaults[] = {224, 448, 672, 896};
    const json_t *list = dm_config_list(c, "block_out_channels", 1, LEVELS);

    l->n = list ? (int)json_array_size(list) : 4;
    for (int i = 0; i < l->n; i++) {
        const json_t *v = list ? json_array_get(list, (size_t)i) : NULL;

        l->channels[i] = list ? json_integer_value(v) : defaults[i];
        if (l->channels[i] < 1 || l->channels[i] > 8192)
            dm_config_fail(c, "block_out_channels", "must hold whole numbers from 1 to 8192");
    }
    read_blocks(c, false, l);
    read_blocks(c, true, l);
}

static void read_size(dm_config *c, int levels, dm_network_facts *f)
{
    const json_t *v = json_object_get(c->root, "sample_size");
    const json_t *h = json_is_array(v) ? json_array_get(v, 0) : v;
    const json_t *w = json_is_array(v) ? json_array_get(v, json_array_size(v) - 1) : v;

    f->height = f->width = (int64_t)1 << (levels - 1);
    f->sized = dm_config_has(c, "sample_size");
    if (!f->sized)
        return;
    if (!json_is_integer(h) || !json_is_integer(w) || (json_is_array(v) && json_array_size(v) != 2) ||
        json_integer_value(h) < 1 || json_integer_value(w) < 1 || json_integer_value(h) > 16384 ||
        json_integer_value(w) > 16384) {
        dm_config_fail(c, "sample_size", "must be a side or [height, width], 1 to 16384 each");
        return;
    }
    f->height = json_integer_value(h);
    f->width = json_integer_value(w);
}

/* As usual (NULL: all 0): [], as the plugin's default says it. */
static void print_flags(FILE *to, const char *key, const bool *v, int n, const bool *usual)
{
    bool same = true;

    for (int i = 0; i < n; i++)
        same = same && v[i] == (usual && usual[i]);
    fprintf(to, "  %s: [", key);
    for (int i = 0; i < n && !same; i++)
        fprintf(to, "%s%d", i ? ", " : "", v[i]);
    fprintf(to, "]\n");
}

static void print_real(FILE *to, const char *key, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "  %s: %s\n", key, dm_number_write(v, text));
}

static void print_bool(FILE *to, const char *key, bool v) { fprintf(to, "  %s: %s\n", key, v ? "true" : "false"); }

static void put_shape(dm_config *c, FILE *to, const lists *l)
{
    fprintf(to, "network:\n  use: unet\n  channels: [");
    for (int i = 0; i < l->n; i++)
        fprintf(to, "%s%lld", i ? ", " : "", (long long)l->channels[i]);
    fprintf(to, "]\n");
    fprintf(to, "  attend: [");
    for (int i = 0; i < l->n; i++)
        fprintf(to, "%s%d", i ? ", " : "", l->attend[i]);
    fprintf(to, "]\n");
    print_flags(to, "attend_up", l->attend_up, l->n, l->attend);
    print_flags(to, "down_resnet", l->resnet, l->n, NULL);
    print_flags(to, "up_resnet", l->resnet_up, l->n, NULL);
    fprintf(to, "  layers: %lld\n", (long long)dm_config_int(c, "layers_per_block", 2, 1, 16));
}

static void put_blocks(dm_config *c, FILE *to)
{
    static const char *const acts[] = {"silu", "silu", "mish", "gelu", "relu"};
    /* null: one head; absent: diffusers' default, 8. */
    const bool one_head = json_is_null(json_object_get(c->root, "attention_head_dim"));
    const int64_t head = one_head ? dm_config_int_or_none(c, "attention_head_dim", 1, 8192)
                                  : dm_config_int(c, "attention_head_dim", 8, 1, 8192);

    fprintf(to, "  groups: %lld\n", (long long)dm_config_int(c, "norm_num_groups", 32, 1, 1024));
    print_real(to, "eps", dm_config_real(c, "norm_eps", 1e-5));
    print_real(to, "dropout", dm_config_real(c, "dropout", 0));
    fprintf(to, "  head_dim: %lld\n", (long long)head);
    fprintf(to, "  padding: %lld\n", (long long)dm_config_int(c, "downsample_padding", 1, 0, 1));
    fprintf(to, "  act: %s\n", acts[dm_config_choice(c, "act_fn", "silu", "silu|swish|mish|gelu|relu")]);
    print_bool(to, "scale_shift", dm_config_choice(c, "resnet_time_scale_shift", "default",
                                                   "default|scale_shift") == 1);
    print_bool(to, "mid", dm_config_choice(c, "mid_block_type", "UNetMidBlock2D", "null|UNetMidBlock2D") == 1);
    print_bool(to, "mid_attention", dm_config_bool(c, "add_attention", true));
    fprintf(to, "  mid_groups: %lld\n", (long long)dm_config_int_or_none(c, "attn_norm_num_groups", 1, 1024));
    print_real(to, "mid_scale", dm_config_real(c, "mid_block_scale_factor", 1));
    print_bool(to, "center", dm_config_bool(c, "center_input_sample", false));
}

static void put_time(dm_config *c, FILE *to, dm_network_facts *f)
{
    static const char *const times[] = {"positional", "fourier", "learned"};
    const int time = dm_config_choice(c, "time_embedding_type", "positional", "positional|fourier|learned");
    const int64_t rows = dm_config_int_or_none(c, "num_train_timesteps", 1, 1000000);

    if (time == 2 && !rows)
        dm_config_fail(c, "num_train_timesteps", "is needed by a learned time embedding");
    f->fourier = time == 1;
    f->time_rows = time == 2 ? rows : 0;
    fprintf(to, "  time: %s\n  time_dim: %lld\n", times[time],
            (long long)dm_config_int_or_none(c, "time_embedding_dim", 1, 65536));
    if (time == 2)
        fprintf(to, "  time_rows: %lld\n", (long long)rows);
    print_bool(to, "flip_sin_to_cos", dm_config_bool(c, "flip_sin_to_cos", true));
    print_real(to, "freq_shift", dm_config_real(c, "freq_shift", 0));
}

/* wide: elements of the time embedding, to which the classes' is added. */
static void put_classes(dm_config *c, FILE *to, int64_t wide, dm_network_facts *f)
{
    const int kind = dm_config_choice(c, "class_embed_type", "null", "null|timestep|identity");
    const int64_t rows = dm_config_int_or_none(c, "num_class_embeds", 1, 1 << 20);

    /* Classes as numbers are not counted anywhere; they are like timesteps. */
    f->classes = kind == 2 ? 0 : rows ? rows : kind == 1 ? 1000 : 0;
    f->label_width = kind == 2 ? wide : 0;
    fprintf(to, "  class_embed: %s\n  class_rows: %lld\n",
            kind == 2 ? "vector" : kind == 1 ? "timestep" : rows ? "table" : "none", (long long)rows);
}

void dm_unet_put(dm_config *c, FILE *to, dm_network_facts *f)
{
    static const char *const ema[] = {"decay", "min_decay", "inv_gamma", "power", "optimization_step",
                                      "update_after_step", "use_ema_warmup"};
    const int64_t wide = dm_config_int_or_none(c, "time_embedding_dim", 1, 65536);
    lists l = {0};

    f->class_name = "UNet2DModel";
    f->channels = dm_config_int(c, "in_channels", 3, 1, 4096);
    f->outputs = dm_config_int(c, "out_channels", 3, 1, 4096);
    read_lists(c, &l);
    read_size(c, l.n ? l.n : 1, f);
    put_shape(c, to, &l);
    put_blocks(c, to);
    put_time(c, to, f);
    put_classes(c, to, wide ? wide : 4 * l.channels[0], f);
    for (size_t i = 0; i < sizeof ema / sizeof ema[0]; i++)
        dm_config_ignore(c, ema[i]);
}
