/* Weights of values at several places from the moments that they must have. */
#ifndef DEMIST_SAMPLERS_SOLVE_H
#define DEMIST_SAMPLERS_SOLVE_H

enum { SOLVE_MOST = 4 };

/* sum_j r[j]^i rho[j] = b[i] for i in [0,n), n <= SOLVE_MOST, by elimination; no two r are equal. */
static inline void solve(int n, const double *r, const double *b, double *rho)
{
    double a[SOLVE_MOST][SOLVE_MOST + 1];

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            a[i][j] = i ? a[i - 1][j] * r[j] : 1;
        a[i][n] = b[i];
    }
    for (int k = 0; k < n; k++)
        for (int i = k + 1; i < n; i++)
            for (int j = n; j >= k; j--)
                a[i][j] -= a[i][k] / a[k][k] * a[k][j];
    for (int i = n - 1; i >= 0; i--) {
        rho[i] = a[i][n];
        for (int j = i + 1; j < n; j++)
            rho[i] -= a[i][j] * rho[j];
        rho[i] /= a[i][i];
    }
}

#endif
