/* Times every implementation of an op, or those named, by itself: demist's side of `tools/bench ops`. A line in, a line
 * of JSON out: conv2d|conv2d_dx|conv2d_dw N H W C O K    stride 1, padding that keeps the extents matmul|matmul_nt M N
 * K                    c = a b, c = a b' attention|attention_dx N L D HEADS group_norm|group_norm_dx N L C GROUPS with
 * SiLU concat ROWS A B | slice ROWS WIDTH FIRST COUNT | add ROWS WIDTH | reduce OUTER N INNER bf16 OP ... any of them,
 * stored as bf16 where a plan may The answer has the best seconds of a few runs, and the largest difference from the
 * portable implementation (or the first that is timed) over its largest value. Forms of a convolution's weights are
 * made beforehand, as a plan does; those of a matrix every time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "graph/op_def.h"
#include "plan/op_run.h"

enum { MAX_RUNS = 1000 };
static const double budget = 0.3; /* seconds for an implementation */

typedef struct bench {
    char **only;                   /* implementations to be timed, all where there are none */
    int n_only;
    dm_opnode node;
    dm_op_run run;
    float *want[DM_MAX_OUT];       /* of the portable implementation */
} bench;

static dm_desc desc(int32_t rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (dm_desc){DM_DT_F32, rank, {a, b, c, d, 1, 1, 1, 1}};
}

/* ---- what is asked for ------------------------------------------------------------------------------- */

static void conv(dm_opnode *n, const int64_t *v)
{
    const dm_desc x = desc(4, v[0], v[1], v[2], v[3]), y = desc(4, v[0], v[1], v[2], v[4]),
                  w = desc(4, v[4], v[3], v[5], v[5]);
    const int32_t k = (int32_t)v[5];

    n->n_in = n->kind == DM_OP_CONV2D ? 5 : 2;
    n->in[0] = n->kind == DM_OP_CONV2D_DX ? y : x;
    n->in[1] = n->kind == DM_OP_CONV2D_DW ? y : w;
    n->out[0] = n->kind == DM_OP_CONV2D ? y : n->kind == DM_OP_CONV2D_DX ? x : w;
    n->a.conv = (dm_conv){k, 1, {(k - 1) / 2, k / 2}};
}

static void matmul(dm_opnode *n, const int64_t *v, bool tb)
{
    n->n_in = 3;
    n->in[0] = desc(2, v[0], v[2], 1, 1);
    n->in[1] = tb ? desc(2, v[1], v[2], 1, 1) : desc(2, v[2], v[1], 1, 1);
    n->out[0] = desc(2, v[0], v[1], 1, 1);
    n->a.mm.tb = tb;
    n->a.mm.batch = 1;
    n->a.mm.m = v[0];
    n->a.mm.n = v[1];
    n->a.mm.k = v[2];
}

static void attention(dm_opnode *n, const int64_t *v)
{
    const dm_desc x = desc(3, v[0], v[1], v[2], 1), lse = desc(3, v[0], v[3], v[1], 1);

    n->n_in = n->kind == DM_OP_ATTENTION ? 3 : 6;
    n->n_out = n->kind == DM_OP_ATTENTION ? 2 : 3;
    for (int i = 0; i < n->n_in; i++)
        n->in[i] = i == 5 ? lse : x;
    for (int i = 0; i < n->n_out; i++)
        n->out[i] = n->kind == DM_OP_ATTENTION && i == 1 ? lse : x;
    n->a.attn.heads = v[3];
}

static void group_norm(dm_opnode *n, const int64_t *v)
{
    const dm_desc x = desc(3, v[0], v[1], v[2], 1), c = desc(1, v[2], 1, 1, 1), stats = desc(3, v[0], v[3], 2, 1);
    const bool back = n->kind == DM_OP_GROUP_NORM_DX;
    const dm_desc none = {.rank = -1}, in[] = {x, x, c, c, stats, none, none}, out[] = {x, c, c, none, none};

    n->n_in = back ? 7 : 5;
    n->n_out = back ? 5 : 2;
    for (int i = 0; i < n->n_in; i++)
        n->in[i] = back ? in[i] : i < 3 ? in[i + 1] : none;
    for (int i = 0; i < n->n_out; i++)
        n->out[i] = back ? out[i] : i ? stats : x;
    n->a.norm = (dm_attr_norm){
        .N = v[0], .L = v[1], .C = v[2], .groups = v[3], .eps = 1e-5, .channels_last = true, .silu = true};
}

/* What moves or adds rows. */
static void rows(dm_opnode *n, const int64_t *v)
{
    const bool concat = n->kind == DM_OP_CONCAT, slice = n->kind == DM_OP_SLICE;

    n->n_in = slice || n->kind == DM_OP_REDUCE ? 1 : 2;
    n->in[0] = desc(2, v[0], v[1], 1, 1);
    n->in[1] = concat ? desc(2, v[0], v[2], 1, 1) : n->n_in == 2 ? n->in[0] : n->in[1];
    n->out[0] = concat ? desc(2, v[0], v[1] + v[2], 1, 1) : slice ? desc(2, v[0], v[3], 1, 1) : n->in[0];
    if (concat)
        n->a.concat.outer = v[0], n->a.concat.wa = v[1], n->a.concat.wb = v[2];
    else if (slice)
        n->a.slice.outer = v[0], n->a.slice.width = v[1], n->a.slice.first = v[2], n->a.slice.count = v[3];
    else if (n->kind == DM_OP_ADD)
        n->a.bcast = (dm_attr_bcast){{1, 1, v[0], v[1]}, {0, 0, v[1], 1}, {0, 0, v[1], 1}};
    else {
        n->in[0] = desc(3, v[0], v[1], v[2], 1);
        n->out[0] = desc(2, v[0], v[2], 1, 1);
        n->a.reduce.outer = v[0], n->a.reduce.red = v[1], n->a.reduce.inner = v[2], n->a.reduce.k = 1;
    }
}

static bool parse(const char *line, dm_opnode *n)
{
    static const struct { const char *name; dm_op_kind kind; int numbers;
    } ops[] = {{"conv2d", DM_OP_CONV2D, 6},
               {"conv2d_dx", DM_OP_CONV2D_DX, 6},
               {"conv2d_dw", DM_OP_CONV2D_DW, 6},
               {"matmul", DM_OP_MATMUL, 3},
               {"matmul_nt", DM_OP_MATMUL, 3},
               {"attention", DM_OP_ATTENTION, 4},
               {"attention_dx", DM_OP_ATTENTION_DX, 4},
               {"group_norm", DM_OP_GROUP_NORM, 4},
               {"group_norm_dx", DM_OP_GROUP_NORM_DX, 4},
               {"concat", DM_OP_CONCAT, 3},
               {"slice", DM_OP_SLICE, 4},
               {"add", DM_OP_ADD, 2},
               {"reduce", DM_OP_REDUCE, 3}};
    char name[32];
    long long v[6];
    int64_t w[6];
    const bool bf16 = !strncmp(line, "bf16 ", 5);
    const int got = sscanf(line + (bf16 ? 5 : 0), "%31s %lld %lld %lld %lld %lld %lld", name, &v[0], &v[1], &v[2],
                           &v[3], &v[4], &v[5]) -
                    1;

    for (int i = 0; i < got; i++)
        w[i] = v[i];
    for (size_t i = 0; i < sizeof ops / sizeof ops[0] && got > 0; i++) {
        if (strcmp(name, ops[i].name) || got != ops[i].numbers)
            continue;
        *n = (dm_opnode){.kind = ops[i].kind, .n_out = 1};
        for (int k = 0; k < DM_MAX_IN; k++)
            n->in[k] = n->out[k] = (dm_desc){.rank = -1};
        if (ops[i].kind <= DM_OP_CONV2D_DW)
            conv(n, w);
        else if (ops[i].kind == DM_OP_MATMUL)
            matmul(n, w, strlen(name) > 6);
        else if (ops[i].kind == DM_OP_ATTENTION || ops[i].kind == DM_OP_ATTENTION_DX)
            attention(n, w);
        else if (ops[i].kind == DM_OP_GROUP_NORM || ops[i].kind == DM_OP_GROUP_NORM_DX)
            group_norm(n, w);
        else
            rows(n, w);
        for (int k = 0; bf16 && k < DM_MAX_IN; k++) {
            n->in[k].type = dm_op_may_be_16bit(n, false, k) ? DM_DT_BF16 : DM_DT_F32;
            n->out[k].type = dm_op_may_be_16bit(n, true, k) ? DM_DT_BF16 : DM_DT_F32;
        }
        return true;
    }
    return false;
}

/* ---- one implementation ------------------------------------------------------------------------------ */

static dm_status operand(bench *b, const dm_desc *d, dm_buf **out, dm_err *err)
{
    const int64_t n = dm_desc_count(d);
    float *x = calloc((size_t)(n ? n : 1), sizeof *x);
    dm_status rc = DM_OK;

    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for an operand");
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(2 * fmod((double)(i + 1) * 0.6180339887498949, 1.0) - 0.9);
        if (d->type == DM_DT_BF16) /* its upper half */
            memmove((uint16_t *)x + i, (uint16_t *)&x[i] + 1, sizeof(uint16_t));
    }
    if (n && !(rc = dm_buf_new(b->run.d, (size_t)n * dm_dtype_size(d->type), "operand", out, err)))
        rc = dm_buf_write(*out, 0, (size_t)n * dm_dtype_size(d->type), x, err);
    free(x);
    return rc;
}

static dm_status timed(bench *b, double *best, dm_err *err)
{
    const double began = dm_seconds();
    dm_status rc;

    *best = INFINITY;
    for (int i = 0; i < 1 || (i < MAX_RUNS && dm_seconds() - began < (i < 2 ? 20 * budget : budget)); i++) {
        const double t = dm_seconds();

        if ((rc = dm_cmds_run(b->run.cmds, err)) || (rc = dm_device_finish(b->run.d, err)))
            return rc;
        *best = fmin(*best, dm_seconds() - t);
    }
    return DM_OK;
}

/* The first time, what others are compared with. */
static dm_status compare(bench *b, double *difference, dm_err *err)
{
    dm_status rc = DM_OK;

    *difference = 0;
    for (int k = 0; k < b->node.n_out && !rc; k++) {
        const size_t n = (size_t)dm_desc_count(&b->node.out[k]);
        float *got = n ? calloc(n, sizeof *got) : NULL, largest = 0, most = 0;

        if (!n || !got || (rc = dm_buf_read(b->run.out[k], 0, n * dm_dtype_size(b->node.out[k].type), got, err))) {
            free(got);
            continue;
        }
        for (size_t i = n; i-- > 0 && b->node.out[k].type == DM_DT_BF16;) {
            const uint16_t half = ((uint16_t *)got)[i];

            got[i] = 0;
            memcpy((uint16_t *)&got[i] + 1, &half, sizeof half);
        }
        if (!b->want[k]) {
            b->want[k] = got;
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            largest = fmaxf(largest, fabsf(b->want[k][i]));
            most = fmaxf(most, fabsf(got[i] - b->want[k][i]));
        }
        *difference = fmax(*difference, largest > 0 ? (double)(most / largest) : (double)most);
        free(got);
    }
    return rc;
}

static bool wanted(const bench *b, const dm_impl *impl)
{
    bool named = b->n_only == 0;

    for (int i = 0; i < b->n_only; i++)
        named |= !strcmp(b->only[i], impl->name);
    return named && dm_impl_supports(impl, dm_device_get_info(b->run.d), &b->node);
}

static dm_status each(bench *b, dm_err *err)
{
    const char *comma = "";
    const dm_impl *impl;
    dm_status rc;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; (impl = dm_impl_at(b->node.kind, i)); i++) {
            double best, difference;

            if (dm_impl_is_reference(impl, &b->node) != !pass || !wanted(b, impl))
                continue;
            for (int k = 0; k < b->node.n_out; k++)   /* nothing of the one before is left */
                if (b->run.out[k] && (rc = dm_buf_zero(b->run.out[k], 0, dm_buf_bytes(b->run.out[k]), err)))
                    return rc;
            if ((rc = dm_op_run_record(&b->run, impl, err)) || (rc = dm_cmds_run(b->run.refresh, err)) ||
                (rc = timed(b, &best, err)) || (rc = compare(b, &difference, err)))
                return rc;
            printf("%s\"%s\":{\"seconds\":%.9f,\"difference\":%.3g}", comma, impl->name, best, difference);
            comma = ",";
            dm_op_run_forget(&b->run);
        }
    return DM_OK;
}

static dm_status answer(bench *b, const char *line, dm_err *err)
{
    dm_status rc = parse(line, &b->node) ? DM_OK : dm_error(err, DM_EINVAL, "'%.60s' is no op with its extents", line);

    for (int i = 0; i < DM_MAX_IN && !rc; i++)
        if (!(rc = operand(b, &b->node.in[i], &b->run.in[i], err)))
            rc = operand(b, &b->node.out[i], &b->run.out[i], err);
    b->run.node = &b->node;
    b->run.no_weights = b->node.kind == DM_OP_MATMUL ? ~0u : ~2u; /* a convolution's second input is one */
    if (!rc) {
        printf("{\"flops\":%.9g,\"bytes\":%.9g,\"impls\":{", dm_op_flops(&b->node), dm_op_bytes(&b->node));
        rc = each(b, err);
        printf("}}\n");
    }
    dm_op_run_forget(&b->run);
    for (int i = 0; i < DM_MAX_IN; i++) {
        dm_buf_free(b->run.in[i]);
        dm_buf_free(b->run.out[i]);
        free(b->want[i]);
        b->run.in[i] = b->run.out[i] = NULL;
        b->want[i] = NULL;
    }
    return rc;
}

int main(int argc, char **argv)
{
    const dm_device_options o = {.bf16 = true, .high = true};
    bench b = {0};
    dm_err err = {0};
    char line[512];
    dm_status rc = argc < 2 ? dm_error(&err, DM_EINVAL, "usage: bench_ops DEVICE [IMPL...]")
                            : dm_cpu_hold(getenv("DEMIST_CPU"), &err);

    if (!rc)
        rc = dm_device_open(argv[1], &o, &b.run.d, &err);
    b.only = argv + 2;
    b.n_only = argc - 2;

    if (!rc)
        printf("{\"name\":\"%s\"}\n", dm_device_get_info(b.run.d)->name);
    for (fflush(stdout); !rc && fgets(line, sizeof line, stdin); fflush(stdout))
        rc = answer(&b, line, &err);
    if (rc)
        fprintf(stderr, "error: %s\n", err.msg);
    dm_device_close(b.run.d);
    return rc ? 1 : 0;
}
