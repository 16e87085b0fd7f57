/* Curves as PNG, drawn by gnuplot, which is run as a program of its own and may be absent. */
#ifndef DEMIST_CORE_PLOT_H
#define DEMIST_CORE_PLOT_H

#include "base/folder.h"

typedef struct dm_series {
    const char *title;             /* "" = not in the key */
    const double *x, *y;           /* n each; pairs that cannot be drawn are left out */
    int64_t n;
    bool faint;                    /* drawn thin and pale, behind the others */
} dm_series;

enum { DM_PLOT_SERIES = 12 };

typedef struct dm_panel {
    const char *title, *x_label, *y_label;
    bool log_x, log_y;
    const dm_series *series;
    int n_series;                  /* at most DM_PLOT_SERIES */
} dm_panel;

/* The panels in a grid of two columns, or one if there is one. DM_EIO where gnuplot is not installed. */
dm_status dm_plot(const char *path, const dm_panel *panels, int n, dm_err *err);
/* The same as a file of a folder; in may be NULL: name is a path then. */
dm_status dm_plot_in(const dm_folder *in, const char *name, const dm_panel *panels, int n, dm_err *err);
/* Loss (as it is, smoothed, and on held-out data, also by band), lr, grad_norm and images_per_s of a run's log.jsonl.
 */
dm_status dm_plot_run(const dm_folder *run, const dm_folder *in, const char *name, dm_err *err);
/* The smoothed loss, that on held-out data where one has it, lr, grad_norm and images_per_s of several runs, at most
 * DM_PLOT_SERIES, over one another, each by its title. A run without steps has no curve; DM_EINVAL where none has. */
dm_status dm_plot_runs(const dm_folder *runs, const char *const *titles, int n, const char *path, dm_err *err);

#endif
