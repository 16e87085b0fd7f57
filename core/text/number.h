/* Numbers as text, the same in every locale. */
#ifndef DEMIST_CORE_NUMBER_H
#define DEMIST_CORE_NUMBER_H

#include <demist/plugin.h>

enum { DM_NUMBER_TEXT = 32 };

typedef enum dm_number_status {
    DM_NUMBER_OK,
    DM_NUMBER_NONE,   /* not written as such a number */
    DM_NUMBER_RANGE,  /* too large, or too close to zero, for the type */
} dm_number_status;

/* Decimal digits with an optional sign, '.', and exponent: 1, -0.5, .5, 1e-4. No hexadecimal, no
 * '_', no infinity, no NaN. */
dm_number_status dm_number_real(const char *s, double *v);
/* Decimal digits with an optional sign; no leading zeros. */
dm_number_status dm_number_int(const char *s, int64_t *v);

/* The shortest of 15, 16 and 17 digits that reads back as v: "0.02", "1e-05". Returns buf. */
char *dm_number_write(double v, char buf[DM_NUMBER_TEXT]);

#endif
