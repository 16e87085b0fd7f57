/* adaptive: the probability-flow ODE with steps as long as a tolerance lets them be, by an embedded pair of Runge-Kutta
 * methods: Bogacki and Shampine's 3(2) (1989) or Heun and Euler's 2(1). With theta = atan(sigma / alpha) and
 * z = x / sqrt(alpha^2 + sigma^2) the ODE is dz/dtheta = cos(theta) eps - sin(theta) x0, also where alpha is 0. */
#include <math.h>
#include <demist/plugin.h>

enum { BOGACKI_SHAMPINE, HEUN };
typedef struct { int32_t method; double rtol, atol; } cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, method, "bogacki_shampine", "bogacki_shampine|heun", "order 3 with an error of order 2, or 2 with 1"),
    DM_REAL(cfg, rtol, "0.05", 0, 1, "", "tolerance of a step, as a share of |x|"),
    DM_REAL(cfg, atol, "0.0078", 0, 1e6, "",
            "tolerance of a step, added to that: 0.0078 is a level of 8 bits in [-1, 1]"),
    DM_END,
};

/* Stages: where, from which slopes; the solution and the error, as multiples of h. */
typedef struct pair {
    int stages, order;             /* order of the solution */
    bool same;                     /* the last slope is the next step's first */
    double at[4], from[4][3], solution[4], error[4];
} pair;
static const pair pairs[] = {
    [BOGACKI_SHAMPINE] = {4, 3, true, {0, 0.5, 0.75, 1}, {{0}, {0.5}, {0, 0.75}, {2. / 9, 1. / 3, 4. / 9}},
                          {2. / 9, 1. / 3, 4. / 9, 0}, {-5. / 72, 1. / 12, 1. / 9, -1. / 8}},
    [HEUN] = {2, 2, false, {0, 1}, {{0}, {1}}, {0.5, 0.5}, {-0.5, 0.5}},
};

typedef struct {
    dm_tensor *x0, *eps, *y, *error, *weight, *k[4];
    double h;                      /* the next step's change of theta, below 0; 0 = not known yet */
    bool known;                    /* k[0] is the slope at x */
} state;

static const char source[] =
    "kernel void weigh(global const float *x, float kx, global const float *y, float ky, global float *w, float rtol,\n"
    "                  float atol, int n)\n"
    "{\n"
    "  const int i = get_global_id(0);\n"
    "  if (i < n)\n"
    "    w[i] = 1 / (atol + rtol * fmax(fabs(x[i]) * kx, fabs(y[i]) * ky));\n"
    "}\n";

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    (void)s;
    if (p->rtol <= 0 && p->atol <= 0)
        return dm_fail(c, DM_EINVAL, "rtol: rtol and atol are both 0, and no step has no error");
    return DM_OK;
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    dm_tensor **const all[] = {&st->x0, &st->eps, &st->y, &st->error, &st->weight,
                               &st->k[0], &st->k[1], &st->k[2], &st->k[3]};

    st->h = 0;
    st->known = false;
    for (int i = 0; i < 5 + pairs[p->method].stages; i++)
        if (!(*all[i] = c->host->tensor_like(c, s->x)))
            return c->err->code;
    return DM_OK;
}

static double angle(const dm_point *p) { return atan2(p->sigma, p->alpha); }
static double size(const dm_point *p) { return hypot(p->alpha, p->sigma); }

/* Where the steps of this method end: at the grid's end or, before a step to the data, at the lowest noise level. */
static dm_status find_end(dm_ctx *c, const dm_point *end, dm_point *to)
{
    dm_span span = {.size = sizeof span};
    dm_status rc;

    *to = *end;
    if (end->sigma > 0)
        return DM_OK;
    if ((rc = c->host->span(c, &span)))
        return rc;
    *to = span.least;
    return span.least.sigma > 0 ? DM_OK : c->host->point_at_log_snr(c, -2 * log(0.002), to);
}

/* k = dz/dtheta at x and p. */
static dm_status slope(dm_ctx *c, const dm_tensor *x, const dm_point *p, dm_tensor *k)
{
    const state *st = c->self;
    const double r = size(p);
    const dm_status rc = c->host->predict(c, x, p, &(dm_pred){.x0 = st->x0, .eps = st->eps});

    return rc ? rc : c->host->sum(c, k, DM_SUM({p->alpha / r, st->eps}, {-p->sigma / r, st->x0}));
}

/* out = kx x + h (the sum of m k over n slopes). */
static dm_status combine(dm_ctx *c, dm_tensor *out, double kx, const dm_tensor *x, double h, const double *m, int n)
{
    const state *st = c->self;
    dm_term terms[5] = {{kx, x}};

    for (int i = 0; i < n; i++)
        terms[1 + i] = (dm_term){h * m[i], st->k[i]};
    return c->host->sum(c, out, terms, 1 + n);
}

/* The largest of all examples' ratios of error to tolerance, of z from x at `at` to st->y at `to`. */
static dm_status measure(dm_ctx *c, const dm_step *s, const dm_point *to, double h, double *ratio)
{
    const cfg *p = c->cfg;
    const pair *method = &pairs[p->method];
    const state *st = c->self;
    const dm_shape shape = c->host->shape(s->x);
    dm_kernel *kernel = c->host->kernel(c, source, "weigh", NULL);
    dm_rms rms = {.size = sizeof rms};
    int64_t n = 1;
    dm_status rc;

    if (!kernel)
        return c->err->code;
    for (int32_t i = 0; i < shape.rank; i++)
        n *= shape.dim[i];
    if ((rc = combine(c, st->error, 0, s->x, h, method->error, method->stages)) ||
        (rc = c->host->launch(c, kernel, &(dm_range){1, {(size_t)n}, {0}},
                              DM_ARGS({DM_BUF, s->x, 0}, {DM_F32, NULL, 1 / size(s->at)}, {DM_BUF, st->y, 0},
                                      {DM_F32, NULL, 1 / size(to)}, {DM_BUF, st->weight, 0}, {DM_F32, NULL, p->rtol},
                                      {DM_F32, NULL, p->atol}, {DM_I32, NULL, (double)n}))) ||
        (rc = c->host->rms(c, st->error, st->weight, &rms)))
        return rc;
    *ratio = rms.most;
    return DM_OK;
}

/* x at `to` in st->y, and the ratio of its error to the tolerance. */
static dm_status attempt(dm_ctx *c, const dm_step *s, const dm_point *to, double *ratio)
{
    const pair *method = &pairs[((const cfg *)c->cfg)->method];
    const state *st = c->self;
    const double from = angle(s->at), h = angle(to) - from, r = size(s->at);
    dm_status rc;

    for (int k = 1; k < method->stages; k++) {
        dm_point at = *to;
        double m[3];

        if (method->at[k] < 1 &&
            (rc = c->host->point_at_log_snr(c, -2 * log(tan(from + method->at[k] * h)), &at)))
            return rc;
        for (int i = 0; i < k; i++)
            m[i] = method->from[k][i] * size(&at);
        if ((rc = combine(c, st->y, size(&at) / r, s->x, h, m, k)) || (rc = slope(c, st->y, &at, st->k[k])))
            return rc;
    }
    if (!method->same) { /* else the last stage is the solution */
        double m[4];

        for (int i = 0; i < method->stages; i++)
            m[i] = method->solution[i] * size(to);
        if ((rc = combine(c, st->y, size(to) / r, s->x, h, m, method->stages)))
            return rc;
    }
    return measure(c, s, to, h, ratio);
}

/* Steps of h until one is within the tolerance; at most to `end`. */
static dm_status step_within(dm_ctx *c, const dm_step *s, const dm_point *end)
{
    const pair *method = &pairs[((const cfg *)c->cfg)->method];
    state *st = c->self;
    const double from = angle(s->at), rest = angle(end) - from;

    if (st->h >= 0)
        st->h = rest / 10;
    for (int tries = 0; tries < 60; tries++) {
        const bool last = st->h <= rest * 0.999; /* no sliver is left */
        const double h = last ? rest : st->h;
        dm_point to = *end;
        double ratio = 0, factor;
        dm_status rc;

        if ((!last && (rc = c->host->point_at_log_snr(c, -2 * log(tan(from + h)), &to))) ||
            (rc = attempt(c, s, &to, &ratio)))
            return rc;
        factor = ratio > 0 ? 0.9 * pow(ratio, -1.0 / method->order) : 5;
        st->h = h * fmin(5, fmax(0.2, factor)); /* NaN: 0.2 */
        if (!(ratio <= 1))
            continue;
        if ((rc = c->host->sum(c, s->x, DM_SUM({1, st->y}))))
            return rc;
        if ((st->known = method->same)) {
            dm_tensor *first = st->k[0];

            st->k[0] = st->k[method->stages - 1];
            st->k[method->stages - 1] = first;
        }
        *s->next = to;
        return DM_OK;
    }
    return dm_fail(c, DM_EINVAL,
                   "rtol: at t = %g the error of a step stays above the tolerance, however short it is; larger rtol or "
                   "atol are needed, or the predictions are not finite",
                   s->at->t);
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;
    const dm_point *data = &s->grid[s->n];
    dm_point end;
    dm_status rc;

    if ((rc = find_end(c, data, &end)))
        return rc;
    if (s->at->log_snr >= end.log_snr) { /* there is no slope at the data */
        *s->next = *data;
        return (rc = c->host->predict(c, s->x, s->at, &(dm_pred){.x0 = st->x0})) ? rc
                                                                               : c->host->sum(c, s->x,
                                                                                              DM_SUM({1, st->x0}));
    }
    if (!st->known && (rc = slope(c, s->x, s->at, st->k[0])))
        return rc;
    return step_within(c, s, &end);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "adaptive", .version = "1", .license = "Apache-2.0",
    .doc = "steps by a tolerance, with the embedded pair of Bogacki & Shampine 1989 or of Heun and Euler",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .adaptive = true, .check = check, .begin = begin,
        .step = step},
};
