/* See harness.h. */
#include "harness.h"

#include "plan/op_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 64 }; /* guard words on either side */

typedef struct operand {
    dm_buf *whole, *window;
    dm_dtype type;
    size_t count, lead;
    uint32_t *before;
    double *ref;
} operand;

typedef struct bench {
    dm_device *d;
    const ops_case *c;
    dm_opnode node;
    operand in[DM_MAX_IN], out[DM_MAX_OUT];
    dm_op_run run;
} bench;

bool ops_small(void) { return getenv("DEMIST_TEST_SMALL") != NULL; }

dm_desc ops_desc(int32_t rank, const int64_t *dim)
{
    dm_desc d = {.type = DM_DT_F32, .rank = rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};

    memcpy(d.dim, dim, (size_t)rank * sizeof *dim);
    return d;
}

int ops_setup(void **state)
{
    const char *select = getenv("DEMIST_DEVICE");
    const dm_device_options o = {.bf16 = true, .high = true};
    dm_device *d;
    dm_err err = {0};

    if (dm_cpu_hold(getenv("DEMIST_CPU"), &err) || dm_device_open(select ? select : "auto", &o, &d, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    *state = d;
    return 0;
}

int ops_teardown(void **state)
{
    dm_device_close(*state);
    return 0;
}

/* A small generator of its own: roughly normal values. */
static uint32_t seed_word;
static double uniform(void)
{
    seed_word = seed_word * 1664525u + 1013904223u;
    return ((seed_word >> 8) + 0.5) / 16777216.0;
}
static double normal(void) { return (uniform() + uniform() + uniform() + uniform() - 2) * 1.7320508; }

static void must(dm_status rc, const dm_err *err, const char *what)
{
    if (rc)
        fail_msg("%s: %s", what, err->msg);
}

static float bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&f, &u, 4);
    return f;
}

/* The same to f16, of 11 bits from 2^-14 on and multiples of 2^-24 below. */
static float f16(float f)
{
    float r;

    if (!isfinite(f)) /* has no exponent */
        return f;
    r = fabsf(f) < 0x1p-14f ? rintf(f * 0x1p24f) * 0x1p-24f : ldexpf(rintf(ldexpf(f, 10 - ilogbf(f))), ilogbf(f) - 10);
    return fabsf(r) > 65504 ? copysignf(INFINITY, r) : r;
}

float ops_rounded(dm_dtype type, float f) { return type == DM_DT_BF16 ? bf16(f) : type == DM_DT_F16 ? f16(f) : f; }

/* The bits of what f16 has. */
static uint16_t f16_bits(float f)
{
    const uint16_t sign = signbit(f) ? 0x8000 : 0;

    if (isnan(f))
        return 0x7e00;
    if (isinf(f))
        return sign | 0x7c00;
    if (fabsf(f) < 0x1p-14f)
        return sign | (uint16_t)(fabsf(f) * 0x1p24f);
    return (uint16_t)(sign + ((ilogbf(f) + 14) << 10) + (int)(ldexpf(fabsf(f), 10 - ilogbf(f))));
}

static double f16_value(uint16_t h)
{
    const int exponent = h >> 10 & 31, m = h & 1023;
    const double v = exponent == 31 ? (m ? (double)NAN : (double)INFINITY)
                                    : ldexp(exponent ? 1024 + m : m, (exponent ? exponent : 1) - 25);

    return h & 0x8000 ? -v : v;
}

/* Words that hold the elements. */
static size_t words_of(const operand *o) { return (o->count * dm_dtype_size(o->type) + 3) / 4; }

/* Element i, as it lies from p on. */
static void put(dm_dtype type, void *p, size_t i, double value)
{
    const float f = ops_rounded(type, (float)value);
    const int32_t v = (int32_t)value;
    uint32_t u;

    memcpy(&u, &f, 4);
    if (type == DM_DT_BF16)
        memcpy((uint16_t *)p + i, &(uint16_t){(uint16_t)(u >> 16)}, 2);
    else if (type == DM_DT_F16)
        memcpy((uint16_t *)p + i, &(uint16_t){f16_bits(f)}, 2);
    else
        memcpy((uint32_t *)p + i, type == DM_DT_I32 ? (const void *)&v : &f, 4);
}

static double get(dm_dtype type, const void *p, size_t i)
{
    const uint32_t word = dm_dtype_is_16bit(type) ? (uint32_t)((const uint16_t *)p)[i] << 16 : ((const uint32_t *)p)[i];
    float f;

    if (type == DM_DT_F16)
        return f16_value(((const uint16_t *)p)[i]);
    memcpy(&f, &word, 4);
    return type == DM_DT_I32 ? (double)(int32_t)word : (double)f;
}

/* Values between guard words, on the device; NaN where fill is not given. */
static void make_operand(bench *b, operand *o, const dm_desc *d, const double *values)
{
    const dm_device_info *about = dm_device_get_info(b->d);
    dm_err err = {0};
    size_t words;

    *o = (operand){0};
    if (d->rank < 0)
        return;
    o->type = d->type;
    o->count = (size_t)dm_desc_count(d);
    o->lead = (GUARD * 4 + about->align - 1) / about->align * about->align / 4;
    words = o->lead + words_of(o) + GUARD;
    o->before = malloc(words * sizeof *o->before);
    o->ref = malloc(o->count * sizeof *o->ref);
    for (size_t i = 0; i < words; i++)
        o->before[i] = 0xdeadbeefu ^ (uint32_t)i;
    for (size_t i = 0; i < o->count; i++) {
        put(d->type, o->before + o->lead, i, values ? values[i] : d->type == DM_DT_I32 ? 0 : (double)NAN);
        o->ref[i] = get(d->type, o->before + o->lead, i);
    }
    must(dm_buf_new(b->d, words * 4, "operand", &o->whole, &err), &err, "allocation");
    must(dm_buf_window(o->whole, o->lead * 4, o->count * dm_dtype_size(o->type), &o->window, &err), &err, "window");
    must(dm_buf_write(o->whole, 0, words * 4, o->before, &err), &err, "write");
}

static void free_operand(operand *o)
{
    dm_buf_free(o->window);
    dm_buf_free(o->whole);
    free(o->before);
    free(o->ref);
    *o = (operand){0};
}

static void record(bench *b, const dm_impl *impl)
{
    dm_err err = {0};

    b->run = (dm_op_run){.d = b->d, .node = &b->node};
    for (int i = 0; i < DM_MAX_IN; i++) {
        b->run.in[i] = b->in[i].window;
        b->run.out[i] = b->out[i].window;
    }
    must(dm_op_run_record(&b->run, impl, &err), &err, impl->name);
}

static uint32_t *read_back(const operand *o)
{
    const size_t words = dm_buf_bytes(o->whole) / 4;
    uint32_t *v = malloc(words * 4);
    dm_err err = {0};

    must(dm_buf_read(o->whole, 0, words * 4, v, &err), &err, "read");
    return v;
}

static void check_guards(const ops_case *c, const dm_impl *impl, const char *what, int k, const operand *o,
                         const uint32_t *now, bool all)
{
    const size_t words = dm_buf_bytes(o->whole) / 4;

    for (size_t i = 0; i < words; i++)
        if ((all || i < o->lead || i >= o->lead + words_of(o)) && now[i] != o->before[i])
            fail_msg("%s, %s: word %lld of %s %d was overwritten", c->name, impl->name,
                     (long long)i - (long long)o->lead, what, k);
}

static void compare(const ops_case *c, const dm_impl *impl, int k, const operand *o, const uint32_t *now)
{
    const double tolerance =
        dm_dtype_is_16bit(dm_op_16bit_type(&c->node)) ? c->tolerance : fmax(c->tolerance, impl->tolerance);
    double largest = 0, error = 0;

    for (size_t i = 0; i < o->count; i++)
        largest = fmax(largest, fabs(o->ref[i]));
    for (size_t i = 0; i < o->count; i++) { /* below 2^-14, f16 has multiples of 2^-24 */
        const double v = get(o->type, now + o->lead, i);

        error = fmax(error, fabs(v - o->ref[i]));
        if (!(fabs(v - o->ref[i]) <= tolerance * fmax(largest, 1e-30) + (o->type == DM_DT_F16 ? 0x1p-25 : 0)))
            fail_msg("%s, %s: output %d, element %zu is %.9g; it should be %.9g (largest %.3g, tolerance %.1e)",
                     c->name, impl->name, k, i, v, o->ref[i], largest, tolerance);
    }
    if (getenv("OPS_ERRORS")) /* for docs/kernels.md */
        print_message("%s, %s: output %d of %zu is off by at most %.1e of the largest\n", c->name, impl->name, k,
                      o->count, error / fmax(largest, 1e-30));
}

static void run(bench *b, const dm_impl *impl)
{
    uint32_t *first[DM_MAX_OUT] = {0};
    dm_err err = {0};

    for (int again = 0; again < 2; again++) {
        for (int k = 0; k < DM_MAX_OUT; k++)
            if (b->out[k].whole)
                must(dm_buf_write(b->out[k].whole, 0, dm_buf_bytes(b->out[k].whole), b->out[k].before, &err), &err,
                     "write");
        must(dm_op_run_once(&b->run, &err), &err, impl->name);
        for (int k = 0; k < DM_MAX_OUT; k++) {
            uint32_t *now;

            if (!b->out[k].whole)
                continue;
            now = read_back(&b->out[k]);
            if (again) {
                if (memcmp(now, first[k], dm_buf_bytes(b->out[k].whole)))
                    fail_msg("%s, %s: output %d has other bits when run again", b->c->name, impl->name, k);
                free(now);
            } else {
                first[k] = now;
            }
        }
    }
    for (int k = 0; k < DM_MAX_OUT; k++) {
        if (first[k]) {
            check_guards(b->c, impl, "output", k, &b->out[k], first[k], false);
            compare(b->c, impl, k, &b->out[k], first[k]);
        }
        free(first[k]);
        if (b->in[k].whole) {
            uint32_t *now = read_back(&b->in[k]);

            check_guards(b->c, impl, "input", k, &b->in[k], now, true);
            free(now);
        }
    }
}

static double *random_values(const ops_case *c, const dm_desc *d)
{
    const int64_t n = dm_desc_count(d);
    const dm_dtype type = dm_op_16bit_type(&c->node);
    double *v = malloc((size_t)(n ? n : 1) * sizeof *v);

    for (int64_t i = 0; i < n; i++)
        v[i] = d->type == DM_DT_I32 ? floor(uniform() * c->levels) : normal() * (c->scale != 0 ? c->scale : 1);
    for (int64_t i = 0; i < n && d->type != DM_DT_I32 && c->node.kind != DM_OP_CAST; i++)
        v[i] = dm_dtype_is_16bit(type) ? (double)ops_rounded(type, (float)v[i]) : v[i];
    return v;
}

static void make_operands(bench *b)
{
    const ops_case *c = b->c;
    const double *in[DM_MAX_IN];
    double *out[DM_MAX_OUT];

    seed_word = 12345;
    for (int k = 0; k < DM_MAX_IN; k++) {
        double *v = k < c->node.n_in && c->node.in[k].rank >= 0 ? random_values(c, &c->node.in[k]) : NULL;

        if (k < c->node.n_in)
            make_operand(b, &b->in[k], &c->node.in[k], c->given[k] ? c->given[k] : v);
        free(v);
        in[k] = b->in[k].ref;
    }
    for (int k = 0; k < DM_MAX_OUT; k++) {
        double *v = NULL;

        if (k < c->node.n_out) {
            v = c->node.accum ? random_values(c, &c->node.out[k]) : NULL;
            make_operand(b, &b->out[k], &c->node.out[k], v);
        }
        free(v);
        out[k] = b->out[k].ref;
    }
    c->reference(&c->node, in, out);
}

static void check(dm_device *d, const ops_case *c, bool must_serve)
{
    bench b = {.d = d, .c = c, .node = c->node};
    const dm_impl *impl;
    bool served = false;

    for (int i = 0; (impl = dm_impl_at(c->node.kind, i)); i++)
        served |= dm_impl_supports(impl, dm_device_get_info(d), &b.node);
    if (!served && must_serve)
        fail_msg("%s: no implementation supports this device", c->name);
    if (!served)
        return;
    make_operands(&b);
    for (int i = 0; (impl = dm_impl_at(c->node.kind, i)); i++) {
        if (!dm_impl_supports(impl, dm_device_get_info(d), &b.node))
            continue;
        record(&b, impl);
        run(&b, impl);
        dm_op_run_forget(&b.run);
    }
    for (int k = 0; k < DM_MAX_IN; k++) {
        free_operand(&b.in[k]);
        free_operand(&b.out[k]);
    }
}

/* All that may be 16 bits wide is; results that are stored so are rounded, by 2^-8 or 2^-11 at most. Products of f16
 * are summed in it 16 at a time: 2^-9 covers their roundings, of 2^-12 at most each and either way. */
static void check_narrow(dm_device *d, const ops_case *from, dm_dtype type)
{
    ops_case c = *from;
    char name[128];
    bool any = false, stored = false;

    for (int k = 0; k < c.node.n_in; k++)
        if (c.node.in[k].rank >= 0 && dm_op_may_be_16bit(&c.node, false, k)) {
            if (c.given[k] && !c.rounded) /* results are for values that it does not have */
                return;
            c.node.in[k].type = type;
            any = true;
        }
    for (int k = 0; k < c.node.n_out; k++)
        if (c.node.out[k].rank >= 0 && dm_op_may_be_16bit(&c.node, true, k)) {
            c.node.out[k].type = type;
            stored = true;
        }
    if (!any)
        return;
    snprintf(name, sizeof name, "%s, %s", c.name, type == DM_DT_F16 ? "f16" : "bf16");
    c.name = name;
    c.tolerance += !stored ? 0 : type == DM_DT_F16 ? 1.0 / 2048 : 1.0 / 256;
    if (type == DM_DT_F16 && (c.node.kind == DM_OP_CONV2D || c.node.kind == DM_OP_MATMUL))
        c.tolerance += 1.0 / 512;
    if (c.node.kind == DM_OP_ATTENTION || c.node.kind == DM_OP_ATTENTION_DX)
        c.tolerance += 1.0 / 128; /* softmax's weights, and their gradients, are rounded too */
    check(d, &c, false);
}

void ops_check(dm_device *d, const ops_case *c)
{
    ops_case padded = *c;

    for (int k = c->node.n_in; k < DM_MAX_IN; k++)
        padded.node.in[k] = OPS_NONE;
    for (int k = c->node.n_out; k < DM_MAX_OUT; k++)
        padded.node.out[k] = OPS_NONE;
    check(d, &padded, true);
    check_narrow(d, &padded, DM_DT_BF16);
    check_narrow(d, &padded, DM_DT_F16);
}
