/* The files that tell the loader of drivers, and the libraries that they name. */
#define _GNU_SOURCE /* scandir, alphasort */
#include "opencl/drivers/drivers.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *value(const char *variable)
{
    const char *v = getenv(variable);

    return v && *v ? v : NULL;
}

const char *ocl_driver_folder(void)
{
    const char *asked = value("OCL_ICD_VENDORS");

    if (value("OPENCL_VENDOR_PATH") || value("OCL_ICD_FILENAMES"))
        return NULL; /* another loader's */
    return asked ? asked : "/etc/OpenCL/vendors";
}

static int is_icd(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);

    return n > 4 && !strcmp(e->d_name + n - 4, ".icd");
}

static bool read_library(ocl_driver_file *d)
{
    ocl_text text = {0};
    dm_err ignored = {0};
    const bool there = !ocl_file_read(d->file, sizeof d->library - 1, &text, &ignored) && text.s;

    if (there)
        snprintf(d->library, sizeof d->library, "%.*s", (int)strcspn(text.s, "\r\n"), text.s);
    ocl_text_fini(&text);
    return there && d->library[0];
}

ocl_driver_file *ocl_driver_files(const char *where, int *n, int *fault)
{
    ocl_driver_file *all = calloc(OCL_DRIVERS, sizeof *all);
    struct dirent **names = NULL;
    struct stat st;
    int count;

    *n = *fault = 0;
    if (!all || stat(where, &st)) {
        *fault = all && errno != ENOENT && errno != ENOTDIR ? errno : 0;
        return all;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(all[0].file, sizeof all[0].file, "%s", where);
        *n = read_library(&all[0]);
        return all;
    }
    if ((count = scandir(where, &names, is_icd, alphasort)) < 0)
        *fault = errno;
    for (int i = 0; i < count; i++) {
        if (*n < OCL_DRIVERS && ocl_path(all[*n].file, where, names[i]->d_name))
            *n += read_library(&all[*n]);
        free(names[i]);
    }
    free(names);
    return all;
}

int ocl_driver_count(void)
{
    const char *where = ocl_driver_folder();
    int n = 0, fault;

    if (where)
        free(ocl_driver_files(where, &n, &fault));
    return n;
}
