/* LAPACK and BLAS, opened when an evaluation asks for them: some of their builds start threads as soon as they
 * are loaded, which training and sampling must not have. */
#ifndef DEMIST_CORE_LAPACK_H
#define DEMIST_CORE_LAPACK_H

#include "base/error.h"

typedef struct dm_lapack dm_lapack;
/* DM_EIO says what to install. */
dm_status dm_lapack_open(dm_lapack **out, dm_err *err);
void dm_lapack_close(dm_lapack *l);

/* Eigenvalues, ascending, of the symmetric a[n,n]; with vectors, they replace a: vector k is column k. a is overwritten
 * in any case. */
dm_status dm_lapack_eigen(const dm_lapack *l, int32_t n, double *a, bool vectors, double *values, dm_err *err);
/* c[m,n] = beta c + a b, row-major without gaps; a is [m,k], [k,m] if ta, b is [k,n], [n,k] if tb. */
void dm_lapack_multiply(const dm_lapack *l, bool ta, bool tb, int32_t m, int32_t n, int32_t k, const double *a,
                        const double *b, double beta, double *c);

#endif
