/* What a folder of images holds; see init.h. */
#include "init/init.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/folder.h"
#include "files/images_in.h"

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static dm_status measure(const dm_data *d, int64_t *shorter, init_images *out, dm_err *err)
{
    dm_shape s;
    dm_status rc;

    for (int64_t i = 0; i < out->count; i++) {
        if ((rc = dm_data_raw_shape(d, i, &s, err)))
            return rc;
        for (int k = 0; k < 2; k++) {
            const int64_t n = s.dim[1 + k];

            out->least[k] = i && out->least[k] < n ? out->least[k] : n;
            out->most[k] = i && out->most[k] > n ? out->most[k] : n;
        }
        shorter[i] = s.dim[1] < s.dim[2] ? s.dim[1] : s.dim[2];
        out->channels = s.dim[0] > 1 ? 3 : out->channels;
    }
    qsort(shorter, (size_t)out->count, sizeof *shorter, by_size);
    out->side = shorter[out->count / 2];
    return DM_OK;
}

dm_status init_look(const char *folder, bool labels, const dm_callbacks *cb, init_images *out, dm_err *err)
{
    /* Any size and channels: without, images that differ would be an error. */
    const char *const overrides[] = {"data.size=8", "data.channels=3", labels ? "data.labels=true" : NULL};
    dm_path_kind kind = DM_PATH_NOTHING;
    bool holds;
    int64_t *shorter;
    dm_data_alone a;
    dm_data *d;
    dm_status rc;

    *out = (init_images){.channels = 1};
    if ((rc = images_in_look(folder, &holds, err)) || (!holds && (rc = dm_path_look(folder, &kind, err))))
        return rc;
    if (!holds)
        return dm_error(err, kind ? DM_EINVAL : DM_ENOENT,
                        kind ? "'%s' is not a folder, nor a .zip or .tar file" : "there is no folder '%s'", folder);
    if ((rc = images_in_open(&a, folder, overrides, labels ? 3 : 2, cb, err)))
        return rc;
    if (!(rc = dm_data_open_readable(a.experiment, "train", &a.services, &out->unreadable, &d, err))) {
        out->count = dm_data_get_info(d)->count;
        out->classes = dm_data_get_info(d)->classes;
        shorter = dm_array(out->count, 1, sizeof *shorter);
        rc = shorter ? measure(d, shorter, out, err)
                     : dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)out->count);
        free(shorter);
        dm_data_close(d);
    }
    dm_data_alone_close(&a);
    return rc;
}

const char *init_images_text(const init_images *i, dm_arena *a)
{
    const bool alike = i->least[0] == i->most[0] && i->least[1] == i->most[1];
    const char *sizes = alike ? dm_sprintf(a, "%lld x %lld", (long long)i->most[1], (long long)i->most[0])
                              : dm_sprintf(a, "%lld x %lld to %lld x %lld", (long long)i->least[1],
                                           (long long)i->least[0], (long long)i->most[1], (long long)i->most[0]);

    return sizes ? dm_sprintf(a, "%lld image%s of %s pixels in %s", (long long)i->count, i->count == 1 ? "" : "s",
                              sizes, i->channels == 1 ? "grey" : "colour")
                 : NULL;
}
