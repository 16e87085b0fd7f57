/* The variational bound's terms for one image, in double precision, from the network's output as it came from the
 * device (Ho et al. 2020, eq. 5). All in bits a dimension. Knows no device and no plugin. */
#ifndef DEMIST_CORE_BOUND_H
#define DEMIST_CORE_BOUND_H

#include <demist/plugin.h>

/* One step back as Gaussians: q(x_to | x, x0) and p(x_to | x), whose mean is q's at the predicted x0. */
typedef struct dm_bound_step {
    dm_affine affine;              /* x0 = c_skip x + c_out F */
    double limit;                  /* the predicted x0 is held within [-limit, limit]; 0 = as it is */
    dm_posterior q;
    bool decodes;                  /* the step to the data: -ln p(x0 | x), discretised unless the data is continuous */
    double k0, k1;                 /* p's log-variance: k0 + k1 V; V is not read where k1 is 0 */
} dm_bound_step;

/* L_{t-1}, or L_0 if it decodes, of an image of n elements: x0, x, F (its first n), V (the n after those). data: its
 * levels and range. What is not finite comes back as such. */
double dm_bound_term(const dm_bound_step *s, const dm_data_info *data, const float *x0, const float *x, const float *F,
                     int64_t n);
/* L_T: KL(q(x_T | x0) || N(0, prior)). */
double dm_bound_prior(const dm_point *last, const float *x0, int64_t n);

/* ln of the mass of N(mean, e^log_var) between low and high, either of which may be infinite; -infinity only where
 * log_var or the distance is infinite. */
double dm_log_mass(double low, double high, double mean, double log_var);

#endif
