/* How fast MPI sums f32 over these ranks: "LATENCY BANDWIDTH", seconds of a message and bytes a second in each
 * direction, as the model of demist plan has them (2 (N - 1) (L + M / (N B)) for a ring of N ranks). The best of many.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

enum { MESSAGE = 4 << 20, TIMES = 50 };

static double best_of(float *x, int n)
{
    double best = 1e30;

    for (int i = 0; i < TIMES; i++) {
        double began, took;

        MPI_Barrier(MPI_COMM_WORLD);
        began = MPI_Wtime();
        MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        took = MPI_Wtime() - began;
        best = took < best ? took : best;
    }
    MPI_Allreduce(MPI_IN_PLACE, &best, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return best;
}

int main(int argc, char **argv)
{
    float *x = calloc(MESSAGE / sizeof *x, sizeof *x);
    int size, rank;
    double small, large;

    if (!x || MPI_Init(&argc, &argv) != MPI_SUCCESS)
        return 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    small = best_of(x, 1);
    large = best_of(x, MESSAGE / (int)sizeof *x);
    if (rank == 0 && size > 1)
        printf("%.9g %.9g\n", small / (2 * (size - 1)), 2. * (size - 1) / size * MESSAGE / (large - small));
    free(x);
    return MPI_Finalize() == MPI_SUCCESS ? 0 : 1;
}
