/* CLBlast's parameters on disk; see gemm_parameters.h. One file a device, compared whole with what it depends on. */
#include "opencl/gemm/gemm_parameters.h"
#include "opencl/host/host.h"

#include "base/json.h"

#ifdef DEMIST_CLBLAST
#include <clblast_c.h>
#include <jansson.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

enum { ABOUT = 1024, MOST_BYTES = 1 << 16 };

const char *const ocl_indirect_names[] = {"GEMMK", "KREG", "KWG", "KWI",  "MDIMA", "MDIMC", "MWG", "NDIMB", "NDIMC",
                                          "NWG",   "SA",   "SB",  "STRM", "STRN",  "VWM",   "VWN", NULL};
const char *const ocl_direct_names[] = {"KWID", "MDIMAD", "MDIMCD", "NDIMBD", "NDIMCD", "PADA",
                                        "PADB", "VWMD",   "VWND",   "WGD",    NULL};
const char *const ocl_routine_names[] = {"XGEMM_MIN_INDIRECT_SIZE", NULL};

dm_status ocl_gemm_apply(const dm_device *d, const char *kernel, const ocl_parameters *p, dm_err *err)
{
    const char *names[OCL_MAX_PARAMETERS];
    CLBlastStatusCode code;

    memcpy(names, p->names, sizeof names);
    code = CLBlastOverrideParameters(d->id, kernel, CLBlastPrecisionSingle, (size_t)p->n, names, p->values);
    return code == CLBlastSuccess ? DM_OK : ocl_error(d, (cl_int)code, "CLBlastOverrideParameters", kernel, err);
}

static bool path_of(const dm_device *d, char about[ABOUT], char path[OCL_PATH])
{
    char dir[OCL_PATH], name[64];

    snprintf(about, ABOUT, "demist %s; CLBlast %s; %s; %s; %s; %s; %s; %u units", DEMIST_VERSION, DEMIST_CLBLAST,
             d->info.platform_name, d->info.name, d->info.vendor, d->info.driver, d->info.version,
             (unsigned)d->info.compute_units);
    snprintf(name, sizeof name, "%016llx%016llx.json", (unsigned long long)ocl_hash(0, about, strlen(about)),
             (unsigned long long)ocl_hash(0x9e3779b97f4a7c15u, about, strlen(about)));
    return d->cache_dir[0] && ocl_path(dir, d->cache_dir, "clblast") && ocl_path(path, dir, name);
}

/* Nothing, or all names with whole numbers from 0 to 65536. */
static bool read_set(const json_t *all, const char *kernel, const char *const *names, ocl_parameters *p)
{
    const json_t *j = json_object_get(all, kernel);

    *p = (ocl_parameters){0};
    if (!json_object_size(j))
        return json_is_object(j);
    for (; names[p->n]; p->n++) {
        const json_t *v = json_object_get(j, names[p->n]);
        const json_int_t value = json_integer_value(v);

        if (!json_is_integer(v) || value < 0 || value > 65536)
            return false;
        p->names[p->n] = names[p->n];
        p->values[p->n] = (size_t)value;
    }
    return true;
}

static dm_status apply_if_any(const dm_device *d, const char *kernel, const ocl_parameters *p, dm_err *err)
{
    return p->n ? ocl_gemm_apply(d, kernel, p, err) : DM_OK;
}

dm_status ocl_gemm_load(const dm_device *d, bool *used, dm_err *err)
{
    char about[ABOUT], path[OCL_PATH];
    dm_status rc = DM_EINVAL;      /* nothing that can be trusted is kept */
    ocl_text text = {0};
    ocl_gemm_set s;
    json_t *j = NULL;
    const char *device;
    dm_err why = {0};

    if (path_of(d, about, path) && ocl_cache_read(path, MOST_BYTES, &text) && text.n)
        rc = dm_json_read(text.s, text.n, path, &j, &why);
    if (!rc && !((device = json_string_value(json_object_get(j, "device"))) && !strcmp(device, about) &&
                 read_set(j, "Xgemm", ocl_indirect_names, &s.indirect) &&
                 read_set(j, "XgemmDirect", ocl_direct_names, &s.direct) &&
                 read_set(j, "GemmRoutine", ocl_routine_names, &s.routine)))
        rc = DM_EINVAL;
    if (!rc && !(rc = apply_if_any(d, "Xgemm", &s.indirect, &why)) &&
        !(rc = apply_if_any(d, "XgemmDirect", &s.direct, &why)))
        rc = apply_if_any(d, "GemmRoutine", &s.routine, &why);
    json_decref(j);
    ocl_text_fini(&text);
    *used = rc == DM_OK;
    return rc == DM_ENOMEM ? dm_error(err, rc, "%s", why.msg) : DM_OK;
}

uint64_t ocl_gemm_stamp(const dm_device *d)
{
    char about[ABOUT], path[OCL_PATH];
    ocl_text text = {0};
    uint64_t h = 0;

    if (path_of(d, about, path) && ocl_cache_read(path, MOST_BYTES, &text))
        h = ocl_hash(1, text.s, text.n);
    ocl_text_fini(&text);
    return h;
}

static json_t *write_set(const ocl_parameters *p)
{
    json_t *j = json_object();

    for (int i = 0; i < p->n && j; i++)
        json_object_set_new(j, p->names[i], json_integer((json_int_t)p->values[i]));
    return j;
}

bool ocl_gemm_keep(const dm_device *d, const ocl_gemm_set *set)
{
    char about[ABOUT], path[OCL_PATH], dir[OCL_PATH];
    const bool there = path_of(d, about, path) && ocl_path(dir, d->cache_dir, "clblast") && ocl_folder(dir);
    json_t *j = json_pack("{s:s, s:o, s:o, s:o}", "device", about, "Xgemm", write_set(&set->indirect), "XgemmDirect",
                          write_set(&set->direct), "GemmRoutine", write_set(&set->routine));
    char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
    const bool kept = there && text && ocl_file_write(path, text, strlen(text));

    free(text);
    json_decref(j);
    return kept;
}

#else

uint64_t ocl_gemm_stamp(const dm_device *d)
{
    (void)d;
    return 0;
}

#endif
