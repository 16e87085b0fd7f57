/* What `demist doctor` and `demist devices` print. */
#ifndef DEMIST_CORE_DOCTOR_H
#define DEMIST_CORE_DOCTOR_H

#include "base/findings.h"
#include "device/device.h"

/* One line each for loader, platforms, devices (a small kernel is run on each), the library of products and the cache
 * folder. */
void dm_doctor(dm_findings *r);

/* The cache folder with how many programs and choices are kept, and their size; clear: they are removed. */
dm_status dm_cache_folder(FILE *out, bool clear, dm_err *err);

/* What it is and can, as a JSON object; NULL when memory ran out. */
struct json_t *dm_device_json(const dm_device_info *o);
/* All devices with what they can do, as a table or as a JSON array of objects. */
dm_status dm_devices_print(FILE *out, bool json, dm_err *err);

#endif
