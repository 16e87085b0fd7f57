/* How large a batch is tried after one did not fit. */
#ifndef DEMIST_BATCH_FIT_H
#define DEMIST_BATCH_FIT_H

#include <demist/demist.h>

/* Whether another try is worth it after rc: the same size once more, since a shortage of the moment must not change
 * what comes out, then half of it, and so on. again: false before the first try. */
bool dm_batch_fit(int64_t *n, bool *again, dm_status rc);

#endif
