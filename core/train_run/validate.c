/* The held-out loss during training. */
#include "train_run/train_run.h"

#include "text/number.h"

#include <math.h>
#include <stdlib.h>

enum { PATIENCE = 5 }; /* seconds */

dm_status dm_train_validate(dm_validation *v, dm_run_log *log, dm_tb *events, int64_t step, double wall, double *loss,
                            dm_err *err)
{
    static const char *const names[DM_LOSS_BANDS] = {"val_band_1", "val_band_2", "val_band_3", "val_band_4"};
    double from[DM_LOSS_BANDS + 1];
    const int32_t bands = dm_validation_bands(v, from);
    dm_field f[1 + DM_LOSS_BANDS];
    dm_loss_row row;
    int n = 1;
    dm_status rc;

    if ((rc = dm_validation_run(v, PATIENCE, &row, err)))
        return rc;
    *loss = row.loss.mean;
    if (!log)
        return DM_OK;
    f[0] = (dm_field){"val_loss", row.loss.mean};
    for (int32_t k = 0; k < bands && bands > 1; k++)
        f[n++] = (dm_field){names[k], row.band[k].mean};
    return (rc = dm_run_log_put(log, step, f, n, err)) ? rc : dm_tb_scalars(events, step, wall, f, n, err);
}

dm_status dm_best_loss(const dm_folder *run, double *loss, dm_err *err)
{
    dm_err why = {0};
    const char *text;
    double read;
    dm_st *f;

    *loss = INFINITY;
    if (!dm_st_open_in(run, DM_RUN_BEST, &f, &why)) {
        text = dm_st_meta(f, DM_BEST_LOSS);
        if (text && !dm_st_verify(f, &why) && dm_number_real(text, &read) == DM_NUMBER_OK)
            *loss = read;
        dm_st_close(f);
    }
    return why.code == DM_ENOMEM ? dm_error(err, why.code, "%s", why.msg) : DM_OK;
}
