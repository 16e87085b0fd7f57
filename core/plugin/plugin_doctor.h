/* What `demist doctor` says of the plugins. */
#ifndef DEMIST_CORE_PLUGIN_DOCTOR_H
#define DEMIST_CORE_PLUGIN_DOCTOR_H

#include "base/findings.h"

/* A line for each folder with its number of plugins, and one for each that is refused. */
void dm_plugin_doctor(dm_findings *r);

#endif
