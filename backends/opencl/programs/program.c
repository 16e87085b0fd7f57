/* Programs and their kernels: built once a (source, options), kept with the device. */
#define _XOPEN_SOURCE 700 /* P_tmpdir */
#include "opencl/programs/programs.h"

#include <stdlib.h>
#include <string.h>

/* No fast-relaxed-math: NaN and infinity must stay what they are. */
static const char default_options[] = "-cl-std=CL1.2 -cl-mad-enable -cl-no-signed-zeros -cl-kernel-arg-info";

enum { MAX_LOG = 1 << 20, MAX_OPTIONS = 4096 };

void ocl_kernel_subject(const dm_kernel *k, char *s, size_t n)
{
    snprintf(s, n, "kernel '%s' of '%s'", k->name, k->program->id);
}

/* ---- building ------------------------------------------------------------ */

static void build_log(const dm_device *d, cl_program p, ocl_text *out)
{
    size_t n = 0;
    char *s;

    if (clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) != CL_SUCCESS || !n || n > MAX_LOG ||
        !(s = calloc(1, n + 1)))
        return;
    if (clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, n, s, NULL) == CL_SUCCESS)
        ocl_text_add(out, s, strlen(s));
    free(s);
}

/* The line of the log that a reader wants first. */
static void first_error(const char *log, char *s, size_t n)
{
    const char *p = log ? strstr(log, "error") : NULL;
    size_t length;

    s[0] = 0;
    if (!p)
        return;
    while (p > log && p[-1] != '\n')
        p--;
    length = strcspn(p, "\n");
    snprintf(s, n, "%.*s", (int)(length < 240 ? length : 240), p);
}

/* Writes log and source into the cache folder or, without one, that of temporary files. */
static bool keep_log(const dm_device *d, const char *id, const char *options, const ocl_text *log,
                     const ocl_text *source, char path[OCL_PATH])
{
    const char *tmp = getenv("TMPDIR");
    const char *dir = d->cache_dir[0] ? d->cache_dir : tmp && *tmp ? tmp : P_tmpdir;
    const uint64_t h = ocl_hash(ocl_hash(0, options, strlen(options)), source->s, source->n);
    ocl_text all = {0};
    char name[192];
    bool ok;

    snprintf(name, sizeof name, "build-%.128s-%016llx.log", id, (unsigned long long)h);
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
            *p = '_';
    ok = ocl_path(path, dir, name) && ocl_text_print(&all, "device %s\noptions %s\n", d->where, options) &&
         ocl_text_add(&all, log->s ? log->s : "", log->n) && ocl_text_print(&all, "\n---- source ----\n") &&
         ocl_text_add(&all, source->s, source->n) && ocl_file_write(path, all.s, all.n);
    ocl_text_fini(&all);
    return ok;
}

static dm_status build_failed(const dm_device *d, cl_program p, cl_int code, const char *id, const char *options,
                              const ocl_text *source, dm_err *err)
{
    ocl_text log = {0};
    char line[256], path[OCL_PATH];
    dm_status s;

    build_log(d, p, &log);
    first_error(log.s, line, sizeof line);
    if (keep_log(d, id, options, &log, source, path))
        s = dm_error(err, ocl_status(code), "unable to build '%s': clBuildProgram failed: %s (%d) on device %s%s%s; "
                     "the log is in '%.400s'", id, ocl_code_name(code), (int)code, d->where, line[0] ? ": " : "", line,
                     path);
    else
        s = dm_error(err, ocl_status(code), "unable to build '%s': clBuildProgram failed: %s (%d) on device %s%s%s", id,
                     ocl_code_name(code), (int)code, d->where, line[0] ? ": " : "", line);
    ocl_text_fini(&log);
    return s;
}

static dm_status build(dm_device *d, const char *id, const char *options, const ocl_text *source, ocl_program *out,
                       dm_err *err)
{
    const char *text = source->s;
    cl_program p;
    cl_int code;
    dm_status s;

    if (ocl_cache_load(d, options, source, out))
        return DM_OK;
    if (d->building && !d->building(d->user, id))
        return dm_error(err, DM_ECANCELLED, "stopped before '%s' was built", id);
    p = clCreateProgramWithSource(d->context, 1, &text, &source->n, &code);
    if (!p)
        return ocl_error(d, code, "clCreateProgramWithSource", id, err);
    code = clBuildProgram(p, 1, &d->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        s = build_failed(d, p, code, id, options, source, err);
        clReleaseProgram(p);
        return s;
    }
    ocl_cache_store(d, options, source, p);
    out->cl = p;
    return DM_OK;
}

/* ---- kernels -------------------------------------------------------------- */

dm_status ocl_kernel_new(const dm_kernel *k, cl_kernel *out, dm_err *err)
{
    char subject[256];
    cl_int code;

    if ((*out = clCreateKernel(k->program->cl, k->name, &code)))
        return DM_OK;
    ocl_kernel_subject(k, subject, sizeof subject);
    if (code == CL_INVALID_KERNEL_NAME)
        return dm_error(err, DM_ENOENT, "%s: there is no such kernel in it (clCreateKernel failed: %s (%d) on device "
                        "%s)", subject, ocl_code_name(code), (int)code, k->d->where);
    return ocl_error(k->d, code, "clCreateKernel", subject, err);
}

/* ---- finding ------------------------------------------------------------- */

static ocl_program *find_program(const dm_device *d, const char *id, const char *text, const char *options)
{
    for (ocl_program *p = d->programs; p; p = p->next)
        if (!strcmp(p->id, id) && !strcmp(p->options, options) && !p->text == !text &&
            (!text || !strcmp(p->text, text)))
            return p;
    return NULL;
}

static dm_status new_program(dm_device *d, const char *id, const char *text, const char *options, ocl_program **out,
                             dm_err *err)
{
    static const char sixteen[] = " -DLANES_AT_LEAST=16";
    char all[MAX_OPTIONS + sizeof default_options + sizeof sixteen + 1];
    ocl_text source = {0};
    ocl_program *p = dm_alloc(d->arena, sizeof *p);
    dm_status s;

    if (!p || !(p->id = dm_strdup(d->arena, id)) || !(p->options = dm_strdup(d->arena, options)) ||
        (text && !(p->text = dm_strdup(d->arena, text))))
        return dm_error(err, DM_ENOMEM, "out of memory for kernel source '%s'", id);
    if (strlen(options) >= MAX_OPTIONS)
        return dm_error(err, DM_EINVAL, "kernel source '%s': build options longer than %d characters", id, MAX_OPTIONS);
    snprintf(all, sizeof all, "%s%s%s%s", default_options,
             d->info.capabilities & DM_CAP_LANES_16 ? sixteen : "", options[0] ? " " : "", options);
    if ((s = ocl_source(d, id, text, &source, err)) == DM_OK)
        s = build(d, id, all, &source, p, err);
    ocl_text_fini(&source);
    if (s == DM_EDEVICE && !(p->failure = dm_strdup(d->arena, err ? err->msg : "it did not build")))
        return dm_error(err, DM_ENOMEM, "out of memory for kernel source '%s'", id);
    if (s != DM_OK && s != DM_EDEVICE)
        return s;
    p->next = d->programs;
    *out = d->programs = p;
    return DM_OK;
}

static dm_status get(dm_device *d, const char *id, const char *text, const char *name, const char *options,
                     dm_kernel **out, dm_err *err)
{
    ocl_program *p;
    dm_kernel *k;
    dm_status s;

    if (!options)
        options = "";
    if (!(p = find_program(d, id, text, options)) && (s = new_program(d, id, text, options, &p, err)) != DM_OK)
        return s;
    if (!p->cl)
        return dm_error(err, DM_EDEVICE, "%s", p->failure);
    for (k = p->kernels; k; k = k->next)
        if (!strcmp(k->name, name)) {
            *out = k;
            return DM_OK;
        }
    if (!(k = dm_alloc(d->arena, sizeof *k)) || !(k->name = dm_strdup(d->arena, name)))
        return dm_error(err, DM_ENOMEM, "out of memory for kernel '%s'", name);
    k->d = d;
    k->program = p;
    if ((s = ocl_kernel_new(k, &k->cl, err)) != DM_OK)
        return s;
    if ((s = ocl_kernel_describe(k, err)) != DM_OK) {
        clReleaseKernel(k->cl);
        return s;
    }
    k->next = p->kernels;
    *out = p->kernels = k;
    return DM_OK;
}

dm_status dm_kernel_get(dm_device *d, const char *file, const char *name, const char *options, dm_kernel **out,
                        dm_err *err)
{
    return get(d, ocl_source_home(file), NULL, name, options, out, err);
}

dm_status dm_kernel_from_source(dm_device *d, const char *origin, const char *source, const char *name,
                                const char *options, dm_kernel **out, dm_err *err)
{
    return get(d, origin, source, name, options, out, err);
}

void ocl_programs_free(dm_device *d)
{
    for (ocl_program *p = d->programs; p; p = p->next) {
        for (dm_kernel *k = p->kernels; k; k = k->next)
            clReleaseKernel(k->cl);
        if (p->cl)
            clReleaseProgram(p->cl);
    }
    d->programs = NULL;
}
