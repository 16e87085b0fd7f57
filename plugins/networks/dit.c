/* dit: the diffusion transformer with adaLN-Zero (Peebles & Xie 2023, figure 3 and table 1). An image is cut into
 * patches, which are tokens; the noise level, the class and vectors shift, scale and gate what each block adds.
 * Images that are conditions are more channels of the input, and each block attends to a sequence. Weights are named as
 * in diffusers' DiTTransformer2DModel, where it has them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "conditions.h"

enum { POSITIONS_SINCOS, POSITIONS_ROPE, POSITIONS_NONE };
enum { MOST_POSITIONS = 1 << 28 }; /* elements */
enum { NORM_LAYER, NORM_RMS };
enum { QK_NONE, QK_LAYER, QK_RMS };

typedef struct {
    int32_t size, positions, norm, qk_norm;
    int64_t patch, width, depth, heads, positions_side, time_in;
    double mlp_ratio, dropout, eps, hidden_eps, freq_shift, time_scale;
    bool class_embed, block_embed, qkv_bias;
} cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, size, "S", "S|B|L|XL",
            "width, depth and heads of the paper: S 384, 12, 6; B 768, 12, 12; L 1024, 24, 16; XL 1152, 28, 16"),
    DM_INT(cfg, patch, "2", 1, 64, "pixels", "side of the square that a token is of; must divide both sides"),
    DM_INT(cfg, width, "0", 0, 65536, "channels", "of a token; 0 = by size"),
    DM_INT(cfg, depth, "0", 0, 1024, "blocks", "transformer blocks; 0 = by size"),
    DM_INT(cfg, heads, "0", 0, 1024, "", "attention heads; 0 = by size"),
    DM_REAL(cfg, mlp_ratio, "4", 0.1, 64, "", "width of a block's hidden layer, times the width of a token"),
    DM_ENUM(cfg, positions, "sincos", "sincos|rope|none",
            "how a token's row and column are encoded: sines and cosines added once, or rotated queries and keys (Su "
            "et al. 2021), half of each head by the row and half by the column"),
    DM_INT(cfg, positions_side, "0", 0, 65536, "tokens",
           "rows and columns are numbered from 0 to this, in as many steps as there are tokens to a side; 0 = in ones"),
    DM_ENUM(cfg, norm, "layer", "layer|rms", "the norms before attention, before the hidden layer and at the end"),
    DM_ENUM(cfg, qk_norm, "none", "none|layer|rms", "norm of each head's queries and keys"),
    DM_REAL(cfg, dropout, "0", 0, 0.9, "", "dropout after the hidden layer's activation"),
    DM_BOOL(cfg, qkv_bias, "true", "a bias in queries, keys and values of an image's tokens"),
    DM_REAL(cfg, eps, "1e-6", 0, 1, "", "added to the variance in each norm"),
    DM_REAL(cfg, hidden_eps, "0", 0, 1, "", "the same in the norm before the hidden layer; 0 = eps"),
    DM_INT(cfg, time_in, "256", 2, 8192, "", "width of the sines and cosines of the noise level"),
    DM_REAL(cfg, freq_shift, "0", -1e3, 1e3, "", "their frequencies are 10000^(-i / (half - freq_shift))"),
    DM_REAL(cfg, time_scale, "1", 1e-6, 1e6, "", "what the noise level is multiplied by before it is embedded"),
    DM_BOOL(cfg, class_embed, "true", "condition on the class, if the data have classes"),
    DM_BOOL(cfg, block_embed, "false",
            "each block has an embedding of noise level, class and vectors of its own, and the end that of the first"),
    DM_END,
};

/* What the parameters come to; N images of h x w tokens, L of them, each D wide. */
typedef struct dims { int64_t N, h, w, L, D, depth, heads; double row, column; } dims; /* the steps of positions */

static dims measure(const cfg *p, const dm_shape *x)
{
    static const int64_t sizes[][3] = {{384, 12, 6}, {768, 12, 12}, {1024, 24, 16}, {1152, 28, 16}};
    const int64_t *of = sizes[p->size], h = x->dim[2] / p->patch, w = x->dim[3] / p->patch;

    return (dims){.row = p->positions_side ? (double)p->positions_side / (double)h : 1,
                  .column = p->positions_side ? (double)p->positions_side / (double)w : 1,
                  .N = x->dim[0], .h = h, .w = w, .L = h * w, .D = p->width ? p->width : of[0],
                  .depth = p->depth ? p->depth : of[1], .heads = p->heads ? p->heads : of[2]};
}

static dm_status check(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    const dm_shape s = g->shape(g, in->x);
    const dims d = measure(p, &s);

    if (s.rank != 4)
        return dm_fail(c, DM_EINVAL, "is for images, f32[N,C,H,W]; for points use mlp");
    if (in->noise == DM_NONE)
        dm_fail_also(c, DM_EINVAL, "needs a noise level; this objective gives none");
    if (s.dim[2] % p->patch || s.dim[3] % p->patch)
        dm_fail_also(c, DM_EINVAL, "patch is %lld; it must divide both sides of the images, %lld x %lld",
                     (long long)p->patch, (long long)s.dim[3], (long long)s.dim[2]);
    if (d.D % d.heads)
        dm_fail_also(c, DM_EINVAL, "heads: %lld do not divide the width, %lld", (long long)d.heads, (long long)d.D);
    else if (p->positions == POSITIONS_ROPE && d.D / d.heads % 4)
        dm_fail_also(c, DM_EINVAL, "positions: rope needs heads whose width is a multiple of 4; %lld heads of %lld "
                     "channels are %lld wide", (long long)d.heads, (long long)d.D, (long long)(d.D / d.heads));
    if (p->positions == POSITIONS_SINCOS && d.D % 4)
        dm_fail_also(c, DM_EINVAL, "positions: sincos needs a width that is a multiple of 4; it is %lld",
                     (long long)d.D);
    if (p->positions != POSITIONS_NONE && d.L > MOST_POSITIONS / d.D)
        dm_fail_also(c, DM_EINVAL, "patch is %lld, so an image is %lld tokens; the table of so many positions, %lld "
                     "wide, would be too large", (long long)p->patch, (long long)d.L, (long long)d.D);
    check_sequences(c, in);
    if (p->class_embed && in->labels != DM_NONE && g->shape(g, in->labels).rank != 1)
        dm_fail_also(c, DM_EINVAL, "class_embed is true; the labels are vectors, not classes");
    return c->err->code;
}

/* ---- positions ------------------------------------------------------------------------------ */

/* What stands at j of the half that a column or row at a place has. */
typedef double element(double at, int64_t j, int64_t half);

static double sine_or_cosine(double at, int64_t j, int64_t half)
{
    const int64_t n = half / 2; /* sines, then cosines */
    const double angle = at * pow(10000, -(double)(j % n) / (double)n);

    return j < n ? sin(angle) : cos(angle);
}

static double angle_of_pair(double at, int64_t j, int64_t half) { return at * pow(10000, -(double)j / (double)half); }

static float *fill_side(int64_t n, double step, int64_t half, element *of)
{
    float *v = malloc((size_t)(n * half) * sizeof *v);

    for (int64_t i = 0; v && i < n * half; i++)
        v[i] = (float)of((double)(i / half) * step, i % half, half);
    return v;
}

/* A constant of so many elements to a token, a half by its column and a half by its row. */
static dm_val table(dm_ctx *c, const dm_graph *g, const dims *d, int64_t elements, dm_shape s,
                    element *of)
{
    const int64_t half = elements / 2;
    const size_t bytes = (size_t)half * sizeof(float);
    float *columns = fill_side(d->w, d->column, half, of), *rows = fill_side(d->h, d->row, half, of);
    float *v = malloc((size_t)d->L * 2 * bytes);
    dm_val y = DM_NONE;

    if (columns && rows && v) {
        for (int64_t l = 0; l < d->L; l++) {
            memcpy(v + 2 * l * half, columns + l % d->w * half, bytes);
            memcpy(v + (2 * l + 1) * half, rows + l / d->w * half, bytes);
        }
        y = g->constant(g, v, &s);
    } else {
        dm_fail(c, DM_ENOMEM, "out of memory for the positions of %lld tokens", (long long)d->L);
    }
    free(columns);
    free(rows);
    free(v);
    return y;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static dm_val norm(const dm_graph *g, const cfg *p, dm_val x, double eps)
{
    return p->norm == NORM_RMS ? g->rms_norm(g, NULL, x, eps) : g->layer_norm(g, NULL, x, eps);
}

/* The i-th D columns of m [N,k D], for all tokens of an image. */
static dm_val column(const dm_graph *g, const dims *d, dm_val m, int64_t i)
{
    return g->reshape(g, g->slice(g, m, 1, i * d->D, d->D), &(dm_shape){3, {d->N, 1, d->D}});
}

/* normed (1 + scale) + shift, with shift and scale the i-th and the next columns of m. */
static dm_val modulate(const dm_graph *g, const dims *d, dm_val normed, dm_val m, int64_t i)
{
    const dm_val scale = g->scale(g, column(g, d, m, i + 1), 1, 1);

    return g->add(g, g->mul(g, normed, scale), column(g, d, m, i));
}

/* Queries or keys [N,L,D]: each head by itself normed, then turned by its place (angles; DM_NONE: not). */
static dm_val prepare(const dm_graph *g, const cfg *p, const dims *d, const char *name, dm_val x, dm_val angles)
{
    const dm_shape s = g->shape(g, x), each = {3, {d->N * d->L, d->heads, d->D / d->heads}};

    if (p->qk_norm != QK_NONE) {
        x = g->reshape(g, x, &each);
        x = p->qk_norm == QK_RMS ? g->rms_norm(g, name, x, p->eps) : g->layer_norm(g, name, x, p->eps);
        x = g->reshape(g, x, &s);
    }
    return angles == DM_NONE ? x : g->rope(g, x, angles, d->heads);
}

static dm_val attend(const dm_graph *g, const cfg *p, const dims *d, dm_val x, dm_val angles)
{
    const uint32_t flags = p->qkv_bias ? 0 : DM_NO_BIAS;
    const dm_val q = prepare(g, p, d, "norm_q", g->linear(g, "to_q", x, d->D, flags), angles);
    const dm_val k = prepare(g, p, d, "norm_k", g->linear(g, "to_k", x, d->D, flags), angles);

    x = g->attention(g, q, k, g->linear(g, "to_v", x, d->D, flags), d->heads);
    return g->linear(g, "to_out.0", x, d->D, 0);
}

static dm_val hidden(const dm_graph *g, const cfg *p, const dims *d, dm_val x)
{
    x = g->gelu(g, g->linear(g, "net.0.proj", x, (int64_t)(p->mlp_ratio * (double)d->D), 0));
    return g->linear(g, "net.2", g->dropout(g, x, p->dropout), d->D, 0);
}

/* told [N,D]: the activated embedding of noise level and class. Zero at first, what a block adds grows in training. */
static dm_val block(const dm_graph *g, const cfg *p, const dims *d, dm_val x, dm_val told, dm_val angles,
                    const dm_condition_in *sequence)
{
    const dm_val m = g->linear(g, "norm1.linear", told, 6 * d->D, DM_ZERO_INIT);
    dm_val h = attend(g->scope(g, "attn1"), p, d, modulate(g, d, norm(g, p, x, p->eps), m, 0), angles);

    x = g->add(g, x, g->mul(g, h, column(g, d, m, 2)));
    if (sequence)
        x = g->add(g, x, cross_attention(g->scope(g, "attn2"), norm(g, p, x, p->eps), sequence, d->heads));
    h = norm(g, p, x, p->hidden_eps > 0 ? p->hidden_eps : p->eps);
    h = hidden(g->scope(g, "ff"), p, d, modulate(g, d, h, m, 3));
    return g->add(g, x, g->mul(g, h, column(g, d, m, 5)));
}

/* ---- the whole ------------------------------------------------------------------------------ */

static dm_val embed(const dm_graph *g, const cfg *p, const dims *d, const dm_net_in *in)
{
    const dm_graph *time = g->scope(g, "timestep_embedder");
    const dm_val t = p->time_scale == 1 ? in->noise : g->scale(g, in->noise, p->time_scale, 0);
    const dm_val waves = g->time_embed(g, t, p->time_in, p->freq_shift, true);
    const dm_val h = g->silu(g, time->linear(time, "linear_1", waves, d->D, 0));
    dm_val y = time->linear(time, "linear_2", h, d->D, 0);

    if (p->class_embed && in->labels != DM_NONE)
        y = g->add(g, y, g->embedding(g, "class_embedder.embedding_table", in->labels, in->classes + 1, d->D));
    return g->silu(g, add_conditions(g, in, y));
}

/* [N,C,H,W] to tokens [N,L,D]. */
static dm_val patchify(const dm_graph *g, const cfg *p, const dims *d, dm_val x)
{
    const int32_t side = (int32_t)p->patch;
    const dm_val y = g->conv(g, "pos_embed.proj", x, d->D, (dm_conv){side, side, {0, 0}}, 0);

    return g->permute(g, g->reshape(g, y, &(dm_shape){3, {d->N, d->D, d->L}}), (int32_t[]){0, 2, 1});
}

/* Tokens [N,L,side side C] to [N,C,H,W]. */
static dm_val unpatchify(const dm_graph *g, const cfg *p, const dims *d, dm_val x, int64_t C)
{
    const int64_t side = p->patch;

    x = g->reshape(g, x, &(dm_shape){6, {d->N, d->h, d->w, side, side, C}});
    x = g->permute(g, x, (int32_t[]){0, 5, 1, 3, 2, 4});
    return g->reshape(g, x, &(dm_shape){4, {d->N, C, d->h * side, d->w * side}});
}

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    const dm_shape s = g->shape(g, in->x);
    const dims d = measure(p, &s);
    dm_val x, told = DM_NONE, m, places = DM_NONE, angles = DM_NONE;
    dm_status rc;

    if ((rc = check(c, g, in)))
        return rc;
    if (!p->block_embed)
        told = embed(g, p, &d, in);
    x = patchify(g, p, &d, add_images(g, in, in->x));
    if (p->positions == POSITIONS_SINCOS)
        places = table(c, g, &d, d.D, (dm_shape){3, {1, d.L, d.D}}, sine_or_cosine);
    if (p->positions == POSITIONS_ROPE)
        angles = table(c, g, &d, d.D / d.heads / 2, (dm_shape){2, {d.L, d.D / d.heads / 2}}, angle_of_pair);
    if (c->err->code)
        return c->err->code;
    if (p->positions == POSITIONS_SINCOS)
        x = g->add(g, x, places);
    for (int64_t i = 0; i < d.depth; i++) {
        const dm_graph *one = g->scope(g, "transformer_blocks.%d", (int)i);
        const dm_val own = p->block_embed ? embed(one->scope(one, "norm1.emb"), p, &d, in) : told;

        told = i ? told : own;
        x = block(one, p, &d, x, own, angles, sequence_of(in));
    }
    m = g->linear(g, "proj_out_1", told, 2 * d.D, DM_ZERO_INIT);
    x = modulate(g, &d, norm(g, p, x, p->eps), m, 0);
    x = g->linear(g, "proj_out_2", x, p->patch * p->patch * in->out_channels, DM_ZERO_INIT);
    return unpatchify(g, p, &d, x, in->out_channels);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "dit", .version = "1", .license = "Apache-2.0",
    .doc = "diffusion transformer with adaLN-Zero (Peebles & Xie 2023)",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build,
                                   .takes = DM_TAKES(DM_CONDITION_CLASS) | DM_TAKES(DM_CONDITION_VECTOR) |
                                            DM_TAKES(DM_CONDITION_IMAGE) | DM_TAKES(DM_CONDITION_SEQUENCE)},
};
