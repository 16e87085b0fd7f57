/* Launchers and what they say; see launch.h. */
#include "comm/launch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "text/number.h"

/* A launcher inside another (mpirun in a job of Slurm's) comes first. In a batch script, outside of srun, Slurm says
 * nothing of a step. */
static const struct { const char *by, *rank, *size; } launchers[] = {
    {"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"MPICH's mpiexec", "PMI_RANK", "PMI_SIZE"},
    {"Slurm's srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
};

static bool number(const char *name, int *to)
{
    const char *text = getenv(name);
    int64_t n;

    if (!text || dm_number_int(text, &n) || n < 0 || n > 1 << 24)
        return false;
    *to = (int)n;
    return true;
}

dm_launch dm_launch_read(void)
{
    const char *wanted = getenv("DEMIST_MPI");
    dm_launch l = {NULL, 0, 1};

    if (wanted && !strcmp(wanted, "off"))
        return l;
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++)
        if (number(launchers[i].rank, &l.rank) && number(launchers[i].size, &l.size) && l.rank < l.size) {
            l.by = launchers[i].by;
            return l;
        }
    return (dm_launch){NULL, 0, 1};
}
