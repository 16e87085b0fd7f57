/* The text of a program: the embedded file or the one that overrides it, with common.clh before it
 * and `#include "x.clh"` lines replaced by that file, each file once. Names are below kernels/. */
#include "opencl/programs/programs.h"
#include "opencl/gemm/gemm_parameters.h"

#include <string.h>

#include "embedded.h"

enum { MAX_DEPTH = 8, MAX_FILES = 32, MAX_SOURCE = 4 << 20 };

typedef struct walk {
    const dm_device *d;
    ocl_text *out;
    char seen[MAX_FILES][128];
    int n_seen;
    dm_err *err;
} walk;

static dm_status expand(walk *w, const char *name, const char *text, int depth);

static dm_status full(const walk *w)
{
    return dm_error(w->err, DM_ENOMEM, "out of memory while reading a kernel source");
}

/* A plain relative name: stays below kernels/. */
static bool plain(const char *name)
{
    return name[0] && name[0] != '/' && !strstr(name, "..") && strlen(name) < sizeof((walk *)0)->seen[0];
}

/* From the override folder, else embedded. */
static dm_status load(const walk *w, const char *name, ocl_text *text)
{
    char path[OCL_PATH];

    if (!plain(name))
        return dm_error(w->err, DM_EINVAL, "kernel source '%s' is not a name below kernels/", name);
    if (w->d->kernel_dir[0] && ocl_path(path, w->d->kernel_dir, name)) {
        const dm_status s = ocl_file_read(path, MAX_SOURCE, text, w->err);

        if (s != DM_ENOENT)
            return s;
    }
    for (const dm_embedded *e = dm_embedded_kernels; e->file; e++)
        if (!strcmp(e->file, name))
            return ocl_text_add(text, e->source, e->length) ? DM_OK : full(w);
    return dm_error(w->err, DM_ENOENT, "kernel source '%s' is not part of demist%s%s", name,
                    w->d->kernel_dir[0] ? " and not in " : "", w->d->kernel_dir);
}

static const char bundle[] = "small.cl";

const char *ocl_source_home(const char *id)
{
    char line[160];

    snprintf(line, sizeof line, "#include \"%.128s\"\n", id);
    for (const dm_embedded *e = dm_embedded_kernels; e->file; e++)
        if (!strcmp(e->file, bundle))
            return strstr(e->source, line) ? bundle : id;
    return id;
}

static dm_status expand_file(walk *w, const char *name, int depth)
{
    ocl_text text = {0};
    dm_status s;

    for (int i = 0; i < w->n_seen; i++)
        if (!strcmp(w->seen[i], name))
            return DM_OK;
    if (depth > MAX_DEPTH || w->n_seen == MAX_FILES)
        return dm_error(w->err, DM_EINVAL, "kernel source '%s': includes deeper than %d or more than %d files", name,
                        MAX_DEPTH, MAX_FILES);
    if ((s = load(w, name, &text)) == DM_OK) {
        snprintf(w->seen[w->n_seen++], sizeof w->seen[0], "%s", name);
        s = expand(w, name, text.s ? text.s : "", depth);
    }
    ocl_text_fini(&text);
    return s;
}

/* The name between quotes if the line is an include of that form. */
static bool included(const char *line, size_t n, char name[128])
{
    const char *end = line + n, *close;

    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    if (end - line < 8 || memcmp(line, "#include", 8))
        return false;
    for (line += 8; line < end && (*line == ' ' || *line == '\t');)
        line++;
    if (line == end || *line++ != '"' || !(close = memchr(line, '"', (size_t)(end - line))) || close - line >= 128)
        return false;
    memcpy(name, line, (size_t)(close - line));
    name[close - line] = 0;
    return true;
}

static dm_status expand(walk *w, const char *name, const char *text, int depth)
{
    int line = 1;

    if (!ocl_text_print(w->out, "#line 1 \"%s\"\n", name))
        return full(w);
    for (const char *p = text; *p; line++) {
        const char *nl = strchr(p, '\n');
        const size_t n = nl ? (size_t)(nl - p) : strlen(p);
        char file[128];

        if (included(p, n, file)) {
            const dm_status s = expand_file(w, file, depth + 1);

            if (s != DM_OK)
                return s;
            if (!ocl_text_print(w->out, "#line %d \"%s\"\n", line + 1, name))
                return full(w);
        } else if (!ocl_text_add(w->out, p, n) || !ocl_text_add(w->out, "\n", 1)) {
            return full(w);
        }
        if (w->out->n > MAX_SOURCE)
            return dm_error(w->err, DM_EINVAL, "kernel source '%s' is larger than %d bytes", name, MAX_SOURCE);
        p += nl ? n + 1 : n;
    }
    return DM_OK;
}

dm_status ocl_source(const dm_device *d, const char *id, const char *text, ocl_text *out, dm_err *err)
{
    walk w = {.d = d, .out = out, .err = err};
    dm_status s = expand_file(&w, "common.clh", 0);

    if (s != DM_OK)
        return s;
    return text ? expand(&w, id, text, 0) : expand_file(&w, id, 0);
}

uint64_t dm_device_kernels(const dm_device *d)
{
    uint64_t h = 1;

    for (const dm_embedded *e = dm_embedded_kernels; e->file; e++)
        h = ocl_hash(h, e->source, e->length);
    h ^= ocl_gemm_stamp(d);
    return d->kernel_dir[0] ? 0 : h | 1;
}
