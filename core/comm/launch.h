/* What a launcher of ranks says to the processes that it starts, in their environment. */
#ifndef DEMIST_CORE_LAUNCH_H
#define DEMIST_CORE_LAUNCH_H

#include <stdbool.h>

typedef struct dm_launch {
    const char *by;                /* "Open MPI's mpirun"; NULL: no launcher, or DEMIST_MPI=off says not to heed it */
    int rank, size;
} dm_launch;

dm_launch dm_launch_read(void);

#endif
