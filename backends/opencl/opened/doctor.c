/* What works on this machine and what to install: loader, drivers, devices, CLBlast, cache. */
#include "opencl/drivers/drivers.h"

#include <stdlib.h>
#include <string.h>

#include "base/findings.h"
#include "device/doctor.h"

static const char probe_source[] = "__kernel void probe(__global int *x, int n)\n"
                                   "{ int i = get_global_id(0); if (i < n) x[i] = 3 * i + 1; }\n";

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
            s = dm_error(err, DM_EDEVICE, "a small kernel gave %d instead of %d", (int)got[i], 3 * i + 1);
    return s;
}

static bool building(void *user, const char *program)
{
    const dm_findings *r = user;

    (void)program;
    if (r->building)
        r->building();
    return true;
}

static void check_device(dm_findings *r, const dm_device_info *o)
{
    const dm_device_options options = {.building = building, .user = r};
    char select[24];
    dm_err why = {0};
    dm_device *d;
    dm_status s;

    snprintf(select, sizeof select, "%d:%d", o->platform, o->device);
    if ((s = dm_device_open(select, &options, &d, &why)) == DM_OK) {
        s = run_probe(d, &why);
        dm_device_close(d);
    }
    if (s == DM_OK)
        dm_finding_ok(r, "device %s: '%s' (%s), %s, driver %s: a kernel runs", select, o->name, o->platform_name,
                      o->version, o->driver);
    else
        dm_finding_fail(r, s, "device %s: '%s' (%s), driver %s: %s (update or reinstall this driver)", select, o->name,
             o->platform_name, o->driver, why.msg);
}

static void check_opencl(dm_findings *r)
{
    dm_device_info *all = NULL;
    int n = 0;
    cl_uint platforms = 0;
    dm_err why = {0};
    const bool safe = ocl_drivers_check(r);
    const char *empty;
    cl_int code;
    dm_status s;

    dm_finding_ok(r, "loader: OpenCL's ICD loader is installed");
    if (!safe)
        return;
    code = clGetPlatformIDs(0, NULL, &platforms);
    s = dm_device_list(&all, &n, &why);
    empty = ocl_empty_platforms();
    if (code != CL_SUCCESS || !platforms)
        dm_finding_fail(r, DM_EDEVICE, "platforms: none, clGetPlatformIDs: %s (%d) (%s)", ocl_code_name(code),
                        (int)code,
                        *empty ? empty : "apt-get install pocl-opencl-icd, or your GPU's OpenCL driver");
    else
        dm_finding_ok(r, "platforms: %u", platforms);
    if (s != DM_OK)
        dm_finding_fail(r, s, "devices: %s", why.msg);
    else if (platforms && !n)
        dm_finding_fail(r, DM_EDEVICE, "devices: none (%s)", ocl_empty_platforms());
    for (int i = 0; i < n; i++)
        check_device(r, &all[i]);
    free(all);
}

/* ---- the rest ------------------------------------------------------------------ */

static void check_clblast(dm_findings *r)
{
#ifdef DEMIST_CLBLAST
    dm_finding_ok(r, "CLBlast: version %s", DEMIST_CLBLAST);
#else
    dm_finding_fail(r, DM_EDEVICE,
                    "CLBlast: demist was built without it (apt-get install libclblast-dev, and build again)");
#endif
}

static void check_cache(dm_findings *r)
{
    char path[OCL_PATH];

    ocl_cache_dir(NULL, path);
    if (path[0])
        dm_finding_ok(r, "cache: '%s'", path);
    else
        dm_finding_fail(r, DM_EIO,
                        "cache: no folder that can be written (set DEMIST_CACHE to one); programs are rebuilt in "
                        "each run");
}

void dm_doctor(dm_findings *r)
{
    check_opencl(r);
    check_clblast(r);
    check_cache(r);
}
