/* Which device a rank takes; see comm.h. */
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

static dm_status of_list(const dm_comm *c, const char *select, char device[DM_RANK_DEVICE], dm_err *err)
{
    const char *at = select;
    int n = 1, length;

    for (const char *p = select; (p = strchr(p, ',')); p++)
        n++;
    if (n < c->local_size)
        return dm_error(err, DM_EINVAL,
                        "[%s] names %d devices, and %d ranks were started on this host (%s); name one for "
                        "each, or start fewer",
                        select, n, c->local_size, c->host);
    for (int i = 0; i < c->local_rank; i++)
        at = strchr(at, ',') + 1;
    length = (int)strcspn(at, ",");
    if (length >= DM_RANK_DEVICE)
        return dm_error(err, DM_EINVAL, "item %d of the list is longer than %d bytes", c->local_rank + 1,
                        DM_RANK_DEVICE - 1);
    snprintf(device, DM_RANK_DEVICE, "%.*s", length, at);
    return DM_OK;
}

dm_status dm_rank_device(const dm_comm *c, const char *select, char device[DM_RANK_DEVICE], dm_err *err)
{
    dm_device_info *list;
    int n;
    dm_status rc;

    if (strchr(select, ','))
        return of_list(c, select, device, err);
    if (c->local_size == 1) {
        snprintf(device, DM_RANK_DEVICE, "%s", select);
        return DM_OK;
    }
    if ((rc = dm_device_pick_all(select, &list, &n, err)))
        return rc;
    snprintf(device, DM_RANK_DEVICE, "%d:%d", list[c->local_rank % n].platform, list[c->local_rank % n].device);
    free(list);
    return DM_OK;
}
