/* Whether inline assembly that the processor or the GPU has also goes through this device's compiler and gives what it
 * should: products of bf16, compared with whole numbers. What fails is taken from the device's description, so that
 * every op has its next implementation. */
#include "opencl/opened/probe.h"
#include "opencl/host/host.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, DESCRIBED = 1024 };

/* Small whole numbers, which bf16 holds exactly, as all their sums are in f32. */
static int left(int i, int m) { return (5 * i + 3 * m) % 13 - 6; }
static int right(int m, int j) { return (7 * m + 2 * j + m * j % 5) % 11 - 5; }

static uint16_t bf16_of(int v)
{
    const float f = (float)v;
    uint32_t word;

    memcpy(&word, &f, sizeof word);
    return (uint16_t)(word >> 16);
}

/* Whether out is `times` the product of these numbers. */
static bool is_product(const float *out, int rows, int columns, int depth, int times)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            int sum = 0;

            for (int m = 0; m < depth; m++)
                sum += left(i, m) * right(m, j);
            if (out[i * columns + j] != (float)(times * sum))
                return false;
        }
    return true;
}

/* An unsuccessful try is an answer: no; why says of which kind, and of some that there is none. */
static bool works(dm_device *d, const char *options, dm_err *why)
{
    const dm_range range = {.dim = 1, .global = {1}, .local = {1}};
    uint16_t a[SIDE * SIDE], b[SIDE * SIDE];
    float out[SIDE * SIDE];
    dm_buf *buf[3] = {NULL};
    dm_kernel *k;
    bool ok;

    for (int i = 0; i < SIDE; i++)
        for (int m = 0; m < SIDE; m++) {
            a[i * SIDE + m] = bf16_of(left(i, m));
            b[i / 16 * 512 + m / 2 * 32 + i % 16 * 2 + m % 2] = bf16_of(right(m, i)); /* here i is a column */
        }
    ok = !dm_kernel_get(d, "conv/bf16_probe.cl", "probe", options, &k, why) &&
         !dm_buf_new(d, sizeof a, "a trial", &buf[0], why) && !dm_buf_new(d, sizeof b, "a trial", &buf[1], why) &&
         !dm_buf_new(d, sizeof out, "a trial", &buf[2], why) && !dm_buf_write(buf[0], 0, sizeof a, a, why) &&
         !dm_buf_write(buf[1], 0, sizeof b, b, why) &&
         !dm_launch(d, k, &range, DM_KARGS(DM_KB(buf[0]), DM_KB(buf[1]), DM_KB(buf[2])), why) &&
         !dm_buf_read(buf[2], 0, sizeof out, out, why) && is_product(out, SIDE, SIDE, SIDE, 2);
    for (int i = 0; i < 3; i++)
        dm_buf_free(buf[i]);
    return ok;
}

/* ---- tensor cores -------------------------------------------------------------------------- */

/* The product that ops run, with a rest in every extent. */
enum { ROWS = 70, COLUMNS = 75, DEPTH = 40 };

typedef struct trial { uint16_t a[ROWS * DEPTH], b[COLUMNS * DEPTH]; float out[ROWS * COLUMNS]; } trial;

static bool multiply(dm_device *d, trial *t, dm_err *why)
{
    const dm_range range = {.dim = 3, .global = {2 * 128, 2, 1}, .local = {128, 1, 1}};
    dm_buf *buf[3] = {NULL};
    dm_kernel *k;
    bool ok;

    for (int m = 0; m < DEPTH; m++) {
        for (int i = 0; i < ROWS; i++)
            t->a[i * DEPTH + m] = bf16_of(left(i, m));
        for (int j = 0; j < COLUMNS; j++)
            t->b[j * DEPTH + m] = bf16_of(right(m, j));
    }
    ok = !dm_kernel_get(d, "matmul/mma.cl", "product", "-DOP=1 -DMI=2 -DVEC_A=1 -DVEC_B=1 -DPTX", &k, why) &&
         !dm_buf_new(d, sizeof t->a, "a trial", &buf[0], why) && !dm_buf_new(d, sizeof t->b, "a trial", &buf[1], why) &&
         !dm_buf_new(d, sizeof t->out, "a trial", &buf[2], why) && !dm_buf_write(buf[0], 0, sizeof t->a, t->a, why) &&
         !dm_buf_write(buf[1], 0, sizeof t->b, t->b, why) &&
         !dm_launch(d, k, &range,
                    DM_KARGS(DM_KB(buf[0]), DM_KB(buf[1]), DM_KB(NULL), DM_KB(NULL), DM_KB(NULL), DM_KB(buf[2]),
                             DM_KI(ROWS), DM_KI(COLUMNS), DM_KI(DEPTH), DM_KI(0), DM_KI(1), DM_KI(1), DM_KI(DEPTH),
                             DM_KI(1), DM_KI(1), DM_KI(COLUMNS), DM_KI(1), DM_KI(1), DM_KI(0)),
                    why) &&
         !dm_buf_read(buf[2], 0, sizeof t->out, t->out, why) && is_product(t->out, ROWS, COLUMNS, DEPTH, 1);
    for (int i = 0; i < 3; i++)
        dm_buf_free(buf[i]);
    return ok;
}

/* On the heap: it is more than the stack of some threads. */
static bool multiplies(dm_device *d, dm_err *why)
{
    trial *t = malloc(sizeof *t);
    const bool ok = t ? multiply(d, t, why) : dm_error(why, DM_ENOMEM, "out of memory for a trial") == DM_OK;

    free(t);
    return ok;
}

/* ---- what is known from an earlier process ------------------------------------------------ */

/* All that the answer depends on; false where nothing can be kept. */
static bool entry(const dm_device *d, char described[DESCRIBED], char path[OCL_PATH])
{
    const uint64_t kernels = dm_device_kernels(d);
    char dir[OCL_PATH], name[64];

    if (!kernels || !d->cache_dir[0])
        return false;
    snprintf(described, DESCRIBED, "demist %s %016llx; %s; %s; %s; %s\n", DEMIST_VERSION, (unsigned long long)kernels,
             d->info.platform_name, d->info.name, d->info.driver, d->info.version);
    snprintf(name, sizeof name, "%016llx%016llx.txt", (unsigned long long)ocl_hash(0, described, strlen(described)),
             (unsigned long long)ocl_hash(1, described, strlen(described)));
    return ocl_path(dir, d->cache_dir, "probes") && ocl_folder(dir) && ocl_path(path, dir, name);
}

/* Stopped, or without memory: what the device can is not known, and a guess would choose other implementations. */
static bool unanswered(const dm_err *why) { return why->code == DM_ECANCELLED || why->code == DM_ENOMEM; }

/* Of the second only where the first is not there, which comes first in every op. A trial takes PoCL 0.1 s each time,
 * so one that succeeded is remembered. */
static void look(dm_device *d, const dm_device_options *o, dm_err *why)
{
    char described[DESCRIBED], path[OCL_PATH];
    const bool amx = d->info.capabilities & DM_CAP_AMX_BF16 && (o->bf16 || o->high);
    const bool there = amx && entry(d, described, path);
    ocl_text text = {0};
    const bool known = there && ocl_cache_read(path, DESCRIBED, &text) && !strcmp(text.s, described);

    ocl_text_fini(&text);
    if (d->info.capabilities & DM_CAP_MMA_BF16 && o->bf16 && !multiplies(d, why))
        d->info.capabilities &= ~(uint64_t)DM_CAP_MMA_BF16;
    if (unanswered(why) || known || !(o->bf16 || o->high))
        return;
    if (amx && works(d, "-DAMX", why)) {
        if (there)
            ocl_file_write(path, described, strlen(described));
        return;
    }
    if (unanswered(why))
        return;
    d->info.capabilities &= ~(uint64_t)DM_CAP_AMX_BF16;
    if (d->info.capabilities & DM_CAP_AVX512_BF16 && o->bf16 && !works(d, "-DPAIRS", why))
        d->info.capabilities &= ~(uint64_t)DM_CAP_AVX512_BF16;
}

dm_status ocl_probe(dm_device *d, const dm_device_options *o, dm_err *err)
{
    dm_err why = {0};

    look(d, o, &why);
    return unanswered(&why) ? dm_error(err, why.code, "%s", why.msg) : DM_OK;
}
