/* How large a batch is tried after one did not fit; see batch_fit.h. */
#include "model/batch_fit.h"

bool dm_batch_fit(int64_t *n, bool *again, dm_status rc)
{
    if (rc != DM_ENOMEM || (*again && *n == 1))
        return false;
    if (*again)
        *n = (*n + 1) / 2;
    *again = !*again;
    return true;
}
