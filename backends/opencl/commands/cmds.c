/* Recorded lists of commands. Each launch has a kernel object of its own with its arguments set, so
 * that running the list is enqueueing and nothing else: one by one, or by stretches (replay.c). */
#include "opencl/commands/commands.h"
#include "opencl/gemm/gemm_clblast.h"
#include "opencl/programs/programs.h"

#include <stdlib.h>

typedef enum kind { LAUNCH, COPY, GEMM } kind;

typedef struct command {
    kind kind;
    int row;               /* of the profile, -1 = none */
    dm_work work;
    union {
        struct { const dm_kernel *k; cl_kernel cl; ocl_range range; } launch;
        struct { dm_buf *from, *to; size_t from_offset, to_offset, bytes; } copy;
        dm_gemm gemm;
    } u;
} command;

/* stretches: of the first `seen` commands, where the device replays them; none crosses a split. */
struct dm_cmds {
    dm_device *d;
    command *list;
    size_t n, cap;
    ocl_stretch *stretches;
    size_t n_stretches, cap_stretches, seen;
    int *splits, n_splits;
};

dm_status dm_cmds_new(dm_device *d, dm_cmds **out, dm_err *err)
{
    dm_cmds *c = calloc(1, sizeof *c);

    if (!c)
        return dm_error(err, DM_ENOMEM, "out of memory for a list of commands");
    c->d = d;
    *out = c;
    return DM_OK;
}

static void forget_stretches(dm_cmds *c)
{
    for (size_t i = 0; i < c->n_stretches; i++)
        ocl_replay_free(c->d, &c->stretches[i]);
    c->n_stretches = c->seen = 0;
}

void dm_cmds_free(dm_cmds *c)
{
    if (!c)
        return;
    dm_cmds_shorten(c, 0);
    free(c->stretches);
    free(c->splits);
    free(c->list);
    free(c);
}

int dm_cmds_count(const dm_cmds *c) { return (int)c->n; }

void dm_cmds_shorten(dm_cmds *c, int n)
{
    forget_stretches(c);
    while ((int)c->n > n)
        if (c->list[--c->n].kind == LAUNCH)
            clReleaseKernel(c->list[c->n].u.launch.cl);
}

/* The next command of the list; it counts only when *n is raised. */
static dm_status next(dm_cmds *c, kind what, const char *label, dm_work work, command **out, dm_err *err)
{
    dm_status s;
    int row;

    if (c->n >= INT32_MAX || !dm_grow((void **)&c->list, c->n, &c->cap, sizeof *c->list))
        return dm_error(err, DM_ENOMEM, "out of memory for a list of %zu commands", c->n);
    if ((s = ocl_profile_row(c->d, label, &row, err)) != DM_OK)
        return s;
    *out = &c->list[c->n];
    **out = (command){.kind = what, .row = row, .work = work};
    return DM_OK;
}

dm_status dm_cmds_launch(dm_cmds *c, dm_kernel *k, const dm_range *r, const dm_karg *args, int n, const char *label,
                         dm_work work, dm_err *err)
{
    command *e = NULL;
    dm_status s;

    if (k->d != c->d)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s' belongs to device %s, not %s", k->name, k->program->id,
                        k->d->where, c->d->where);
    if ((s = next(c, LAUNCH, label ? label : k->name, work, &e, err)) != DM_OK)
        return s;
    e->u.launch.k = k;
    if ((s = ocl_range_make(k, r, &e->u.launch.range, err)) != DM_OK ||
        (s = ocl_kernel_new(k, &e->u.launch.cl, err)) != DM_OK)
        return s;
    if ((s = ocl_args_set(k, e->u.launch.cl, args, n, err)) != DM_OK) {
        clReleaseKernel(e->u.launch.cl);
        return s;
    }
    c->n++;
    return DM_OK;
}

static dm_status record_zero(dm_cmds *c, dm_buf *b, size_t offset, size_t bytes, dm_err *err)
{
    const dm_work work = {0, (double)bytes};
    dm_kernel *k;
    command *e = NULL;
    dm_status s;

    if ((s = next(c, LAUNCH, "zero", work, &e, err)) != DM_OK ||
        (s = ocl_zero_make(b, offset, bytes, &k, &e->u.launch.cl, &e->u.launch.range, err)) != DM_OK)
        return s;
    e->u.launch.k = k;
    c->n++;
    return DM_OK;
}

dm_status dm_cmds_zero(dm_cmds *c, dm_buf *b, size_t offset, size_t bytes, dm_err *err)
{
    dm_status s = ocl_zero_check(b, offset, bytes, err);

    for (ocl_part p; s == DM_OK && ocl_part_next(b, &offset, &bytes, &p);)
        s = record_zero(c, p.b, p.offset, p.bytes, err);
    return s;
}

static dm_status record_copy(dm_cmds *c, dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes,
                             dm_err *err)
{
    const dm_work work = {0, 2 * (double)bytes};
    command *e = NULL;
    dm_status s;

    if ((s = next(c, COPY, "copy", work, &e, err)) != DM_OK)
        return s;
    e->u.copy.from = from;
    e->u.copy.to = to;
    e->u.copy.from_offset = from_offset;
    e->u.copy.to_offset = to_offset;
    e->u.copy.bytes = bytes;
    c->n++;
    return DM_OK;
}

dm_status dm_cmds_copy(dm_cmds *c, dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes,
                       dm_err *err)
{
    dm_status s = ocl_buf_check(from, from_offset, bytes, "copy", err);

    s = s != DM_OK ? s : ocl_buf_check(to, to_offset, bytes, "copy", err);
    for (ocl_part p, q; s == DM_OK && ocl_parts_next(from, &from_offset, to, &to_offset, &bytes, &p, &q);)
        s = record_copy(c, p.b, p.offset, q.b, q.offset, p.bytes, err);
    return s;
}

dm_status dm_cmds_gemm(dm_cmds *c, const dm_gemm *g, const char *label, dm_work work, dm_err *err)
{
    command *e = NULL;
    dm_status s;

    if ((s = ocl_gemm_check(c->d, g, err)) != DM_OK ||
        (s = next(c, GEMM, label ? label : "gemm", work, &e, err)) != DM_OK)
        return s;
    e->u.gemm = *g;
    c->n++;
    return DM_OK;
}

static dm_status run_one(dm_device *d, const command *e, dm_err *err)
{
    switch (e->kind) {
    case LAUNCH: return ocl_enqueue(e->u.launch.k, e->u.launch.cl, &e->u.launch.range, e->row, &e->work, err);
    case COPY:
        return ocl_copy(e->u.copy.from, e->u.copy.from_offset, e->u.copy.to, e->u.copy.to_offset, e->u.copy.bytes,
                        e->row, err);
    case GEMM: return ocl_gemm_run(d, &e->u.gemm, e->row, &e->work, err);
    }
    return DM_OK;
}

/* ---- whole lists by stretches of launches ------------------------------------------------------- */

static bool is_end(const dm_cmds *c, int at)
{
    for (int i = 0; i < c->n_splits; i++)
        if (c->splits[i] == at)
            return true;
    return at == 0 || at == (int)c->n;
}

/* Of launches up to the next command of another kind or the next split, or of that command alone. */
static bool add_stretch(dm_cmds *c, int from, ocl_launch *room)
{
    int split = 0, end;
    ocl_stretch s = {.from = from, .to = from};

    while (split < c->n_splits && c->splits[split] <= from)
        split++;
    end = split < c->n_splits && c->splits[split] < (int)c->n ? c->splits[split] : (int)c->n;

    if (!dm_grow((void **)&c->stretches, c->n_stretches, &c->cap_stretches, sizeof *c->stretches))
        return false;
    for (; s.to < end && c->list[s.to].kind == LAUNCH; s.to++)
        room[s.to - from] = (ocl_launch){c->list[s.to].u.launch.cl, &c->list[s.to].u.launch.range};
    if (s.to == from)
        s.to++;
    else
        ocl_replay_record(c->d, room, s.to - from, &s);
    c->stretches[c->n_stretches++] = s;
    return true;
}

/* False where memory ran out. */
static bool make_stretches(dm_cmds *c)
{
    ocl_launch *room = malloc(c->n * sizeof *room);
    bool ok = room != NULL;

    forget_stretches(c);
    for (int at = 0; at < (int)c->n && ok; at = c->stretches[c->n_stretches - 1].to)
        if (!(ok = add_stretch(c, at, room)))
            break;
    c->seen = ok ? c->n : 0;
    free(room);
    return ok;
}

static dm_status run_stretches(dm_cmds *c, int from, int to, dm_err *err)
{
    dm_status s = DM_OK;

    for (size_t i = 0; i < c->n_stretches && !s; i++) {
        const ocl_stretch *p = &c->stretches[i];

        if (p->from < from || p->from >= to)
            continue;
        if (p->buffer)
            s = ocl_replay_run(c->d, p, err);
        for (int k = p->from; k < p->to && !p->buffer && !s; k++)
            s = run_one(c->d, &c->list[k], err);
    }
    return s;
}

static dm_status flush(dm_device *d, dm_err *err)
{
    const cl_int code = clFlush(d->queue);

    return code == CL_SUCCESS ? DM_OK : ocl_error(d, code, "clFlush", NULL, err);
}

dm_status dm_cmds_split(dm_cmds *c, const int *at, int n, dm_err *err)
{
    int *splits = malloc(((size_t)n + 1) * sizeof *splits);

    if (!splits)
        return dm_error(err, DM_ENOMEM, "out of memory for a list of %zu commands", c->n);
    for (int i = 0; i < n; i++)
        splits[i] = at[i];
    free(c->splits);
    c->splits = splits;
    c->n_splits = n;
    forget_stretches(c);
    return DM_OK;
}

dm_status dm_cmds_run(dm_cmds *c, dm_err *err) { return dm_cmds_run_between(c, 0, (int)c->n, err); }

dm_status dm_cmds_run_between(dm_cmds *c, int from, int to, dm_err *err)
{
    dm_status s;

    if (!c->d->replay.on || !is_end(c, from) || !is_end(c, to) || from >= to || (c->seen != c->n && !make_stretches(c)))
        return dm_cmds_run_range(c, from, to, err);
    s = run_stretches(c, from, to, err);
    return s ? s : flush(c->d, err);
}

dm_status dm_cmds_run_range(dm_cmds *c, int from, int to, dm_err *err)
{
    dm_status s;

    if (from < 0 || to < from || (size_t)to > c->n)
        return dm_error(err, DM_EINVAL, "commands [%d,%d) of a list of %zu", from, to, c->n);
    for (int i = from; i < to; i++)
        if ((s = run_one(c->d, &c->list[i], err)) != DM_OK)
            return s;
    return flush(c->d, err);
}
