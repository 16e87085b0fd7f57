/* How the images of a command came about, step by step: F.safetensors has all, f32[steps+1,N,...], F.png a strip. */
#ifndef DEMIST_CLI_WALK_H
#define DEMIST_CLI_WALK_H

#include "files/strip.h"

/* x after each step. */
typedef struct walk_steps {
    int32_t steps;                 /* of the images with the most */
    int64_t n, example;            /* images, elements of one */
    float *x;                      /* [room][n][example] */
    int64_t room;                  /* steps, from 0 on */
    int32_t *last;                 /* steps of each image, of adaptive samplers fewer than the most */
    bool failed;
} walk_steps;

typedef struct output_walk {
    const char *path;              /* NULL = not asked for */
    bool drawn;
    walk_steps all;
    strip strip;
} output_walk;

/* Asks for the steps where path is not NULL; DM_EINVAL where it is neither. The walk must outlive o. */
dm_status output_walk_begin(output_walk *w, const char *path, dm_sample_options *o, dm_err *err);
dm_status output_walk_write(output_walk *w, const dm_images *im, dm_err *err);
void output_walk_fini(output_walk *w);

#endif
