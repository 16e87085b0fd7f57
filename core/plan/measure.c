/* Checking and timing of implementations; see measure.h. */
#include "plan/measure.h"

#include "base/clock.h"
#include "graph/op_def.h"
#include "plan/op_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 65521,                 /* values that repeat in a large input: a prime, so that no extent divides it */
    COMPARED = 1 << 24             /* values of an output that are compared at most */
};
static const double SMALL_FLOPS = 1e8; /* of a problem that is small enough for the reference implementation */
static const double PLAIN_FLOPS = 5e6; /* the reference implementation is a candidate up to here */

const dm_impl *dm_impl_reference(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_impl *impl;

    for (int i = 0; (impl = dm_impl_at(n->kind, i)); i++)
        if (dm_impl_is_reference(impl, n) && dm_impl_supports(impl, dev, n))
            return impl;
    return NULL;
}

static bool is_there(const dm_impl *const *list, int n, const dm_impl *impl)
{
    for (int i = 0; i < n; i++)
        if (dm_impl_same(list[i], impl))
            return true;
    return false;
}

int dm_candidates(const dm_device_info *dev, const dm_opnode *n, bool high, const dm_impl *list[DM_MAX_CANDIDATES])
{
    const dm_impl *impl;
    int count = 0;

    for (int i = 0; (impl = dm_impl_at(n->kind, i)) && count < DM_MAX_CANDIDATES; i++) {
        const bool last = dm_impl_is_reference(impl, n);

        if (dm_impl_candidate(impl, dev, n, high) && !is_there(list, count, impl) &&
            (!last || !count || dm_op_flops(n) < PLAIN_FLOPS))
            list[count++] = impl;
        if (last)
            break;
    }
    return count;
}

/* ---- operands ------------------------------------------------------------------------------ */

static size_t bytes_of(const dm_desc *d) { return (size_t)dm_desc_count(d) * dm_dtype_size(d->type); }

/* Roughly normal values, of another beginning for each seed. */
static void random_block(float *block, uint32_t seed)
{
    for (int i = 0; i < BLOCK; i++) {
        float sum = 0;

        for (int k = 0; k < 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            sum += (float)(seed >> 8) / 16777216.0f;
        }
        block[i] = (sum - 2) * 1.7320508f;
    }
}

/* The upper halves, in the first half of the block. */
static void to_bf16(float *block)
{
    for (int i = 0; i < BLOCK; i++)
        memcpy((char *)block + 2 * i, (char *)(block + i) + 2, 2);
}

static dm_status write_blocks(dm_buf *b, const float *block, dm_dtype type, dm_err *err)
{
    const size_t all = dm_buf_bytes(b), each = BLOCK * dm_dtype_size(type);
    dm_status rc = DM_OK;

    for (size_t at = 0; at < all && !rc; at += each)
        rc = dm_buf_write(b, at, all - at < each ? all - at : each, block, err);
    return rc;
}

static dm_status make_operands(dm_op_run *b, float *block, dm_err *err)
{
    dm_status rc;

    for (int i = 0; i < b->node->n_in; i++)
        if (b->node->in[i].rank >= 0) {
            const dm_desc *d = &b->node->in[i];

            if (d->type == DM_DT_I32)
                return dm_error(err, DM_EINVAL, "it reads whole numbers");
            random_block(block, (uint32_t)i + 1);
            if (d->type == DM_DT_BF16)
                to_bf16(block);
            if ((rc = dm_buf_new(b->d, bytes_of(d), "measuring", &b->in[i], err)) ||
                (rc = write_blocks(b->in[i], block, d->type, err)))
                return rc;
        }
    for (int i = 0; i < b->node->n_out; i++)
        if (b->node->out[i].rank >= 0 &&
            (rc = dm_buf_new(b->d, bytes_of(&b->node->out[i]), "measuring", &b->out[i], err)))
            return rc;
    return DM_OK;
}

static void free_operands(dm_op_run *b)
{
    for (int i = 0; i < DM_MAX_IN; i++)
        dm_buf_free(b->in[i]);
    for (int i = 0; i < DM_MAX_OUT; i++)
        dm_buf_free(b->out[i]);
    memset(b->in, 0, sizeof b->in);
    memset(b->out, 0, sizeof b->out);
}

/* What is added to begins as zero; what is written, as NaN: one of f32 whose halves are two of bf16. */
static dm_status clear(dm_op_run *b, float *block, dm_err *err)
{
    const uint32_t nan = 0x7fc07fc0u, zero = 0;
    dm_status rc = DM_OK;

    for (int i = 0; i < BLOCK; i++)
        memcpy(&block[i], b->node->accum ? &zero : &nan, sizeof zero);
    for (int i = 0; i < DM_MAX_OUT && !rc; i++)
        if (b->out[i])
            rc = write_blocks(b->out[i], block, b->node->out[i].type, err);
    return rc;
}

/* ---- one implementation ---------------------------------------------------------------------- */

static dm_status run_once(dm_op_run *b, dm_cmds *c, int times, double *seconds, dm_err *err)
{
    const double from = dm_seconds();
    dm_status rc = DM_OK;

    for (int i = 0; i < times && !rc; i++)
        rc = dm_cmds_run(c, err);
    if (!rc)
        rc = dm_device_finish(b->d, err);
    *seconds = (dm_seconds() - from) / times;
    return rc;
}

/* The best of a few runs; short ones in groups, so that the wait at the end does not count. */
static dm_status time_of(dm_op_run *b, dm_cmds *c, double *seconds, dm_err *err)
{
    double first, again;
    dm_status rc;
    int times;

    *seconds = 0;
    if (!dm_cmds_count(c))
        return DM_OK;
    if ((rc = run_once(b, c, 1, &first, err)))
        return rc;
    times = first < 0.01 / 64 ? 64 : first < 0.01 ? (int)(0.01 / first) : 1;
    *seconds = first;
    for (int i = 0; i < (first < 0.2 ? 4 : 1); i++) {
        if ((rc = run_once(b, c, times, &again, err)))
            return rc;
        *seconds = again < *seconds ? again : *seconds;
    }
    return DM_OK;
}

/* ---- comparing --------------------------------------------------------------------------------- */

typedef struct results { float *v[DM_MAX_OUT]; size_t n[DM_MAX_OUT]; } results;

/* n of bf16 at the beginning of v become n of f32. */
static void from_bf16(float *v, size_t n)
{
    while (n-- > 0) {
        uint16_t half;
        uint32_t word;

        memcpy(&half, (const char *)v + 2 * n, sizeof half);
        word = (uint32_t)half << 16;
        memcpy(&v[n], &word, sizeof word);
    }
}

static dm_status read_results(const dm_op_run *b, results *r, dm_err *err)
{
    dm_status rc = DM_OK;

    *r = (results){0};
    for (int i = 0; i < DM_MAX_OUT && !rc; i++)
        if (b->out[i]) {
            const size_t size = dm_dtype_size(b->node->out[i].type);

            r->n[i] = dm_buf_bytes(b->out[i]) / size;
            r->n[i] = r->n[i] < COMPARED ? r->n[i] : COMPARED;
            if (!(r->v[i] = malloc(r->n[i] * sizeof(float))))
                return dm_error(err, DM_ENOMEM, "out of memory while measuring");
            if (!(rc = dm_buf_read(b->out[i], 0, r->n[i] * size, r->v[i], err)) && size == 2)
                from_bf16(r->v[i], r->n[i]);
        }
    return rc;
}

static void free_results(results *r)
{
    for (int i = 0; i < DM_MAX_OUT; i++)
        free(r->v[i]);
    *r = (results){0};
}

static double difference(const results *a, const results *b)
{
    double worst = 0;

    for (int i = 0; i < DM_MAX_OUT; i++) {
        double largest = 1e-30, error = 0;

        for (size_t k = 0; k < a->n[i]; k++) {
            const double e = fabs((double)a->v[i][k] - (double)b->v[i][k]);

            largest = fmax(largest, fabs((double)b->v[i][k]));
            if (!(e <= error))
                error = isnan(e) ? INFINITY : e;
        }
        worst = fmax(worst, error / largest);
    }
    return worst;
}

/* Runs it once from clean outputs. */
static dm_status result_of(dm_op_run *b, const dm_impl *impl, float *block, results *r, dm_err *err)
{
    dm_status rc;

    *r = (results){0};
    if ((rc = dm_op_run_record(b, impl, err)) || (rc = clear(b, block, err)) || (rc = dm_op_run_once(b, err)))
        return rc;
    return read_results(b, r, err);
}

/* Of one against another that is as exact as the op's reference; results in bf16 may be rounded either way. */
static double tolerance(const dm_impl *impl, const dm_opnode *n)
{
    return DM_TOLERANCE + (impl->tolerance > 0 ? impl->tolerance : DM_TOLERANCE) + (dm_op_bf16(n) ? 1.0 / 128 : 0);
}

/* A small problem with the reference implementation's results, made when first asked for. */
typedef struct trial { dm_opnode node; const dm_impl *plain; dm_op_run b; results right; } trial;

static void begin_trial(dm_device *d, const dm_opnode *n, trial *t)
{
    *t = (trial){.node = *n};
    if (dm_op_def_of(n->kind)->shrink)
        dm_op_def_of(n->kind)->shrink(&t->node, SMALL_FLOPS);
    t->b = (dm_op_run){.d = d, .node = &t->node};
    t->plain = dm_impl_reference(dm_device_get_info(d), &t->node);
}

static void end_trial(trial *t)
{
    free_operands(&t->b);
    free_results(&t->right);
}

/* *error is 0 where the trial is not for this implementation. */
static dm_status check(trial *t, const dm_impl *impl, float *block, double *error, dm_err *err)
{
    results mine = {0};
    dm_status rc = DM_OK;

    *error = 0;
    if (!t->plain || t->plain == impl || !dm_impl_supports(impl, dm_device_get_info(t->b.d), &t->node))
        return DM_OK;
    if (!t->right.n[0]) {
        free_operands(&t->b);
        if (!(rc = make_operands(&t->b, block, err)))
            rc = result_of(&t->b, t->plain, block, &t->right, err);
        dm_op_run_forget(&t->b);
    }
    if (!rc && !(rc = result_of(&t->b, impl, block, &mine, err)))
        *error = difference(&mine, &t->right);
    dm_op_run_forget(&t->b);
    free_results(&mine);
    return rc;
}

static void drop(const dm_opnode *n, const dm_impl *impl, const dm_measure_options *o, dm_measured *m, double error,
                 const char *why)
{
    char text[256];

    m->dropped = true;
    m->error = error;
    if (!why)
        snprintf(text, sizeof text, "its error is %.2g of the largest result; the tolerance is %.2g", error,
                 tolerance(impl, n));
    o->dropped(o->user, n, impl, why ? why : text);
}

static dm_status go_on(const dm_measure_options *o, dm_err *err)
{
    if (dm_seconds() > o->until)
        return dm_error(err, DM_ECANCELLED, "no time is left");
    if (o->stopped && o->stopped(o->user))
        return dm_error(err, DM_ECANCELLED, "stopped while measuring");
    return DM_OK;
}

/* On the problem itself; trusted: results of the first that was right, filled by that one. */
static dm_status time_one(dm_op_run *b, const dm_impl *impl, const dm_measure_options *o, float *block,
                          results *trusted, dm_measured *m, dm_err *err)
{
    results r;
    dm_status rc = result_of(b, impl, block, &r, err);

    if (!rc)
        rc = go_on(o, err);

    if (!rc && trusted->n[0]) {
        const double error = difference(&r, trusted);

        m->error = fmax(m->error, error);
        if (!(error <= tolerance(impl, b->node)))
            drop(b->node, impl, o, m, error, NULL);
    }
    if (!rc && !m->dropped && !(rc = time_of(b, b->cmds, &m->run, err)))
        rc = time_of(b, b->refresh, &m->refresh, err);
    if (!rc && !m->dropped && !trusted->n[0])
        *trusted = r;
    else
        free_results(&r);
    dm_op_run_forget(b);
    return rc;
}

/* The results of one that was measured before, to compare others with. */
static dm_status trust_known(dm_op_run *b, const dm_impl *const *list, const dm_measured *known, int count,
                             float *block, results *trusted, dm_err *err)
{
    int i = 0;
    dm_status rc;

    while (i < count && (!known[i].impl || known[i].dropped))
        i++;
    if (i == count)
        return DM_OK;
    rc = result_of(b, list[i], block, trusted, err);
    dm_op_run_forget(b);
    return rc;
}

/* Memory that runs out and a wish to stop say nothing of an implementation; anything else does. */
static bool its_fault(dm_status rc) { return rc && rc != DM_ENOMEM && rc != DM_ECANCELLED; }

dm_status dm_measure(dm_device *d, const dm_opnode *n, const dm_impl *const *list, int count,
                     const dm_measure_options *o, dm_measured *out, dm_err *err)
{
    dm_op_run b = {.d = d, .node = n};
    float *block = malloc(BLOCK * sizeof *block);
    results trusted = {0};
    trial t;
    dm_status rc = block ? make_operands(&b, block, err) : dm_error(err, DM_ENOMEM, "out of memory while measuring");

    begin_trial(d, n, &t);
    if (!rc)
        rc = trust_known(&b, list, out, count, block, &trusted, err);
    for (int i = 0; i < count && !rc; i++) {
        dm_measured m = {0};
        dm_err why = {0};

        if (out[i].impl)
            continue;
        rc = go_on(o, &why);
        if (!rc && !(rc = check(&t, list[i], block, &m.error, &why)))
            rc = go_on(o, &why);
        if (!rc && !(m.error <= tolerance(list[i], n)))
            drop(n, list[i], o, &m, m.error, NULL);
        else if (!rc)
            rc = time_one(&b, list[i], o, block, &trusted, &m, &why);
        if (its_fault(rc)) {
            drop(n, list[i], o, &m, INFINITY, why.msg);
            rc = DM_OK;
        }
        if (rc) {
            dm_error(err, rc, "%s", why.msg);
            break;
        }
        out[i] = m;
        out[i].impl = list[i];
    }
    end_trial(&t);
    dm_op_run_forget(&b);
    free_operands(&b);
    free_results(&trusted);
    free(block);
    return rc;
}
