/* The shape of a UNet of improved-diffusion or guided-diffusion; see adm.h. Both number their blocks through: the
 * way up tells how many make a level, by the first of its blocks that also doubles the image. */
#include "interop/read/adm.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCKS = DM_ADM_LEVELS * 17 };

typedef struct reader {
    const dm_st *f;
    bool in[MAX_BLOCKS], out[MAX_BLOCKS];
    int n_in, n_out;               /* the last that has a tensor, and one */
    dm_err *err;
} reader;

DM_PRINTF(2, 3) static bool has(const reader *r, const char *fmt, ...)
{
    char name[128];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    return dm_st_find(r->f, name);
}

/* An extent of a tensor that must be there; 0 with an error otherwise. */
static int64_t extent(reader *r, const char *name, int32_t rank, int32_t dim, int64_t most)
{
    const dm_st_tensor *t = dm_st_find(r->f, name);

    if (r->err->code)
        return 0;
    if (!t)
        dm_error(r->err, DM_ECORRUPT,
                 "'%s' is not a UNet of improved-diffusion or guided-diffusion: it has no tensor '%s'",
                 dm_st_path(r->f),
                 name);
    else if (t->shape.rank != rank || t->shape.dim[dim] < 1 || t->shape.dim[dim] > most)
        dm_error(r->err, DM_ECORRUPT,
                 "'%s': tensor '%s' has rank %d and %lld in place %d; rank %d and 1 to %lld are allowed",
                 dm_st_path(r->f), name, (int)t->shape.rank, (long long)(dim < t->shape.rank ? t->shape.dim[dim] : 0),
                 (int)dim, (int)rank, (long long)most);
    else
        return t->shape.dim[dim];
    return 0;
}

static int note_block(const char *name, const char *prefix, bool *seen, int n)
{
    const size_t k = strlen(prefix);
    char *end;
    long i;

    if (strncmp(name, prefix, k) || name[k] < '0' || name[k] > '9')
        return n;
    i = strtol(name + k, &end, 10);
    if (*end != '.' || i >= MAX_BLOCKS)
        return n;
    seen[i] = true;
    return i >= n ? (int)i + 1 : n;
}

static void find_blocks(reader *r)
{
    for (int64_t i = 0; i < dm_st_count(r->f); i++) {
        const char *name = dm_st_at(r->f, i)->name;

        r->n_in = note_block(name, "input_blocks.", r->in, r->n_in);
        r->n_out = note_block(name, "output_blocks.", r->out, r->n_out);
    }
}

static bool doubles(const reader *r, int i)
{
    for (int k = 1; k < 3; k++)
        if (has(r, "output_blocks.%d.%d.conv.weight", i, k) || has(r, "output_blocks.%d.%d.in_layers.0.weight", i, k))
            return true;
    return false;
}

static void read_levels(reader *r, dm_adm *a)
{
    int per = 0;

    while (per < r->n_out && !doubles(r, per))
        per++;
    per = per < r->n_out ? per + 1 : r->n_out;
    for (int i = 0; i < r->n_in && !r->err->code; i++)
        if (!r->in[i])
            dm_error(r->err, DM_ECORRUPT,
                     "'%s' has no tensor of input_blocks.%d: it is missing, or halves the image without "
                     "weights (conv_resample=False), which the unet network does not do",
                     dm_st_path(r->f), i);
    if (r->err->code)
        return;
    if (per < 2 || per > 17 || r->n_out % per || r->n_out / per > DM_ADM_LEVELS || r->n_in != r->n_out) {
        dm_error(r->err, DM_ECORRUPT,
                 "'%s' is not a UNet of improved-diffusion or guided-diffusion: %d input_blocks and %d "
                 "output_blocks, the first that doubles the image being number %d, are no levels of equal length",
                 dm_st_path(r->f), r->n_in, r->n_out, per - 1);
        return;
    }
    a->layers = per - 1;
    a->n = r->n_out / per;
}

static void read_level(reader *r, dm_adm *a, int l)
{
    const int per = a->layers + 1, first = 1 + l * per, up = (a->n - 1 - l) * per;
    char name[64];

    snprintf(name, sizeof name, "input_blocks.%d.0.in_layers.2.weight", first);
    a->level[l] = extent(r, name, 4, 0, 8192);
    a->attend[l] = has(r, "input_blocks.%d.1.qkv.weight", first);
    a->attend_up[l] = has(r, "output_blocks.%d.1.qkv.weight", up);
    a->down_resnet[l] = l + 1 < a->n && has(r, "input_blocks.%d.0.in_layers.0.weight", first + a->layers);
    a->up_resnet[l] =
        l > 0 && has(r, "output_blocks.%d.%d.in_layers.0.weight", up + a->layers, a->attend_up[l] ? 2 : 1);
}

dm_status dm_adm_read(const dm_st *f, dm_adm *a, dm_err *err)
{
    dm_err first = {0};
    reader r = {.f = f, .err = &first};

    *a = (dm_adm){0};
    a->channels = extent(&r, "input_blocks.0.0.weight", 4, 1, 4096);
    a->outputs = extent(&r, "out.2.weight", 4, 0, 4096);
    a->time_in = extent(&r, "time_embed.0.weight", 2, 1, 8192);
    a->wide = extent(&r, "time_embed.0.weight", 2, 0, 65536);
    a->classes = dm_st_find(f, "label_emb.weight") ? extent(&r, "label_emb.weight", 2, 0, 1 << 20) : 0;
    find_blocks(&r);
    read_levels(&r, a);
    for (int l = 0; l < a->n && !first.code; l++)
        read_level(&r, a, l);
    a->scale_shift = extent(&r, "input_blocks.1.0.emb_layers.1.weight", 2, 0, 1 << 20) == 2 * a->level[0];
    if (!first.code && a->outputs != a->channels && a->outputs != 2 * a->channels)
        dm_error(&first, DM_ECORRUPT, "'%s' makes %lld channels out of %lld: demist has no inputs beside the image "
                 "(a model that enlarges images?), and outputs are the image, or it and its variance", dm_st_path(f),
                 (long long)a->outputs, (long long)a->channels);
    return first.code ? dm_error(err, first.code, "%s", first.msg) : DM_OK;
}
