/* Communication on MPI; see core/device/comm.h. Opened by the program, to which it does not link: it writes its
 * messages itself. MPI can be started once in a process, so it ends with the process. */
#include "device/comm.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Elements of one call, as MPI counts in int; those that are not worth a sum in parts. */
enum { MOST = 1 << 28, FEW = 4096 };

typedef struct mpi_comm {
    dm_comm base;
    MPI_Comm world;
    int *count, *from;             /* of each rank's part of a sum */
    float *part;                   /* this rank's */
    int room;                      /* floats of it */
} mpi_comm;

/* open: handles that were not closed. Where the process ends with one, it failed: the launcher is to see that. */
static struct { int open; } process;

static dm_status fail(dm_err *err, const char *what, int code)
{
    char reason[MPI_MAX_ERROR_STRING] = "";
    int n;

    MPI_Error_string(code, reason, &n);
    if (err) {
        err->code = DM_EIO;
        snprintf(err->msg, sizeof err->msg, "%s between the ranks failed: %s", what, reason);
    }
    return DM_EIO;
}

static mpi_comm *of(dm_comm *c) { return (mpi_comm *)(void *)c; }

/* Ranks wait for the slowest: the processor is left to it. */
static int wait_for(MPI_Request *request)
{
    for (int n = 0;; n++) {
        int done, code = MPI_Test(request, &done, MPI_STATUS_IGNORE);

        if (code || done)
            return code;
        if (n < 50)
            sched_yield();
        else
            nanosleep(&(struct timespec){0, n < 500 ? 50000 : 500000}, NULL);
    }
}

/* All are there: from here on it takes as long as the data. */
static int meet(const mpi_comm *c)
{
    MPI_Request request;
    const int code = MPI_Ibarrier(c->world, &request);

    return code ? code : wait_for(&request);
}

/* The same before `bytes` of each, as MPI counts. */
static int meet_with(const mpi_comm *c, size_t bytes) { return bytes > MOST ? MPI_ERR_COUNT : meet(c); }

/* Each element is summed in one place, and goes to all from there: so the bits are the same on every rank, whatever the
 * library's algorithm. */
static int sum(mpi_comm *c, float *x, int n)
{
    const int size = c->base.size, rank = c->base.rank;
    int code;

    if (n <= FEW) {
        code = MPI_Reduce(rank ? x : MPI_IN_PLACE, x, n, MPI_FLOAT, MPI_SUM, 0, c->world);
        return code ? code : MPI_Bcast(x, n, MPI_FLOAT, 0, c->world);
    }
    for (int i = 0; i < size; i++) {
        c->from[i] = (int)((int64_t)n * i / size);
        c->count[i] = (int)((int64_t)n * (i + 1) / size) - c->from[i];
    }
    if (c->room < c->count[rank]) {
        free(c->part);
        c->room = 0;
        if (!(c->part = malloc((size_t)c->count[rank] * sizeof *x)))
            return MPI_ERR_NO_MEM;
        c->room = c->count[rank];
    }
    /* Not in place: MPICH 4.0 copies a part over itself then. */
    if ((code = MPI_Reduce_scatter(x, c->part, c->count, MPI_FLOAT, MPI_SUM, c->world)))
        return code;
    memcpy(x + c->from[rank], c->part, (size_t)c->count[rank] * sizeof *x);
    return MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x, c->count, c->from, MPI_FLOAT, c->world);
}

static dm_status all_reduce(dm_comm *base, float *x, size_t n, dm_err *err)
{
    mpi_comm *c = of(base);
    int code = meet(c);

    for (size_t at = 0; at < n && !code; at += MOST)
        code = sum(c, x + at, (int)(n - at < MOST ? n - at : MOST));
    return code ? fail(err, "a sum", code) : DM_OK;
}

static dm_status all_gather(dm_comm *base, const void *mine, size_t bytes, void *all, dm_err *err)
{
    const mpi_comm *c = of(base);
    int code = meet_with(c, bytes);

    if (!code)
        code = MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, c->world);
    return code ? fail(err, "an exchange", code) : DM_OK;
}

static dm_status all_to_all(dm_comm *base, const void *mine, size_t bytes, void *all, dm_err *err)
{
    const mpi_comm *c = of(base);
    int code = meet_with(c, bytes);

    if (!code)
        code = MPI_Alltoall(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, c->world);
    return code ? fail(err, "an exchange", code) : DM_OK;
}

static dm_status gather(dm_comm *base, const void *mine, size_t bytes, void *all, int root, dm_err *err)
{
    const mpi_comm *c = of(base);
    int code = meet_with(c, bytes);

    if (!code)
        code = MPI_Gather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, root, c->world);
    return code ? fail(err, "a collection", code) : DM_OK;
}

static dm_status broadcast(dm_comm *base, void *x, size_t bytes, int root, dm_err *err)
{
    const mpi_comm *c = of(base);
    int code = meet(c);

    for (size_t at = 0; at < bytes && !code; at += MOST)
        code = MPI_Bcast((char *)x + at, (int)(bytes - at < MOST ? bytes - at : MOST), MPI_BYTE, root, c->world);
    return code ? fail(err, "a message", code) : DM_OK;
}

static void close_comm(dm_comm *base)
{
    mpi_comm *c = of(base);

    MPI_Comm_free(&c->world);
    process.open--;
    free(c->count);
    free(c->from);
    free(c->part);
    free(c);
}

static const dm_comm_calls calls = {all_reduce, all_gather, all_to_all, gather, broadcast, close_comm};

static void end(void)
{
    int ended;

    if (!process.open && !MPI_Finalized(&ended) && !ended)
        MPI_Finalize();
}

/* An application may have started MPI itself, and then ends it. */
static dm_status start(dm_err *err)
{
    int there, level, code = MPI_Initialized(&there);

    if (code || there)
        return code ? fail(err, "MPI's start", code) : DM_OK;
    if ((code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level)))
        return fail(err, "MPI's start", code);
    atexit(end);
    return DM_OK;
}

/* "Open MPI v4.1.4, package: ..." -> "Open MPI v4.1.4" */
static void name_library(char *to, size_t n)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;

    MPI_Get_library_version(text, &length);
    snprintf(to, n, "%.*s", (int)strcspn(text, ",\n"), text);
    for (char *p = to; *p; p++)
        if (*p == '\t')
            *p = ' ';
}

static int ask(mpi_comm *c)
{
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    MPI_Comm local;
    int n, code;

    if ((code = MPI_Comm_dup(MPI_COMM_WORLD, &c->world)))
        return code;
    MPI_Comm_set_errhandler(c->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(c->world, &c->base.rank);
    MPI_Comm_size(c->world, &c->base.size);
    MPI_Get_processor_name(host, &n);
    snprintf(c->base.host, sizeof c->base.host, "%.63s", host);
    name_library(c->base.library, sizeof c->base.library);
    if ((code = MPI_Comm_split_type(c->world, MPI_COMM_TYPE_SHARED, c->base.rank, MPI_INFO_NULL, &local)))
        return code;
    MPI_Comm_rank(local, &c->base.local_rank);
    MPI_Comm_size(local, &c->base.local_size);
    return MPI_Comm_free(&local);
}

static dm_status no_memory(dm_err *err)
{
    if (err) {
        err->code = DM_ENOMEM;
        snprintf(err->msg, sizeof err->msg, "out of memory for messages between the ranks");
    }
    return DM_ENOMEM;
}

static dm_status open_comm(dm_comm **out, dm_err *err)
{
    mpi_comm *c;
    dm_status rc;
    int code;

    if ((rc = start(err)))
        return rc;
    if (!(c = calloc(1, sizeof *c)))
        return no_memory(err);
    c->base.calls = &calls;
    c->base.launched = true;
    code = ask(c);
    c->count = calloc((size_t)c->base.size + 1, sizeof *c->count);
    c->from = calloc((size_t)c->base.size + 1, sizeof *c->from);
    process.open++; /* where this fails too: MPI was started, and is not ended as after success */
    if (!code && c->count && c->from) {
        *out = &c->base;
        return DM_OK;
    }
    rc = code ? fail(err, "MPI's start", code) : no_memory(err);
    free(c->count);
    free(c->from);
    free(c);
    return rc;
}

DM_EXPORT const dm_comm_backend dm_comm_entry = {
    .abi = DM_COMM_ABI, .size = sizeof(dm_comm_backend), .demist = DEMIST_VERSION, .open = open_comm};
