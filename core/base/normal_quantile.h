/* Mathematics that every plugin may ask for, also without a schedule. */
#ifndef DEMIST_CORE_NORMAL_QUANTILE_H
#define DEMIST_CORE_NORMAL_QUANTILE_H

/* x with P(unit Gaussian < x) = u; -inf at u <= 0, inf at u >= 1. */
double dm_normal_quantile(double u);

#endif
