/* DiTTransformer2DModel's config.json as a network section; as Transformer2DModel, which it was until 2024, too. Absent
 * keys mean what they mean to diffusers. */
#include "interop/read/diffusers.h"

#include "text/number.h"

#include <string.h>

enum { MOST_WIDE = 65536, MOST_SIDE = 16384 };

static bool was_called(const char *name) { return !strcmp(name, "Transformer2DModel"); }

bool dm_dit_is(const char *name) { return !strcmp(name, "DiTTransformer2DModel") || was_called(name); }

static void print_real(FILE *to, const char *key, double v)
{
    char text[DM_NUMBER_TEXT];

    fprintf(to, "  %s: %s\n", key, dm_number_write(v, text));
}

/* What Transformer2DModel has for other networks, and this one for none. */
static void refuse_others(dm_config *c)
{
    static const char *const keys[] = {"norm_elementwise_affine", "cross_attention_dim", "num_vector_embeds",
                                       "only_cross_attention", "double_self_attention", "caption_channels",
                                       "interpolation_scale", "use_additional_conditions"};
    const char *name = json_string_value(json_object_get(c->root, "_class_name"));

    dm_config_choice(c, "norm_type", was_called(name) ? "layer_norm" : "ada_norm_zero", "ada_norm_zero");
    dm_config_choice(c, "attention_type", "default", "default");
    dm_config_choice(c, "activation_fn", "gelu-approximate", "gelu-approximate");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (dm_config_has(c, keys[i]) && !json_is_false(json_object_get(c->root, keys[i])))
            dm_config_fail(c, keys[i], "has no counterpart in demist's dit; it must be false or null");
    dm_config_ignore(c, "norm_num_groups");       /* of images that are not cut into patches */
    dm_config_ignore(c, "use_linear_projection"); /* the same */
    dm_config_bool(c, "upcast_attention", false); /* attention is computed in fp32 as it is */
}

static void put_shape(dm_config *c, FILE *to, dm_network_facts *f)
{
    const int64_t heads = dm_config_int(c, "num_attention_heads", 16, 1, 1024);
    const int64_t each = dm_config_int(c, "attention_head_dim", 72, 1, MOST_WIDE);
    const int64_t patch = dm_config_int(c, "patch_size", 2, 1, 64);

    f->height = f->width = dm_config_int(c, "sample_size", 32, 1, MOST_SIDE);
    f->sized = true;
    if (f->height % patch)
        dm_config_fail(c, "sample_size", "is %lld, which patch_size, %lld, does not divide", (long long)f->height,
                       (long long)patch);
    if (heads * each > MOST_WIDE || heads * each % 4)
        dm_config_fail(c, "attention_head_dim",
                       "is %lld, with %lld heads; a token's width, their product, must be a multiple of 4, at most %d",
                       (long long)each, (long long)heads, (int)MOST_WIDE);
    fprintf(to, "network:\n  use: dit\n  patch: %lld\n  width: %lld\n  depth: %lld\n  heads: %lld\n", (long long)patch,
            (long long)(heads * each), (long long)dm_config_int(c, "num_layers", 28, 1, 1024), (long long)heads);
    /* Images of another size have the places of those of this. */
    fprintf(to, "  positions_side: %lld\n", (long long)(f->height / patch));
}

void dm_dit_put(dm_config *c, FILE *to, dm_network_facts *f)
{
    const double eps = dm_config_real(c, "norm_eps", 1e-5);

    f->class_name = "DiTTransformer2DModel";
    f->channels = dm_config_int(c, "in_channels", 4, 1, 4096);
    f->outputs = dm_config_has(c, "out_channels") ? dm_config_int(c, "out_channels", 0, 1, 4096) : f->channels;
    /* The class after the last stands for none. */
    f->classes = dm_config_int(c, "num_embeds_ada_norm", 1000, 1, 1 << 20);
    refuse_others(c);
    put_shape(c, to, f);
    if (!(eps > 0 && eps <= 1))
        dm_config_fail(c, "norm_eps", "is %g; it must be above 0, at most 1", eps);
    print_real(to, "dropout", dm_config_real(c, "dropout", 0));
    fprintf(to, "  qkv_bias: %s\n", dm_config_bool(c, "attention_bias", true) ? "true" : "false");
    /* What diffusers has fixed: the other norms' eps, the sines and cosines of a timestep. */
    fprintf(to, "  eps: 1e-6\n");
    print_real(to, "hidden_eps", eps);
    fprintf(to, "  time_in: 256\n  freq_shift: 1\n  block_embed: true\n");
    fprintf(to, "train:\n  drop_condition: [0.1]\n");
}
