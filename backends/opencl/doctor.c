/* What works on this machine and what to install: loader, drivers, devices, CLBlast, folders. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

#include "device/doctor.h"
#include "plugin/registry.h"

typedef struct report { FILE *out; dm_err *err; dm_status first; } report;

static const char probe_source[] = "__kernel void probe(__global int *x, int n)\n"
                                   "{ int i = get_global_id(0); if (i < n) x[i] = 3 * i + 1; }\n";

DM_PRINTF(2, 3) static void ok(report *r, const char *fmt, ...)
{
    va_list ap;

    fputs("OK    ", r->out);
    va_start(ap, fmt);
    vfprintf(r->out, fmt, ap);
    va_end(ap);
    fputc('\n', r->out);
}

DM_PRINTF(3, 4) static void fail(report *r, dm_status code, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(r->out, "FAIL  %s\n", line);
    if (r->first == DM_OK)
        r->first = dm_error(r->err, code, "%s", line);
}

/* ---- OpenCL ----------------------------------------------------------------- */

static dm_status run_probe(dm_device *d, dm_err *err)
{
    enum { N = 64 };
    const dm_range range = {.dim = 1, .global = {N}};
    int32_t got[N];
    dm_kernel *k;
    dm_buf *b;
    dm_status s = dm_buf_new(d, sizeof got, "a probe", &b, err);

    if (s != DM_OK)
        return s;
    if ((s = dm_buf_zero(b, 0, sizeof got, err)) == DM_OK &&
        (s = dm_kernel_from_source(d, "doctor", probe_source, "probe", NULL, &k, err)) == DM_OK &&
        (s = dm_launch(d, k, &range, DM_KARGS(DM_KB(b), DM_KI(N)), err)) == DM_OK)
        s = dm_buf_read(b, 0, sizeof got, got, err);
    dm_buf_free(b);
    for (int i = 0; s == DM_OK && i < N; i++)
        if (got[i] != 3 * i + 1)
            s = dm_error(err, DM_EDEVICE, "a small kernel gave %d where %d is right", (int)got[i], 3 * i + 1);
    return s;
}

static void check_device(report *r, const dm_device_info *o)
{
    char select[24];
    dm_err why = {0};
    dm_device *d;
    dm_status s;

    snprintf(select, sizeof select, "%d:%d", o->platform, o->device);
    if ((s = dm_device_open(select, NULL, &d, &why)) == DM_OK) {
        s = run_probe(d, &why);
        dm_device_close(d);
    }
    if (s == DM_OK)
        ok(r, "device %s: '%s' (%s), %s, driver %s: a kernel runs", select, o->name, o->platform_name, o->version,
           o->driver);
    else
        fail(r, s, "device %s: '%s' (%s), driver %s: %s (update or reinstall this driver)", select, o->name,
             o->platform_name, o->driver, why.msg);
}

static void check_opencl(report *r)
{
    dm_device_info *all = NULL;
    int n = 0;
    cl_uint platforms = 0;
    dm_err why = {0};
    const cl_int code = clGetPlatformIDs(0, NULL, &platforms);
    const dm_status s = dm_device_list(&all, &n, &why);

    ok(r, "loader: OpenCL's ICD loader is there");
    if (code != CL_SUCCESS || !platforms)
        fail(r, DM_EDEVICE, "platforms: none, clGetPlatformIDs: %s (%d) (apt-get install pocl-opencl-icd, or your "
             "GPU's OpenCL driver)", ocl_code_name(code), (int)code);
    else
        ok(r, "platforms: %u", platforms);
    if (s != DM_OK)
        fail(r, s, "devices: %s", why.msg);
    else if (platforms && !n)
        fail(r, DM_EDEVICE, "devices: none (%s)", ocl_empty_platforms());
    for (int i = 0; i < n; i++)
        check_device(r, &all[i]);
    free(all);
}

/* ---- the rest ------------------------------------------------------------------ */

static void check_clblast(report *r)
{
#ifdef DEMIST_CLBLAST
    ok(r, "CLBlast: version %s", DEMIST_CLBLAST);
#else
    fail(r, DM_EDEVICE, "CLBlast: demist was built without it (apt-get install libclblast-dev, and build again)");
#endif
}

static void check_cache(report *r)
{
    char path[OCL_PATH];

    ocl_cache_dir(NULL, path);
    if (path[0])
        ok(r, "cache: '%s'", path);
    else
        fail(r, DM_EIO, "cache: no folder that can be written (set DEMIST_CACHE to one); programs are built anew in "
             "each run");
}

/* Bytes of the folder's part of a path. */
static size_t folder_length(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? (size_t)(slash - file) : 0;
}

static void check_plugins(report *r)
{
    dm_registry *g = NULL;
    const dm_found *f = NULL;
    int n = 0, good = 0;
    dm_err why = {0};
    dm_status s = dm_registry_new(NULL, &g, &why);

    if (s == DM_OK)
        s = dm_registry_list(g, &f, &n, &why);
    if (s != DM_OK)
        fail(r, s, "plugins: %s", why.msg);
    for (int i = 0; s == DM_OK && i < n; i++) {
        const size_t length = folder_length(f[i].file);
        const bool last = i + 1 == n || folder_length(f[i + 1].file) != length ||
                          strncmp(f[i].file, f[i + 1].file, length);

        if (!f[i].plugin)
            fail(r, DM_EABI, "plugin '%s': %s", f[i].file, f[i].refusal);
        good += f[i].plugin != NULL;
        if (last && good)
            ok(r, "plugins: %d in '%.*s'", good, (int)length, f[i].file);
        good = last ? 0 : good;
    }
    if (s == DM_OK && !n)
        fail(r, DM_EIO, "plugins: none found (install demist, or set DEMIST_PLUGIN_PATH to their folder)");
    dm_registry_free(g);
}

dm_status dm_doctor(FILE *out, dm_err *err)
{
    report r = {.out = out, .err = err, .first = DM_OK};

    check_opencl(&r);
    check_clblast(&r);
    check_cache(&r);
    check_plugins(&r);
    return r.first;
}
