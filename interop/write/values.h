/* A plugin's filled config by the names of its rows, for what is written about it. */
#ifndef DEMIST_INTEROP_VALUES_H
#define DEMIST_INTEROP_VALUES_H

#include "experiment/experiment.h"

/* 0, false, "" and NULL where the section has no such row. */
int64_t dm_value_int(const dm_section *s, const char *key);
double dm_value_real(const dm_section *s, const char *key);
bool dm_value_bool(const dm_section *s, const char *key);
bool dm_value_is(const dm_section *s, const char *key, const char *choice); /* of an enum */
const dm_ints *dm_value_ints(const dm_section *s, const char *key);
const dm_reals *dm_value_reals(const dm_section *s, const char *key);
bool dm_uses(const dm_section *s, const char *plugin);

#endif
