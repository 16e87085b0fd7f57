/* Each op, by every implementation that supports the device, against committed values; and the random numbers. */
#include "selftest/selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/op_run.h"
#include "base/philox.h"

#define TOLERANCE 2e-5 /* of the largest magnitude of each result */

static dm_status upload(dm_device *d, const dm_desc *desc, const float *values, dm_buf **out, dm_err *err)
{
    const size_t n = (size_t)dm_desc_count(desc);
    int32_t *whole;
    dm_status rc;

    if ((rc = dm_buf_new(d, n * 4, "operand", out, err)) || !values)
        return rc;
    if (desc->type == DM_DT_F32)
        return dm_buf_write(*out, 0, n * 4, values, err);
    if (!(whole = malloc(n * sizeof *whole)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        whole[i] = (int32_t)values[i];
    rc = dm_buf_write(*out, 0, n * 4, whole, err);
    free(whole);
    return rc;
}

/* *impossible: it failed before anything ran, for what its kernels demand of the device. */
static dm_status run_once(dm_op_run *r, const selftest_op *op, const dm_impl *impl, bool *impossible, dm_err *err)
{
    dm_status rc;

    for (int k = 0; k < op->node.n_in; k++)
        if (op->in[k] && (rc = upload(r->d, &op->node.in[k], op->in[k], &r->in[k], err)))
            return rc;
    for (int k = 0; k < op->node.n_out; k++)
        if (op->out[k] && (rc = upload(r->d, &op->node.out[k], NULL, &r->out[k], err)))
            return rc;
    if ((rc = dm_op_run_record(r, impl, err))) {
        *impossible = rc == DM_EDEVICE;
        return rc;
    }
    return dm_op_run_once(r, err);
}

static void compare(const dm_op_run *r, const selftest_op *op, double *error, dm_err *err)
{
    for (int k = 0; k < op->node.n_out; k++) {
        const size_t n = op->out[k] ? (size_t)dm_desc_count(&op->node.out[k]) : 0;
        float *got = malloc(n * sizeof *got + 1), largest = 0;

        if (!got || (n && dm_buf_read(r->out[k], 0, n * sizeof *got, got, err))) {
            free(got);
            return;
        }
        for (size_t i = 0; i < n; i++)
            largest = fmaxf(largest, fabsf(op->out[k][i]));
        for (size_t i = 0; i < n; i++) {
            const double off = fabs((double)got[i] - op->out[k][i]);

            if (!(off <= *error * largest))
                *error = largest > 0 && off >= 0 ? off / largest : INFINITY;
            if (!(off <= TOLERANCE * largest) && !err->code)
                dm_error(err, DM_EDEVICE, "result %d, element %zu is %.7g, not %.7g", k, i, (double)got[i],
                         (double)op->out[k][i]);
        }
        free(got);
    }
}

static void release(dm_op_run *r)
{
    dm_op_run_forget(r);
    for (int k = 0; k < DM_MAX_IN; k++)
        dm_buf_free(r->in[k]);
    for (int k = 0; k < DM_MAX_OUT; k++)
        dm_buf_free(r->out[k]);
}

/* Where another implementation is the reference, one that the device cannot run at all is left out, as in training. */
static void check(dm_device *d, const selftest_op *op, const dm_opnode *node, const dm_impl *impl, selftest *t)
{
    dm_op_run r = {.d = d, .node = node};
    dm_err err = {0};
    bool impossible = false;
    double error = 0;

    if (!run_once(&r, op, impl, &impossible, &err))
        compare(&r, op, &error, &err);
    else
        error = -1;
    release(&r);
    selftest_end(t, !err.code                                              ? SELFTEST_PASSED
                    : impossible && !dm_impl_is_reference(impl, node) ? SELFTEST_IMPOSSIBLE
                                                                      : SELFTEST_FAILED,
                 error, err.code ? err.msg : NULL);
}

void selftest_run_ops(dm_device *d, selftest *t)
{
    for (int i = 0; i < selftest_n_ops && !t->stopped; i++) {
        const selftest_op *op = &selftest_ops[i];
        const dm_impl *impl, *before[8] = {0};
        dm_opnode node = op->node;

        for (int k = node.n_in; k < DM_MAX_IN; k++)
            node.in[k].rank = -1;
        for (int k = node.n_out; k < DM_MAX_OUT; k++)
            node.out[k].rank = -1;
        for (int j = 0; (impl = dm_impl_at(node.kind, j)) && !t->stopped; j++) {
            char what[128];
            bool again = false;

            for (int k = 0; k < 8 && before[k]; k++)
                again |= before[k]->emit == impl->emit;
            if (again || (impl->supports && !impl->supports(dm_device_get_info(d), &node)))
                continue;
            for (int k = 0; k < 7; k++)
                if (!before[k]) {
                    before[k] = impl;
                    break;
                }
            snprintf(what, sizeof what, "%s, %s", op->name, impl->name);
            if (selftest_begin(t, what))
                check(d, op, &node, impl, t);
        }
    }
}

/* ---- random numbers --------------------------------------------------------------------- */

static void known_answers(selftest *t)
{
    /* Random123's for philox4x32-10: counter, key, result. */
    static const uint32_t known[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };
    const char *why = NULL;

    if (!selftest_begin(t, "Philox 4x32-10, host"))
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];

        dm_philox(known[i] + 4, known[i], out);
        if (memcmp(out, known[i] + 6, sizeof out))
            why = "integers differ from Random123's known answers";
    }
    selftest_end(t, why ? SELFTEST_FAILED : SELFTEST_PASSED, -1, why);
}

/* The device's normals against the host's, from the same counters. */
void selftest_run_random(dm_device *d, selftest *t)
{
    enum { EXAMPLES = 3, EACH = 37 };
    const uint32_t state[DM_STATE_WORDS] = {0x12345678, 0x9abcdef0, 41, 5};
    dm_opnode node = {.kind = DM_OP_RANDN, .n_in = 1, .n_out = 1};
    dm_op_run r = {.d = d, .node = &node};
    float got[EXAMPLES * EACH];
    dm_err err = {0};
    double error = 0;

    known_answers(t);
    if (!selftest_begin(t, "normals from Philox, device"))
        return;
    for (int k = 0; k < DM_MAX_IN; k++)
        node.in[k].rank = node.out[k].rank = -1;
    node.in[0] = (dm_desc){DM_DT_I32, 1, {DM_STATE_WORDS}};
    node.out[0] = (dm_desc){DM_DT_F32, 2, {EXAMPLES, EACH}};
    node.a.random.purpose = DM_PURPOSE_NOISE;
    node.a.random.draw = 3;
    if (!dm_buf_new(d, sizeof state, "state", &r.in[0], &err) && !dm_buf_write(r.in[0], 0, sizeof state, state, &err) &&
        !dm_buf_new(d, sizeof got, "noise", &r.out[0], &err) &&
        !dm_op_run_record(&r, dm_impl_at(DM_OP_RANDN, 0), &err) && !dm_op_run_once(&r, &err) &&
        !dm_buf_read(r.out[0], 0, sizeof got, got, &err))
        for (int i = 0; i < EXAMPLES * EACH && !err.code; i++) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_NOISE << 24, 41, 3u << 28 | (uint32_t)(i % EACH / 4),
                                     5 + (uint32_t)(i / EACH)};
            const int j = i % EACH % 4;
            uint32_t x[4];
            double want;

            dm_philox(state, ctr, x);
            want = sqrt(-2 * log(dm_uniform(x[j / 2 * 2]))) *
                   (j % 2 ? sin(6.283185307179586 * dm_uniform(x[j / 2 * 2 + 1]))
                          : cos(6.283185307179586 * dm_uniform(x[j / 2 * 2 + 1])));
            error = fmax(error, fabs((double)got[i] - want));
            if (!(fabs((double)got[i] - want) <= 1e-5))
                dm_error(&err, DM_EDEVICE, "normal %d is %.7g, not %.7g", i, (double)got[i], want);
        }
    release(&r);
    selftest_end(t, err.code ? SELFTEST_FAILED : SELFTEST_PASSED, err.code ? -1 : error, err.code ? err.msg : NULL);
}
