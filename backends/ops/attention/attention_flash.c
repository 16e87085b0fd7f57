/* Attention and its gradient on GPUs by tiles in local memory; see kernels/attention/flash.cl. */
#include "backends/capabilities.h"
#include "ops/launch/portable.h"

#include <math.h>
#include <stdio.h>

enum { GROUP = 128, LOCAL = 24 << 10, MOST = 128, ROW_ITEMS = 8 };
static const char file[] = "attention/flash.cl";

/* The tiles of each width for which no compiler at hand spills a register or keeps private memory (docs/devices.md):
 * columns of items of `forward` and `backward_q`, and of `backward_kv`; the rows follow. */
typedef struct tiles { int width, tx, tx_kv; } tiles;
static const tiles all_tiles[] = {{32, 16, 16}, {64, 8, 16}, {128, 16, 32}};

typedef struct attn { int64_t N, L, M, heads, d; double scale; } attn;

static attn attn_of(const dm_opnode *n)
{
    const bool back = n->kind == DM_OP_ATTENTION_DX;
    const dm_desc *q = &n->in[back], *k = &n->in[back + 1];
    const int64_t heads = n->a.attn.heads, d = q->dim[2] / heads;

    return (attn){q->dim[0], q->dim[1], k->dim[1], heads, d, 1 / sqrt((double)d)};
}

static const tiles *tiles_of(int64_t d)
{
    const tiles *t = all_tiles;

    while (t->width < d)
        t++;
    return t;
}

static bool supports(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(n);

    return dev->max_group >= GROUP && dev->local_mem >= LOCAL && a.d <= MOST &&
           a.N * a.heads * (a.L > a.M ? a.L : a.M) < 1 << 24;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(n);

    (void)dev;
    return (size_t)(a.N * a.heads * a.L) * sizeof(float);
}

/* A kernel over `rows` of each head, in groups of items of tx columns. */
static dm_status launch(dm_emit *e, const attn *a, const char *name, const char *which, int tx, int64_t rows,
                        const dm_karg *args, int n)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const bool packed = dev->capabilities & DM_CAP_PACKED_FMA;
    const int ty = GROUP / tx, width = tiles_of(a->d)->width;
    const size_t groups = (size_t)(a->N * a->heads * dm_div_up(rows, 4 * ty));
    const dm_range r = {.dim = 1, .global = {groups * GROUP}, .local = {GROUP}};
    char options[128];

    /* Where the FMA is packed, the widest heads take half as much local memory, and two groups fit. */
    snprintf(options, sizeof options, "-DW=%d%s -DTX=%d -DTY=%d%s%s%s%s", width,
             a->d == width   ? " -DFULL -DVECTORS"
             : a->d % 4 == 0 ? " -DVECTORS"
                             : "",
             tx, ty, packed ? " -DPACK" : "", packed && width == 128 ? " -DDK=16 -DVK=8" : "", which,
             dev->capabilities & DM_CAP_LANES_8 ? " -DSIMD=8" : "");
    return dm_emit_launch(e, e->cmds, file, name, options, &r, args, n);
}

static dm_status forward(dm_emit *e)
{
    const attn a = attn_of(e->node);

    return launch(e, &a, "forward", "", tiles_of(a.d)->tx, a.L,
                  DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]), DM_KB(e->out[1]),
                           DM_KI(a.L), DM_KI(a.M), DM_KI(a.heads), DM_KI(a.d), DM_KF(a.scale)));
}

enum { DY, Q, K, V, Y, LSE };

static dm_status backward(dm_emit *e)
{
    const attn a = attn_of(e->node);
    dm_buf *const *in = e->in, *const *out = e->out;
    const int64_t rows = a.N * a.heads * a.L;
    const dm_range r = {.dim = 1, .global = {(size_t)dm_div_up(rows * ROW_ITEMS, GROUP) * GROUP}, .local = {GROUP}};
    const tiles *t = tiles_of(a.d);
    dm_status rc;

    if ((rc = dm_emit_launch(e, e->cmds, file, "deltas", "-DDELTAS", &r,
                             DM_KARGS(DM_KB(in[DY]), DM_KB(in[Y]), DM_KB(e->scratch), DM_KI(rows), DM_KI(a.L),
                                      DM_KI(a.heads), DM_KI(a.d)))) ||
        (rc = launch(e, &a, "backward_q", " -DBACKWARD_Q", t->tx, a.L,
                     DM_KARGS(DM_KB(in[DY]), DM_KB(in[Q]), DM_KB(in[K]), DM_KB(in[V]), DM_KB(in[LSE]),
                              DM_KB(e->scratch), DM_KB(out[0]), DM_KI(a.L), DM_KI(a.M), DM_KI(a.heads), DM_KI(a.d),
                              DM_KF(a.scale)))))
        return rc;
    return launch(e, &a, "backward_kv", " -DBACKWARD_KV", t->tx_kv, a.M,
                  DM_KARGS(DM_KB(in[DY]), DM_KB(in[Q]), DM_KB(in[K]), DM_KB(in[V]), DM_KB(in[LSE]), DM_KB(e->scratch),
                           DM_KB(out[1]), DM_KB(out[2]), DM_KI(a.L), DM_KI(a.M), DM_KI(a.heads), DM_KI(a.d),
                           DM_KF(a.scale)));
}

const dm_impl dm_impls_attention_flash[] = {
    {.name = "flash", .kind = DM_OP_ATTENTION, .supports = supports, .emit = forward, .devices = DM_ON_OTHERS},
    {.name = "flash", .kind = DM_OP_ATTENTION_DX, .supports = supports, .scratch = scratch, .emit = backward,
     .devices = DM_ON_OTHERS},
    {0},
};
