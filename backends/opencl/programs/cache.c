/* Binaries of programs on disk, for drivers that keep none themselves. An entry holds the whole key
 * (device, driver, options, source) and a checksum; what does not match to the last byte is rebuilt. */
#include "opencl/programs/programs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[] = "demist program 2\n";
enum { MAX_ENTRY = 256 << 20 };

static bool active(const dm_device *d) { return d->cache_dir[0] && !d->info.driver_caches && !d->info.emulated; }

/* All that a binary depends on. */
static bool make_key(const dm_device *d, const char *options, const ocl_text *source, ocl_text *key)
{
    return ocl_text_print(key, "%s%s\n%s\n%s\n%s\n%s\n%s\n%s\n", magic, DEMIST_VERSION, d->info.platform_name,
                          d->info.name, d->info.vendor, d->info.driver, d->info.version, options) &&
           ocl_text_add(key, source->s, source->n + 1);
}

static bool entry_path(const dm_device *d, const ocl_text *key, char path[OCL_PATH])
{
    char name[64], dir[OCL_PATH];

    snprintf(name, sizeof name, "%016llx%016llx.bin", (unsigned long long)ocl_hash(0, key->s, key->n),
             (unsigned long long)ocl_hash(0x9e3779b97f4a7c15u, key->s, key->n));
    return ocl_path(dir, d->cache_dir, "programs") && ocl_folder(dir) && ocl_path(path, dir, name);
}

/* What is inside of an entry, after the key: the checksum of the rest, then the signatures' length,
 * the signatures with their 0, and the binary. */
typedef struct entry_parts { const char *signatures; const unsigned char *binary; size_t n; } entry_parts;

static bool check_entry(const ocl_text *entry, const ocl_text *key, entry_parts *out)
{
    uint64_t sum, length;
    const char *p = entry->s + key->n;
    size_t n;

    if (entry->n < key->n + sizeof sum + sizeof length || memcmp(entry->s, key->s, key->n))
        return false;
    memcpy(&sum, p, sizeof sum);
    p += sizeof sum;
    n = entry->n - key->n - sizeof sum;
    if (ocl_hash(n, p, n) != sum)
        return false;
    memcpy(&length, p, sizeof length);
    p += sizeof length;
    n -= sizeof length;
    if (!length || length >= n || p[length - 1])
        return false;
    *out = (entry_parts){p, (const unsigned char *)p + length, n - (size_t)length};
    return true;
}

static bool load_binary(const dm_device *d, const char *options, const entry_parts *e, ocl_program *out)
{
    cl_int status = CL_SUCCESS, code;
    char *signatures = dm_strdup(d->arena, e->signatures);
    cl_program p;

    if (!signatures || !(p = clCreateProgramWithBinary(d->context, 1, &d->id, &e->n,
                                                       (const unsigned char *[]){e->binary}, &status, &code)))
        return false;
    if (status != CL_SUCCESS || clBuildProgram(p, 1, &d->id, options, NULL, NULL) != CL_SUCCESS) {
        clReleaseProgram(p);
        return false;
    }
    out->cl = p;
    out->signatures = signatures;
    return true;
}

bool ocl_cache_load(const dm_device *d, const char *options, const ocl_text *source, ocl_program *out)
{
    ocl_text key = {0}, entry = {0};
    char path[OCL_PATH];
    entry_parts parts;
    bool found;

    found = active(d) && make_key(d, options, source, &key) && entry_path(d, &key, path) &&
            ocl_cache_read(path, MAX_ENTRY, &entry) && check_entry(&entry, &key, &parts) &&
            load_binary(d, options, &parts, out);
    ocl_text_fini(&entry);
    ocl_text_fini(&key);
    return found;
}

/* The checksummed part of an entry. */
static bool make_rest(cl_program p, const unsigned char *binary, size_t n, ocl_text *out)
{
    ocl_text signatures = {0};
    uint64_t length;
    bool ok = ocl_signatures(p, &signatures);

    length = signatures.n + 1;
    ok = ok && ocl_text_add(out, &length, sizeof length) && ocl_text_add(out, signatures.s, signatures.n + 1) &&
         ocl_text_add(out, binary, n);
    ocl_text_fini(&signatures);
    return ok;
}

void ocl_cache_store(const dm_device *d, const char *options, const ocl_text *source, cl_program p)
{
    ocl_text entry = {0}, rest = {0};
    char path[OCL_PATH];
    unsigned char *binary = NULL;
    size_t n = 0;
    uint64_t sum;

    if (!active(d) || clGetProgramInfo(p, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) != CL_SUCCESS || !n ||
        n > MAX_ENTRY / 2 || !(binary = malloc(n)))
        return;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS &&
        make_rest(p, binary, n, &rest) && make_key(d, options, source, &entry) && entry_path(d, &entry, path)) {
        sum = ocl_hash(rest.n, rest.s, rest.n);
        if (ocl_text_add(&entry, &sum, sizeof sum) && ocl_text_add(&entry, rest.s, rest.n))
            ocl_file_write(path, entry.s, entry.n);
    }
    ocl_text_fini(&entry);
    ocl_text_fini(&rest);
    free(binary);
}
