/* The backend's shared object, found and opened as a plugin is; see comm.h. */
#include "comm/comm.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/install_path.h"
#include "base/folder.h"
#include "comm/launch.h"
#include "plugin/plugin_file.h"

static const char file_name[] = "mpi.so";

/* The first folder that has it: $DEMIST_BACKENDS, the installed one, the build's. */
static dm_status find(char path[PATH_MAX], bool *there, dm_err *err)
{
    char beside[PATH_MAX];
    const char *const folders[] = {getenv("DEMIST_BACKENDS"), dm_install_path(DEMIST_BACKEND_DIR, beside),
                                   DEMIST_BUILD_BACKEND_DIR};

    *there = false;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !*there; i++) {
        dm_path_kind kind = DM_PATH_NOTHING;
        dm_status rc;

        if (!folders[i] || *folders[i] != '/')
            continue;
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", folders[i], file_name) < PATH_MAX &&
            (rc = dm_path_look(path, &kind, err)))
            return rc;
        *there = kind != DM_PATH_NOTHING;
        if (!i) /* where one is named, no other is looked into */
            break;
    }
    return DM_OK;
}

static dm_status missing(const dm_launch *l, dm_err *err)
{
    const char *named = getenv("DEMIST_BACKENDS");
    char beside[PATH_MAX];
    const char *folder = named && *named == '/' ? named : dm_install_path(DEMIST_BACKEND_DIR, beside);

    return dm_error(err, DM_EINVAL,
                    "%s started %d ranks, but demist's MPI backend is not installed: no %s in '%s'; install it, or "
                    "build demist with MPI (Debian: libopenmpi-dev). With DEMIST_MPI=off each process runs alone",
                    l->by, l->size, file_name, folder ? folder : DEMIST_BACKEND_DIR);
}

static dm_status check(const dm_comm_backend *b, const char *path, dm_err *err)
{
    if (!b)
        return dm_error(err, DM_EABI, "'%s' has no symbol 'dm_comm_entry'; it is not a backend of demist", path);
    if (b->abi != DM_COMM_ABI || b->size != sizeof *b)
        return dm_error(err, DM_EABI, "'%s' has backend interface %u, this demist has %u; rebuild it", path,
                        (unsigned)b->abi, (unsigned)DM_COMM_ABI);
    if (strcmp(b->demist, DEMIST_VERSION))
        return dm_error(err, DM_EABI, "'%s' belongs to demist %s, this is %s; install both in one version", path,
                        b->demist, DEMIST_VERSION);
    return DM_OK;
}

/* Never closed: MPI keeps threads and handlers in it until the process ends. */
static dm_status load(const dm_launch *l, const dm_comm_backend **out, dm_err *err)
{
    char path[PATH_MAX];
    dm_writers w;
    dm_err why = {0};
    bool there;
    void *handle;
    dm_status rc;

    if ((rc = find(path, &there, err)))
        return rc;
    if (!there)
        return missing(l, err);
    if ((rc = dm_writers_of(path, &w, err)))
        return rc;
    if ((rc = dm_plugin_check_file(path, &why)))
        return dm_error(err, rc, "MPI backend '%s': %s", path, why.msg);
    if (!(handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE))) {
        const char *reason = dlerror();

        return dm_error(err, DM_EABI, "unable to load the MPI backend: %s", reason ? reason : "no reason given");
    }
    *out = dlsym(handle, "dm_comm_entry");
    return check(*out, path, err);
}

dm_status dm_comm_open(dm_comm **out, dm_err *err)
{
    const dm_launch l = dm_launch_read();
    const dm_comm_backend *b;
    dm_status rc;

    *out = NULL;
    if (l.size < 2) {
        *out = dm_comm_one();
        (*out)->launched = l.by != NULL;
        return DM_OK;
    }
    if ((rc = load(&l, &b, err)) || (rc = b->open(out, err)))
        return rc;
    if ((*out)->size == l.size && (*out)->rank == l.rank) {
        /* What this rank does alone, it does on its own device. */
        dm_comm_one()->local_rank = (*out)->local_rank;
        dm_comm_one()->local_size = (*out)->local_size;
        memcpy(dm_comm_one()->host, (*out)->host, sizeof (*out)->host);
        return DM_OK;
    }
    rc = dm_error(err, DM_EINVAL,
                  "%s started %d ranks, but demist's MPI backend, built for %s, sees %d: start it with that MPI's own "
                  "mpirun, or build demist for this one (meson option mpi)",
                  l.by, l.size, (*out)->library, (*out)->size);
    dm_comm_close(*out);
    *out = NULL;
    return rc;
}

void dm_comm_close(dm_comm *c)
{
    if (c)
        c->calls->close(c);
}
