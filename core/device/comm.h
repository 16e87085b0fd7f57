/* The interface to communication backends: the processes of one job, its ranks, and what they exchange. A backend is a
 * shared object (backends/mpi), opened where a launcher started several ranks (comm/comm.h); one rank alone needs none.
 *
 * Every call is made by all ranks, in the same order, one thread at a time. What fails here cannot be told to the other
 * ranks: the caller ends, and the launcher ends them. */
#ifndef DEMIST_CORE_DEVICE_COMM_H
#define DEMIST_CORE_DEVICE_COMM_H

#include <demist/plugin.h>

typedef struct dm_comm dm_comm;

typedef struct dm_comm_calls {
    /* x[i] := the sum over the ranks of x[i], in place, the same bits on every rank. */
    dm_status (*all_reduce)(dm_comm *c, float *x, size_t n, dm_err *err);
    /* all := `bytes` of each rank, in the order of ranks. */
    dm_status (*all_gather)(dm_comm *c, const void *mine, size_t bytes, void *all, dm_err *err);
    /* mine has `bytes` for each rank, all gets those that each has for this one, both in the order of ranks. */
    dm_status (*all_to_all)(dm_comm *c, const void *mine, size_t bytes, void *all, dm_err *err);
    /* The same as all_gather on rank `root` alone; elsewhere all may be NULL. */
    dm_status (*gather)(dm_comm *c, const void *mine, size_t bytes, void *all, int root, dm_err *err);
    /* x := x of rank `root`. */
    dm_status (*broadcast)(dm_comm *c, void *x, size_t bytes, int root, dm_err *err);
    void (*close)(dm_comm *c);
} dm_comm_calls;

struct dm_comm {
    const dm_comm_calls *calls;
    int rank, size;                /* 0 <= rank < size */
    int local_rank, local_size;    /* among the ranks of this host */
    bool launched;                 /* by a launcher, though it may have started one rank alone */
    char library[64], host[64];    /* "Open MPI 4.1.4" */
};

#define DM_COMM_ABI 2

/* What the shared object exports as dm_comm_entry. */
typedef struct dm_comm_backend {
    uint32_t abi;                  /* DM_COMM_ABI */
    uint32_t size;                 /* sizeof(dm_comm_backend) */
    const char *demist;            /* the version that it was built with */
    /* Joins the job; may be called again after close. */
    dm_status (*open)(dm_comm **out, dm_err *err);
} dm_comm_backend;

#endif
