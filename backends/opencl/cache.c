/* Binaries of programs on disk, for drivers that keep none themselves. An entry holds the whole key
 * (device, driver, options, source) and a checksum; what does not match to the last byte is rebuilt. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

static const char magic[] = "demist program 1\n";
enum { MAX_ENTRY = 256 << 20 };

static bool active(const dm_device *d) { return d->cache_dir[0] && !d->info.driver_caches && !d->info.emulated; }

/* All that a binary depends on. */
static bool make_key(const dm_device *d, const char *options, const ocl_text *source, ocl_text *key)
{
    return ocl_text_print(key, "%s%s\n%s\n%s\n%s\n%s\n%s\n%s\n", magic, DEMIST_VERSION, d->info.platform_name, d->info.name,
                          d->info.vendor, d->info.driver, d->info.version, options) &&
           ocl_text_add(key, source->s, source->n + 1);
}

static bool entry_path(const dm_device *d, const ocl_text *key, char path[OCL_PATH])
{
    char name[64], dir[OCL_PATH];

    snprintf(name, sizeof name, "%016llx%016llx.bin", (unsigned long long)ocl_hash(0, key->s, key->n),
             (unsigned long long)ocl_hash(0x9e3779b97f4a7c15u, key->s, key->n));
    return ocl_path(dir, d->cache_dir, "programs") && ocl_folder(dir) && ocl_path(path, dir, name);
}

/* The binary inside of an entry: key, checksum of the rest, the rest. */
static bool check_entry(const ocl_text *entry, const ocl_text *key, const unsigned char **binary, size_t *n)
{
    uint64_t sum;

    if (entry->n <= key->n + sizeof sum || memcmp(entry->s, key->s, key->n))
        return false;
    memcpy(&sum, entry->s + key->n, sizeof sum);
    *binary = (const unsigned char *)entry->s + key->n + sizeof sum;
    *n = entry->n - key->n - sizeof sum;
    return ocl_hash(*n, *binary, *n) == sum;
}

cl_program ocl_cache_load(const dm_device *d, const char *options, const ocl_text *source)
{
    ocl_text key = {0}, entry = {0};
    const unsigned char *binary;
    char path[OCL_PATH];
    cl_program p = NULL;
    cl_int status = CL_SUCCESS, code;
    size_t n;

    if (active(d) && make_key(d, options, source, &key) && entry_path(d, &key, path) &&
        ocl_file_read(path, MAX_ENTRY, &entry, NULL) == DM_OK && check_entry(&entry, &key, &binary, &n)) {
        p = clCreateProgramWithBinary(d->context, 1, &d->id, &n, &binary, &status, &code);
        if (p && (status != CL_SUCCESS || clBuildProgram(p, 1, &d->id, options, NULL, NULL) != CL_SUCCESS)) {
            clReleaseProgram(p);
            p = NULL;
        }
    }
    ocl_text_fini(&entry);
    ocl_text_fini(&key);
    return p;
}

void ocl_cache_store(const dm_device *d, const char *options, const ocl_text *source, cl_program p)
{
    ocl_text entry = {0};
    char path[OCL_PATH];
    unsigned char *binary = NULL;
    size_t n = 0;
    uint64_t sum;

    if (!active(d) || clGetProgramInfo(p, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) != CL_SUCCESS || !n ||
        n > MAX_ENTRY / 2 || !(binary = malloc(n)))
        return;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS &&
        make_key(d, options, source, &entry) && entry_path(d, &entry, path)) {
        sum = ocl_hash(n, binary, n);
        if (ocl_text_add(&entry, &sum, sizeof sum) && ocl_text_add(&entry, binary, n))
            ocl_file_write(path, entry.s, entry.n);
    }
    ocl_text_fini(&entry);
    free(binary);
}
