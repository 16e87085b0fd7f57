/* The drivers that the loader is told of (driver_files.c), each asked by itself in a process of its own: one whose
 * library is missing, or that crashes, hangs or ends the program when it is asked, is named with the file at fault. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "opencl/drivers/drivers.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CL/cl_icd.h>

enum { MOST = 64, PATIENCE = 20 }; /* platforms, devices; seconds */

/* What the process that asks tells of itself, in memory that both have. */
typedef struct answer {
    const char *call;              /* the one that it is in */
    char missing[512];             /* why the library does not load */
    bool complete;
} answer;

typedef struct driver { ocl_driver_file is; answer said; int status; } driver;

/* All that the list of devices asks, by the table that every platform begins with: the loader's own calls would ask the
 * other drivers too. */
static void ask_platform(cl_platform_id p, volatile answer *to)
{
    cl_icd_dispatch *const *table = (cl_icd_dispatch *const *)(const void *)p;
    cl_device_id devices[MOST];
    dm_device_info ignored;
    cl_uint n = 0;

    to->call = "clGetDeviceIDs";
    if ((*table)->clGetDeviceIDs(p, CL_DEVICE_TYPE_ALL, MOST, devices, &n) != CL_SUCCESS)
        return;
    to->call = "clGetDeviceInfo";
    for (cl_uint i = 0; i < n && i < MOST; i++)
        ocl_device_ask(0, p, (int)i, devices[i], &ignored);
}

/* In the new process, which never returns. Asks as the loader does, without it. */
static void ask(const driver *d, answer *to)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    void *library, *(*address)(const char *);
    cl_int (*platforms_of)(cl_uint, cl_platform_id *, cl_uint *) = NULL;
    cl_platform_id platforms[MOST];
    cl_uint n = 0;
    sigset_t none;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(PATIENCE);
    to->call = "dlopen";
    if (!(library = dlopen(d->is.library, RTLD_LAZY | RTLD_LOCAL))) {
        const char *why = dlerror();

        snprintf(to->missing, sizeof to->missing, "%s", why ? why : "for an unknown reason");
        _exit(0);
    }
    to->call = "clGetPlatformIDs";
    if ((*(void **)&address = dlsym(library, "clGetExtensionFunctionAddress")))
        *(void **)&platforms_of = address("clIcdGetPlatformIDsKHR");
    if (platforms_of && platforms_of(MOST, platforms, &n) == CL_SUCCESS)
        for (cl_uint i = 0; i < n && i < MOST; i++)
            ask_platform(platforms[i], to);
    to->complete = true;
    _exit(0);
}

/* False where it could not be asked. */
static bool examine(driver *d)
{
    answer *said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;

    if (said == MAP_FAILED)
        return false;
    if ((child = fork()) == 0)
        ask(d, said);
    if (child > 0)
        waitpid(child, &d->status, 0);
    d->said = *said;
    munmap(said, sizeof *said);
    return child > 0;
}

/* What to set so that the loader leaves a driver out. */
static void remedy(const driver *all, int n, char *text, size_t size)
{
    snprintf(text, size, "remove that file");
    for (int i = 0; i < n; i++)
        if (all[i].said.complete) {
            snprintf(text, size, "remove that file, or copy '%.380s' to a folder of its own and set OCL_ICD_VENDORS to "
                     "that folder", all[i].is.file);
            return;
        }
}

/* "crashes in clGetDeviceIDs: Segmentation fault" */
static void fault_of(const driver *d, char *text, size_t size)
{
    if (!WIFSIGNALED(d->status))
        snprintf(text, size, "ends the program in %s", d->said.call);
    else if (WTERMSIG(d->status) == SIGALRM)
        snprintf(text, size, "does not answer within %d s in %s", (int)PATIENCE, d->said.call);
    else
        snprintf(text, size, "crashes in %s: %s", d->said.call, strsignal(WTERMSIG(d->status)));
}

/* Those that the loader is told of; NULL where it is not known what it is told. */
static driver *list(int *n, dm_findings *r)
{
    const char *where = ocl_driver_folder();
    int unread = 0;
    ocl_driver_file *files = where ? ocl_driver_files(where, n, &unread) : NULL;
    driver *all = files ? calloc((size_t)*n + 1, sizeof *all) : NULL;

    if (unread)
        dm_finding_warn(r, "the drivers in '%.400s' are not known: %s", where, strerror(unread));
    for (int i = 0; all && i < *n; i++)
        all[i].is = files[i];
    free(files);
    return all;
}

bool ocl_drivers_check(dm_findings *r)
{
    bool safe = true;
    char how[640], fault[160];
    int n = 0;
    driver *all = list(&n, r);

    if (!all)
        return true;
    for (int i = 0; i < n; i++)
        if (!examine(&all[i]))
            all[i].said.complete = true; /* as far as is known */
    remedy(all, n, how, sizeof how);
    for (int i = 0; i < n; i++) {
        const driver *d = &all[i];

        if (d->said.missing[0])
            dm_finding_warn(r, "driver file '%.400s': its library does not load: %.400s (install that driver again, or "
                            "remove the file)", d->is.file, d->said.missing);
        else if (!d->said.complete) {
            safe = false;
            fault_of(d, fault, sizeof fault);
            dm_finding_fail(r, DM_EDEVICE, "driver file '%.400s': '%.200s' %s (%s)", d->is.file, d->is.library, fault,
                            how);
        }
    }
    free(all);
    return safe;
}
