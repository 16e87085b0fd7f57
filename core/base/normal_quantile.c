/* The inverse of the normal distribution; see normal_quantile.h. */
#include "base/normal_quantile.h"

#include <math.h>

double dm_normal_quantile(double u)
{
    const double p = u < 0.5 ? u : 1 - u;
    double lo = 0, hi = 40;

    if (!(u > 0 && u < 1))
        return u <= 0 ? -INFINITY : u >= 1 ? INFINITY : NAN;
    for (int i = 0; i < 80; i++) { /* the tail beyond x is erfc(x / sqrt 2) / 2 */
        const double mid = (lo + hi) / 2;

        if (erfc(mid * 0.70710678118654752440) / 2 > p)
            lo = mid;
        else
            hi = mid;
    }
    return u < 0.5 ? -lo : lo;
}
