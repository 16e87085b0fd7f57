/* The drivers that the loader is told of, each asked by itself in a process of its own: one whose library is missing,
 * or that crashes or hangs when it is asked, is named with the file at fault. */
#define _GNU_SOURCE /* scandir, alphasort */
#include "opencl.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CL/cl_icd.h>

enum { MOST = 64, PATIENCE = 20, ANSWERS = 0, MISSING = 1 }; /* exit codes of an answer */

typedef struct driver { char file[OCL_PATH], library[OCL_PATH], why[512]; int status; } driver;

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

static bool read_library(driver *d)
{
    ocl_text text = {0};
    dm_err ignored = {0};
    const bool there = !ocl_file_read(d->file, sizeof d->library - 1, &text, &ignored) && text.s;

    if (there)
        snprintf(d->library, sizeof d->library, "%.*s", (int)strcspn(text.s, "\r\n"), text.s);
    ocl_text_fini(&text);
    return there && d->library[0];
}

/* *fault: errno of a folder that is there and cannot be read, 0 otherwise. */
static driver *list(const char *where, int *n, int *fault)
{
    driver *all = calloc(MOST, sizeof *all);
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
        if (*n < MOST && ocl_path(all[*n].file, where, names[i]->d_name))
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
        free(list(where, &n, &fault));
    return n;
}

/* The call of this name of a platform's driver, by the table that every one begins with. */
static cl_int devices_of(cl_platform_id p, cl_uint *n)
{
    cl_icd_dispatch *const *table = (cl_icd_dispatch *const *)(const void *)p;
    cl_device_id devices[MOST];

    return (*table)->clGetDeviceIDs(p, CL_DEVICE_TYPE_ALL, MOST, devices, n);
}

/* In the new process, which never returns. Asks as the loader does, without it. */
static void ask(const driver *d, int to)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    void *library, *(*address)(const char *);
    cl_int (*platforms_of)(cl_uint, cl_platform_id *, cl_uint *) = NULL;
    cl_platform_id platforms[MOST];
    cl_uint n = 0, found;
    sigset_t none;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(PATIENCE);
    if (!(library = dlopen(d->library, RTLD_LAZY | RTLD_LOCAL))) {
        const char *why = dlerror();
        const ssize_t written = why ? write(to, why, strlen(why)) : 0;

        _exit(written < 0 ? MISSING + 1 : MISSING);
    }
    if ((*(void **)&address = dlsym(library, "clGetExtensionFunctionAddress")))
        *(void **)&platforms_of = address("clIcdGetPlatformIDsKHR");
    if (platforms_of && platforms_of(MOST, platforms, &n) == CL_SUCCESS)
        for (cl_uint i = 0; i < n && i < MOST; i++)
            devices_of(platforms[i], &found);
    _exit(ANSWERS);
}

static void examine(driver *d)
{
    size_t got = 0;
    ssize_t more;
    int ends[2];
    pid_t child;

    if (pipe(ends))
        return;
    if ((child = fork()) == 0) {
        close(ends[0]);
        ask(d, ends[1]);
    }
    close(ends[1]);
    while (child > 0 && got < sizeof d->why - 1 && (more = read(ends[0], d->why + got, sizeof d->why - 1 - got)) > 0)
        got += (size_t)more;
    close(ends[0]);
    if (child > 0)
        waitpid(child, &d->status, 0);
}

static bool is_good(const driver *d) { return WIFEXITED(d->status) && WEXITSTATUS(d->status) == ANSWERS; }

/* What to set so that the loader leaves a driver out. */
static void remedy(const driver *all, int n, char *text, size_t size)
{
    snprintf(text, size, "remove that file");
    for (int i = 0; i < n; i++)
        if (is_good(&all[i])) {
            snprintf(text, size, "remove that file, or copy '%.380s' to a folder of its own and set OCL_ICD_VENDORS to "
                     "that folder", all[i].file);
            return;
        }
}

bool ocl_drivers_check(dm_findings *r)
{
    const char *where = ocl_driver_folder();
    bool safe = true;
    char how[640];
    driver *all;
    int n = 0, fault;

    if (!where || !(all = list(where, &n, &fault)))
        return true;
    if (fault)
        dm_finding_warn(r, "the drivers in '%.400s' are not known: %s", where, strerror(fault));
    for (int i = 0; i < n; i++)
        examine(&all[i]);
    remedy(all, n, how, sizeof how);
    for (int i = 0; i < n; i++) {
        const driver *d = &all[i];

        if (WIFEXITED(d->status) && WEXITSTATUS(d->status) == MISSING)
            dm_finding_warn(r, "driver file '%.400s': its library does not load: %.400s (install that driver again, or "
                            "remove the file)", d->file, d->why);
        if (WIFSIGNALED(d->status)) {
            safe = false;
            if (WTERMSIG(d->status) == SIGALRM)
                dm_finding_fail(r, DM_EDEVICE, "driver file '%.400s': '%.200s' does not answer within %d s (%s)",
                                d->file, d->library, (int)PATIENCE, how);
            else
                dm_finding_fail(r, DM_EDEVICE,
                                "driver file '%.400s': '%.200s' crashes when it is asked for its devices: "
                                "%s (%s)",
                                d->file, d->library, strsignal(WTERMSIG(d->status)), how);
        }
    }
    free(all);
    return safe;
}
