/* What `demist schedule` tells of a noise process and a sampler's grid. */
#ifndef DEMIST_CORE_SCHEDULE_REPORT_H
#define DEMIST_CORE_SCHEDULE_REPORT_H

#include "noise/noise.h"

/* One JSON object of arrays in double precision (17 digits): beta, alpha_bar, log_snr, posterior_variance, each
 * from the first step to the T-th (index t - 1), and timesteps, 0-based, noisiest first. An infinite log-SNR is null.
 * Continuous schedules: alpha, sigma and log_snr at t = 1..T, and the grid's log_snr. */
dm_status dm_schedule_json(const dm_noise *n, const dm_walk *g, const char *path, dm_err *err);
/* The same as a table, all rows; and as curves. */
void dm_schedule_table(const dm_noise *n, const dm_walk *g, FILE *out);
dm_status dm_schedule_plot(const dm_noise *n, const dm_walk *g, const char *path, dm_err *err);

#endif
