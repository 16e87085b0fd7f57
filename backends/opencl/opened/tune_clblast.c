/* demist tune: a search over CLBlast's parameters on one device. Each set is first given a product with tails, whose
 * result must be right (drivers and some sets are not), then timed; what is best is kept. */
#include "opencl/gemm/gemm_clblast.h"
#include "opencl/gemm/gemm_parameters.h"

#ifdef DEMIST_CLBLAST
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { LARGE = 1024, SMALL = 192, CHECK_M = 97, CHECK_N = 70, CHECK_K = 45, MOST_SETS = 4096 };
static const double TOLERANCE = 1e-5;

typedef struct search {
    dm_device *d;
    dm_buf *a, *b, *c;             /* LARGE x LARGE each */
    float *host, *right;           /* a product to compare with: its values, and what must come */
    double until;
    void (*line)(void *user, const char *text);
    void *user;
    dm_err *err;
} search;

DM_PRINTF(2, 3) static void say(const search *s, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->line(s->user, text);
}

/* ---- one set ------------------------------------------------------------------------------ */

static bool product(search *s, int64_t m, int64_t n, int64_t k)
{
    const dm_gemm g = {
        .m = m, .n = n, .k = k, .batch = 1, .alpha = 1, .a = s->a, .b = s->b, .c = s->c, .lda = k, .ldb = n, .ldc = n};
    dm_err ignored = {0};

    return !ocl_gemm_run(s->d, &g, -1, NULL, &ignored);
}

/* Seconds of a square product; infinite where it fails or is wrong. */
static double time_of(search *s, int64_t n)
{
    double best = INFINITY, largest = 0, error = 0;
    dm_err ignored = {0};

    if (!product(s, CHECK_M, CHECK_N, CHECK_K) ||
        dm_buf_read(s->c, 0, CHECK_M * CHECK_N * sizeof(float), s->host, &ignored))
        return INFINITY;
    for (int i = 0; i < CHECK_M * CHECK_N; i++) {
        largest = fmax(largest, fabs((double)s->right[i]));
        error = fmax(error, isnan(s->host[i]) ? INFINITY : fabs((double)s->host[i] - (double)s->right[i]));
    }
    if (error > TOLERANCE * largest)
        return INFINITY;
    for (int i = 0; i < 4 && (i < 2 || dm_seconds() < s->until); i++) {
        const double from = dm_seconds();

        if (!product(s, n, n, n) || dm_device_finish(s->d, &ignored))
            return INFINITY;
        if (i) /* the first compiles */
            best = fmin(best, dm_seconds() - from);
    }
    return best;
}

/* ---- candidates ----------------------------------------------------------------------------- */

static uint32_t random_word(uint32_t *state) { return (*state = *state * 1664525u + 1013904223u) >> 8; }
static size_t one_of(uint32_t *state, const size_t *list, size_t n) { return list[random_word(state) % n]; }
#define ONE_OF(state, ...) \
    one_of(state, (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

static void fill(ocl_parameters *p, const char *const *names, const size_t *values)
{
    *p = (ocl_parameters){0};
    for (; names[p->n]; p->n++) {
        p->names[p->n] = names[p->n];
        p->values[p->n] = values[p->n];
    }
}

/* In the order of ocl_indirect_names. */
enum { GEMMK, KREG, KWG, KWI, MDIMA, MDIMC, MWG, NDIMB, NDIMC, NWG, SA, SB, STRM, STRN, VWM, VWN, N_INDIRECT };
enum { KWID, MDIMAD, MDIMCD, NDIMBD, NDIMCD, PADA, PADB, VWMD, VWND, WGD, N_DIRECT };

/* What CLBlast's kernels demand of a set, and the device of a group. */
static bool possible(const dm_device_info *i, const size_t *v)
{
    const size_t group = v[MDIMC] * v[NDIMC];

    return v[MWG] % (v[MDIMC] * v[VWM]) == 0 && v[NWG] % (v[NDIMC] * v[VWN]) == 0 &&
           v[MWG] % (v[MDIMA] * v[VWM]) == 0 && v[NWG] % (v[NDIMB] * v[VWN]) == 0 && group % v[MDIMA] == 0 &&
           group % v[NDIMB] == 0 && v[KWG] % (group / v[MDIMA]) == 0 && v[KWG] % (group / v[NDIMB]) == 0 &&
           v[KWG] % v[KWI] == 0 && group <= i->max_group &&
           4 * v[KWG] * (v[SA] * v[MWG] + v[SB] * v[NWG]) <= i->local_mem &&
           v[MWG] / v[MDIMC] * (v[NWG] / v[NDIMC]) <= 256;
}

static bool possible_direct(const dm_device_info *i, const size_t *v)
{
    const size_t group = v[MDIMCD] * v[NDIMCD];

    return v[WGD] % (v[MDIMCD] * v[VWMD]) == 0 && v[WGD] % (v[NDIMCD] * v[VWND]) == 0 &&
           v[WGD] % (v[MDIMAD] * v[VWMD]) == 0 && v[WGD] % (v[NDIMBD] * v[VWND]) == 0 && v[WGD] % v[KWID] == 0 &&
           group % v[MDIMAD] == 0 && group % v[NDIMBD] == 0 && v[WGD] % (group / v[MDIMAD]) == 0 &&
           v[WGD] % (group / v[NDIMBD]) == 0 && group <= i->max_group &&
           4 * v[WGD] * (2 * v[WGD] + v[PADA] + v[PADB]) <= i->local_mem;
}

/* Groups of one with long vectors come first on CPUs: their compilers see one work-item's registers. GEMMK 1 is left
 * out: CLBlast 1.5.3 computes wrong products with it where MWG and NWG differ. */
static bool draw_indirect(const dm_device_info *i, int at, uint32_t *state, ocl_parameters *p)
{
    static const size_t cpu[][N_INDIRECT] = {
        {0, 1, 32, 2, 1, 1, 32, 1, 1, 12, 0, 0, 0, 0, 16, 4}, {0, 1, 32, 2, 1, 1, 32, 1, 1, 8, 0, 0, 0, 0, 16, 4},
        {0, 1, 32, 2, 1, 1, 16, 1, 1, 16, 0, 0, 0, 0, 16, 4}, {0, 1, 32, 2, 1, 1, 16, 1, 1, 16, 0, 0, 0, 0, 8, 4},
        {0, 1, 64, 2, 1, 1, 32, 1, 1, 8, 0, 0, 0, 0, 8, 4},
    };
    size_t v[N_INDIRECT];

    if (i->cpu && at < (int)(sizeof cpu / sizeof cpu[0])) {
        fill(p, ocl_indirect_names, cpu[at]);
        return true;
    }
    for (int tries = 0; tries < 100000; tries++) {
        const size_t draw[N_INDIRECT] = {0,
                                         1,
                                         ONE_OF(state, 16, 32),
                                         2,
                                         ONE_OF(state, 8, 16, 32),
                                         ONE_OF(state, 8, 16, 32),
                                         ONE_OF(state, 16, 32, 64, 128),
                                         ONE_OF(state, 8, 16, 32),
                                         ONE_OF(state, 8, 16, 32),
                                         ONE_OF(state, 16, 32, 64, 128),
                                         ONE_OF(state, 0, 1),
                                         ONE_OF(state, 0, 1),
                                         ONE_OF(state, 0, 1),
                                         ONE_OF(state, 0, 1),
                                         ONE_OF(state, 1, 2, 4, 8),
                                         ONE_OF(state, 1, 2, 4, 8)};

        memcpy(v, draw, sizeof v);
        if (possible(i, v)) {
            fill(p, ocl_indirect_names, v);
            return true;
        }
    }
    return false;
}

static bool draw_direct(const dm_device_info *i, int at, uint32_t *state, ocl_parameters *p)
{
    static const size_t cpu[][N_DIRECT] = {
        {1, 1, 1, 1, 1, 0, 0, 8, 8, 8}, {2, 1, 1, 1, 1, 0, 0, 8, 4, 16}, {2, 1, 1, 1, 1, 0, 0, 4, 4, 8}};

    if (i->cpu && at < (int)(sizeof cpu / sizeof cpu[0])) {
        fill(p, ocl_direct_names, cpu[at]);
        return true;
    }
    for (int tries = 0; tries < 100000; tries++) {
        const size_t v[N_DIRECT] = {ONE_OF(state, 2, 8, 16),     ONE_OF(state, 8, 16, 32),  ONE_OF(state, 8, 16, 32),
                                    ONE_OF(state, 8, 16, 32),    ONE_OF(state, 8, 16, 32),  ONE_OF(state, 0, 1),
                                    ONE_OF(state, 0, 1),         ONE_OF(state, 1, 2, 4, 8), ONE_OF(state, 1, 2, 4, 8),
                                    ONE_OF(state, 8, 16, 32, 64)};

        if (possible_direct(i, v)) {
            fill(p, ocl_direct_names, v);
            return true;
        }
    }
    return false;
}

/* ---- the search ------------------------------------------------------------------------------- */

static void use_size(const search *s, size_t least)
{
    ocl_parameters p;

    fill(&p, ocl_routine_names, &least);
    ocl_gemm_apply(s->d, "GemmRoutine", &p, NULL);
}

static void describe(const ocl_parameters *p, char *text, size_t size)
{
    size_t at = 0;

    for (int i = 0; i < p->n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s=%zu", i ? " " : "", p->names[i], p->values[i]);
}

typedef bool draw(const dm_device_info *i, int at, uint32_t *state, ocl_parameters *p);

/* The best set of one kernel, within its share of the time; n 0 where CLBlast's own is. */
static void best_of(search *s, const char *kernel, draw *next, int64_t n, double until, ocl_parameters *best)
{
    const double work = 2.0 * (double)n * (double)n * (double)n * 1e-9;
    const double own = time_of(s, n);
    double least = own;
    uint32_t state = 1;
    int at;

    best->n = 0;
    say(s, "%-12s %7.1f GFLOP/s  CLBlast's own", kernel, work / own);
    for (at = 0; at < MOST_SETS && dm_seconds() < until; at++) {
        ocl_parameters p;
        char text[256];
        double t;

        if (!next(&s->d->info, at, &state, &p))
            break;
        describe(&p, text, sizeof text);
        if (ocl_gemm_apply(s->d, kernel, &p, NULL)) {
            say(s, "%-12s refused            %s", kernel, text);
            continue;
        }
        t = time_of(s, n);
        if (isinf(t))
            say(s, "%-12s fails or is wrong  %s", kernel, text);
        else if (t < least || at < 8)
            say(s, "%-12s %7.1f GFLOP/s  %s", kernel, work / t, text);
        if (t < least) {
            least = t;
            *best = p;
        }
    }
    say(s, "%-12s %d sets tried, best %.1f GFLOP/s, CLBlast's own %.1f", kernel, at, work / least, work / own);
}

/* The smallest size from which the large kernel is the faster one. */
static size_t border(search *s)
{
    static const int64_t sizes[] = {64, 128, 256, 384, 512, 768, LARGE};
    size_t least = LARGE;

    for (int i = (int)(sizeof sizes / sizeof sizes[0]) - 1; i >= 0; i--) {
        double large, small;

        use_size(s, 1);
        large = time_of(s, sizes[i]);
        use_size(s, 1 << 14);
        small = time_of(s, sizes[i]);
        if (small < large)
            break;
        least = (size_t)sizes[i];
    }
    return least;
}

static dm_status prepare(search *s)
{
    const size_t n = (size_t)LARGE * LARGE, bytes = n * sizeof(float);
    uint32_t state = 1;
    dm_status rc;

    if (!(s->host = malloc(bytes)) || !(s->right = calloc(CHECK_M * CHECK_N, sizeof *s->right)))
        return dm_error(s->err, DM_ENOMEM, "out of memory for a matrix");
    for (size_t i = 0; i < n; i++)
        s->host[i] = (float)(random_word(&state) % 2001) / 1000 - 1;
    if ((rc = dm_buf_new(s->d, bytes, "a matrix", &s->a, s->err)) ||
        (rc = dm_buf_new(s->d, bytes, "a matrix", &s->b, s->err)) ||
        (rc = dm_buf_new(s->d, bytes, "a matrix", &s->c, s->err)) ||
        (rc = dm_buf_write(s->a, 0, bytes, s->host, s->err)) || (rc = dm_buf_write(s->b, 0, bytes, s->host, s->err)))
        return rc;
    for (int i = 0; i < CHECK_M; i++)
        for (int j = 0; j < CHECK_N; j++) {
            double sum = 0;

            for (int k = 0; k < CHECK_K; k++)
                sum += (double)s->host[i * CHECK_K + k] * (double)s->host[k * CHECK_N + j];
            s->right[i * CHECK_N + j] = (float)sum;
        }
    return DM_OK;
}

/* A kernel whose own parameters were not beaten has none here. It cannot be given its own again in this process, so
 * that the border is looked for only where both have new ones. */
static dm_status keep(search *s, ocl_gemm_set *set)
{
    const bool large = set->indirect.n > 0, small = set->direct.n > 0;

    if ((large && ocl_gemm_apply(s->d, "Xgemm", &set->indirect, s->err)) ||
        (small && ocl_gemm_apply(s->d, "XgemmDirect", &set->direct, s->err)))
        return dm_error_prefix(s->err, "CLBlast refuses the parameters that it took before: ");
    if (large && small)
        fill(&set->routine, ocl_routine_names, &(size_t){border(s)});
    if (!ocl_gemm_keep(s->d, set))
        return dm_error(s->err, DM_EIO, "unable to keep the parameters in the cache folder '%s'", s->d->cache_dir);
    if (large && small)
        say(s, "kept; products of %zu and more by Xgemm, smaller ones by XgemmDirect", set->routine.values[0]);
    else
        say(s, "%s", large ? "kept for Xgemm" : small ? "kept for XgemmDirect" : "CLBlast's own parameters are kept");
    return DM_OK;
}

dm_status dm_device_tune(dm_device *d, double seconds, void (*line)(void *user, const char *text), void *user,
                         dm_err *err)
{
    search s = {.d = d, .until = dm_seconds() + seconds, .line = line, .user = user, .err = err};
    const double half = dm_seconds() + 0.6 * seconds;
    ocl_gemm_set set = {0};
    dm_status rc;

    d->clblast = true; /* what an earlier search kept does not take part */
    if (!(rc = prepare(&s))) {
        use_size(&s, 1);
        best_of(&s, "Xgemm", draw_indirect, LARGE, half, &set.indirect);
        use_size(&s, 1 << 14);
        best_of(&s, "XgemmDirect", draw_direct, SMALL, s.until, &set.direct);
        rc = keep(&s, &set);
    }
    dm_buf_free(s.a);
    dm_buf_free(s.b);
    dm_buf_free(s.c);
    free(s.host);
    free(s.right);
    return rc;
}

#else

dm_status dm_device_tune(dm_device *d, double seconds, void (*line)(void *user, const char *text), void *user,
                         dm_err *err)
{
    (void)seconds, (void)line, (void)user;
    return dm_error(err, DM_EDEVICE,
                    "nothing to tune on device %s: demist was built without CLBlast (apt-get install libclblast-dev)",
                    d->where);
}

#endif
