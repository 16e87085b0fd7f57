/* What plugins may ask of the noise process. */
#ifndef DEMIST_CORE_NOISE_SERVICES_H
#define DEMIST_CORE_NOISE_SERVICES_H

#include "noise/noise.h"
#include "plugin/instance.h"

/* Fills in point_at_t, point_at_log_snr and posterior; with noise NULL there is none. */
void dm_noise_serve(const dm_noise *noise, dm_services *s);

#endif
