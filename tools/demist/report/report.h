/* demist report: a run as one HTML file that needs nothing else. html.c writes HTML, parts.c what the run
 * folder tells, figures.c and likelihood.c what was measured, samples.c images drawn for it, compare*.c several runs.
 * All that is read from the folder is hostile: sizes are bounded, and nothing gets into the page but through html_text,
 * as numbers, or as the bytes of a PNG. */
#ifndef DEMIST_REPORT_H
#define DEMIST_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "terminal/message.h"
#include "base/folder.h"
#include "format/image.h"

typedef struct report {
    FILE *to;
    const char *run;               /* the folder */
    dm_folder folder;              /* the same, open */
    const char *scratch;           /* a folder for plots on their way */
    const char *const *overrides;  /* for its samples */
    int32_t n_overrides;
    int64_t step;                  /* of the checkpoint, 0 where there is none */
    bool draw;
    dm_status failed;              /* of the first part that could not be made; the others are there */
    const dm_callbacks *callbacks;
} report;

/* ---- html.c ---- */
void html_begin(FILE *f, const char *title);
void html_end(FILE *f);
void html_section(FILE *f, const char *title);
/* Text as it reads, whatever bytes it has. */
void html_text(FILE *f, const char *text);
/* A paragraph; what is formatted is text. */
void html_say(FILE *f, const char *fmt, ...) DM_PRINTF(2, 3);
/* A cell of a table's row: text, or a number of four digits (empty where it is not finite). */
void html_cell(FILE *f, const char *tag, const char *text);
void html_number(FILE *f, double x);
/* A PNG of these bytes as a data: URI; false, and nothing written, where they are none. scale: CSS pixels for one, 0 as
 * wide as the page allows, -N as many as make it N wide. */
bool html_png(FILE *f, const void *bytes, size_t n, int scale, const char *caption);
dm_status html_picture(FILE *f, const dm_picture *p, int scale, const char *caption, dm_err *err);
/* Between the two, pictures stand side by side. */
void html_side_begin(FILE *f);
void html_side_end(FILE *f);

/* ---- page.c ---- */
/* Writes a page to a stream in memory; scratch: a folder for plots on their way. */
typedef void report_write(void *user, FILE *to, const char *scratch);
/* What it wrote as a file, whole or not at all; in as in dm_file_begin_in. DM_ECANCELLED where that was asked for. */
dm_status report_page(const dm_folder *in, const char *name, report_write *write, void *user, const dm_callbacks *cb,
                      dm_err *err);
/* Opens r->folder, where r->run is a run's. */
dm_status report_open(report *r, dm_err *err);

/* ---- parts.c ---- */
/* Says that a part could not be made, which becomes the exit code. */
void report_lacks(report *r, const char *part, const dm_err *why);
/* A JSON object in the run folder; NULL where there is none, or where it cannot be read, which is said. */
json_t *report_json(report *r, const char *name);
/* Text of a member, "" where it is none. */
const char *report_string(const json_t *o, const char *key);
/* A file of the run folder or, with an absolute name, any; at most so many bytes; NULL where there is none. */
char *report_file(report *r, const char *name, size_t limit, size_t *n);
/* A plot that draw writes to a path, with its caption; where there is none, why. what: "curves". Only a lack of memory
 * is an error: gnuplot need not be there. */
typedef dm_status report_draw_plot(void *user, const char *path, dm_err *err);
void report_plot(report *r, const char *what, report_draw_plot *draw, void *user, const char *caption);
void report_head(report *r);
void report_curves(report *r);
void report_experiment(report *r);

/* ---- figures.c ---- */
/* By which weights, and with which changes, a report was made, where that needs a word. */
void report_made_by(const report *r, const json_t *j);
void report_quality(report *r);
void report_accuracy(report *r);
void report_loss(report *r);

/* ---- sweep.c ---- */
/* The sweep whose files lie in this folder of the run's: "sweep/", or "" where r->folder is the sweep's own. */
void report_sweep(report *r, const char *in);

/* ---- likelihood.c ---- */
void report_likelihood(report *r);

/* ---- samples.c ---- */
void report_samples(report *r);
/* Samples of the run's newest checkpoint; of points many, whatever o->count says. *draws: whether it has any. */
#define REPORT_NO_SAMPLES "None: it is a classifier, not a diffusion model."
dm_status report_draw(const report *r, dm_sample_options *o, dm_images *im, dm_model_properties *what, dm_err *err);
/* CSS pixels for one of an image of this side: small ones are shown large. */
int report_scale(int64_t side);

/* ---- compare.c and compare_keys.c ---- */
typedef struct comparison {
    report *run;                   /* n of them, which share `to` and `scratch` */
    const char **title;
    int n;
    int64_t seed, count;           /* of samples; count 0 = none */
} comparison;
void compare_heads(const comparison *c);
void compare_curves(const comparison *c);
void compare_samples(const comparison *c);
void compare_figures(const comparison *c);
void compare_keys(const comparison *c);

#endif
