/* The conditions of an experiment: what the network reads of an example besides its noise level and its class. */
#ifndef DEMIST_CORE_CONDITIONS_H
#define DEMIST_CORE_CONDITIONS_H

#include "base/error.h"
#include "settings/settings.h"

/* By value; the names are static. */
typedef struct dm_conditions {
    int32_t n;
    dm_condition is[DM_MAX_CONDITIONS];
    int32_t derive[DM_MAX_CONDITIONS]; /* DM_DERIVE_*; DM_DERIVE_NONE: the data give it */
    double drop[DM_MAX_CONDITIONS];    /* the share of examples of which training does not tell it */
    double drop_class;                 /* the same of the class, where the data has classes */
    bool together;                     /* an example loses all or none */
} dm_conditions;
enum { DM_DERIVE_NONE = -1 };

/* "vector"; the rank of such a condition's shape, 0 of a class. */
const char *dm_condition_kind_name(dm_condition_kind kind);
int32_t dm_condition_rank(dm_condition_kind kind);
/* Values of an example of such a condition as the data give it: those of its shape, and of a sequence the number of its
 * rows behind them. */
int64_t dm_condition_size(const dm_condition *is);
/* The same of all that the data give. */
int64_t dm_conditions_given(const dm_conditions *c);

/* Those of an experiment with such data; the message begins with a key of the section condition, or, *at being
 * DM_SEC_TRAIN, with one of that. */
dm_status dm_conditions_find(const dm_set_condition *set, const dm_reals *drop, const dm_data_info *data,
                             dm_conditions *out, dm_section_id *at, dm_err *err);
/* "class of 10, downscale (image 1 x 7 x 7)"; "nothing" */
typedef struct dm_conditions_shown { char text[640]; } dm_conditions_shown;
dm_conditions_shown dm_conditions_show(const dm_conditions *c, int32_t classes);
bool dm_condition_same(const dm_condition *a, const dm_condition *b);
/* Are they the same, but for how often they are dropped? */
bool dm_conditions_same(const dm_conditions *a, const dm_conditions *b);

/* Condition k of one example x as the network sees it, told apart by seed, step and index: to `out`, of its shape. */
void dm_condition_derive(const dm_set_condition *set, const dm_conditions *c, int32_t k, const dm_shape *example,
                         const float *x, uint64_t seed, uint32_t step, uint32_t index, float *out);

#endif
