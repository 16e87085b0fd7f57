/* The drivers that the loader is told of, each asked by itself in a process of its own: one whose library is missing,
 * or that crashes, hangs or ends the program when it is asked, is named with the file at fault. */
#define _GNU_SOURCE /* scandir, alphasort, MAP_ANONYMOUS */
#include "opencl.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CL/cl_icd.h>

enum { MOST = 64, PATIENCE = 20 }; /* seconds */

/* What the process that asks tells of itself, in memory that both have. */
typedef struct answer {
    const char *call;              /* the one that it is in */
    char missing[512];             /* why the library does not load */
    bool complete;
} answer;

typedef struct driver { char file[OCL_PATH], library[OCL_PATH]; answer said; int status; } driver;

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
    if (!(library = dlopen(d->library, RTLD_LAZY | RTLD_LOCAL))) {
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
                     "that folder", all[i].file);
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

bool ocl_drivers_check(dm_findings *r)
{
    const char *where = ocl_driver_folder();
    bool safe = true;
    char how[640], fault[160];
    driver *all;
    int n = 0, unread;

    if (!where || !(all = list(where, &n, &unread)))
        return true;
    if (unread)
        dm_finding_warn(r, "the drivers in '%.400s' are not known: %s", where, strerror(unread));
    for (int i = 0; i < n; i++)
        if (!examine(&all[i]))
            all[i].said.complete = true; /* as far as is known */
    remedy(all, n, how, sizeof how);
    for (int i = 0; i < n; i++) {
        const driver *d = &all[i];

        if (d->said.missing[0])
            dm_finding_warn(r, "driver file '%.400s': its library does not load: %.400s (install that driver again, or "
                            "remove the file)", d->file, d->said.missing);
        else if (!d->said.complete) {
            safe = false;
            fault_of(d, fault, sizeof fault);
            dm_finding_fail(r, DM_EDEVICE, "driver file '%.400s': '%.200s' %s (%s)", d->file, d->library, fault, how);
        }
    }
    free(all);
    return safe;
}
