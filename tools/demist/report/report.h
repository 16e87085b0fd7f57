/* demist report: a run as one HTML file that needs nothing else. html.c writes HTML, parts.c what the run
 * folder tells, figures.c and likelihood.c what was measured, samples.c images drawn for it. All
 * that is read from the folder is hostile: sizes are bounded, and nothing gets into the page but through html_text, as
 * numbers, or as the bytes of a PNG. */
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
 * wide as the page allows. */
bool html_png(FILE *f, const void *bytes, size_t n, int scale, const char *caption);
dm_status html_picture(FILE *f, const dm_picture *p, int scale, const char *caption, dm_err *err);

/* ---- parts.c ---- */
/* Says that a part could not be made, which becomes the exit code. */
void report_lacks(report *r, const char *part, const dm_err *why);
/* A JSON object in the run folder; NULL where there is none, or where it cannot be read, which is said. */
json_t *report_json(report *r, const char *name);
/* Text of a member, "" where it is none. */
const char *report_string(const json_t *o, const char *key);
/* A file of the run folder or, with an absolute name, any; at most so many bytes; NULL where there is none. */
char *report_file(report *r, const char *name, size_t limit, size_t *n);
void report_head(report *r);
void report_curves(report *r);
void report_experiment(report *r);

/* ---- figures.c ---- */
/* By which weights, and with which changes, a report was made, where that needs a word. */
void report_made_by(const report *r, const json_t *j);
void report_quality(report *r);
void report_accuracy(report *r);
void report_loss(report *r);
void report_sweep(report *r);

/* ---- likelihood.c ---- */
void report_likelihood(report *r);

/* ---- samples.c ---- */
void report_samples(report *r);

#endif
