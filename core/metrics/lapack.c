/* LAPACK behind dlopen; see lapack.h. The types are those of LAPACKE and CBLAS with 32-bit integers. */
#include "metrics/lapack.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef int eigen_fn(int layout, char job, char triangle, int n, double *a, int lda, double *w);
typedef void multiply_fn(int layout, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                         const double *b, int ldb, double beta, double *c, int ldc);
enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 };

struct dm_lapack { void *library; eigen_fn *eigen; multiply_fn *multiply; };

/* A function's address through memory: ISO C converts no data pointer to it. */
static bool find(void *library, const char *name, void *to)
{
    void *address = dlsym(library, name);

    memcpy(to, &address, sizeof address);
    return address != NULL;
}

dm_status dm_lapack_open(dm_lapack **out, dm_err *err)
{
    static const char *const names[] = {"liblapacke.so.3", "liblapacke.so"};
    dm_lapack *l = calloc(1, sizeof *l);

    if (!l)
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !l->library; i++)
        l->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!l->library || !find(l->library, "LAPACKE_dsyevd", &l->eigen) ||
        !find(l->library, "cblas_dgemm", &l->multiply)) {
        const char *why = dlerror();

        dm_error(err, DM_EIO,
                 "unable to open LAPACK: %s; install liblapacke (Debian's package; "
                 "libopenblas0-serial beside it makes it fast)", why ? why : "a function is missing");
        dm_lapack_close(l);
        return DM_EIO;
    }
    *out = l;
    return DM_OK;
}

void dm_lapack_close(dm_lapack *l)
{
    if (l && l->library)
        dlclose(l->library);
    free(l);
}

dm_status dm_lapack_eigen(const dm_lapack *l, int32_t n, double *a, bool vectors, double *values, dm_err *err)
{
    const int info = l->eigen(ROW_MAJOR, vectors ? 'V' : 'N', 'U', n, a, n, values);

    if (info < 0)
        return dm_error(err, info < -1000 ? DM_ENOMEM : DM_EINVAL, "LAPACKE_dsyevd of order %d: %s", (int)n,
                        info < -1000 ? "out of memory" : "a value is not finite");
    if (info > 0)
        return dm_error(err, DM_EDIVERGED, "LAPACKE_dsyevd of order %d did not converge", (int)n);
    return DM_OK;
}

void dm_lapack_multiply(const dm_lapack *l, bool ta, bool tb, int32_t m, int32_t n, int32_t k, const double *a,
                        const double *b, double beta, double *c)
{
    l->multiply(ROW_MAJOR, ta ? TRANSPOSED : AS_IS, tb ? TRANSPOSED : AS_IS, m, n, k, 1, a, ta ? m : k, b, tb ? k : n,
                beta, c, n);
}
