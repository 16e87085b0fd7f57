/* demist predict: the network alone, for comparing with others. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "files/output.h"
#include "format/safetensors.h"
#include "options/command.h"

typedef struct request { const char *from, *to; bool force; dm_model_options how; } request;

static const cli_option options[] = {
    CLI_FILE(request, from, "in", "F.safetensors", ".safetensors", "the inputs"),
    CLI_FILE(request, to, "out", "F.safetensors", ".safetensors", "where the output goes"),
    CLI_FLAG(request, how.raw, "raw", "the weights as trained, not their first average"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite the output file if it exists"),
    CLI_FLAG(request, how.profile, "profile", "time, FLOP/s and GB/s of each kernel"), CLI_END};

typedef struct inputs { float *x, *vectors; double *t; int32_t *y; int64_t width; dm_shape shape; } inputs;

static dm_status read_vectors(const dm_st *f, const dm_st_tensor *y, inputs *in, dm_err *err)
{
    if (y->count < 1)
        return dm_error(err, DM_EINVAL, "'%s': y is empty", dm_st_path(f));
    in->width = y->shape.dim[1];
    if (!(in->vectors = malloc((size_t)y->count * sizeof *in->vectors)))
        return dm_error(err, DM_ENOMEM, "out of memory for the inputs");
    return dm_st_read_f32(f, y, 0, y->count, in->vectors, err);
}

static dm_status read_inputs(const dm_st *f, inputs *in, dm_err *err)
{
    const dm_st_tensor *x = dm_st_find(f, "x"), *t = dm_st_find(f, "t"), *y = dm_st_find(f, "y");
    double *labels = NULL;
    dm_status rc = DM_OK;

    if (!x || !t)
        return dm_error(err, DM_EINVAL, "'%s' has no tensor '%s'; it needs x f32[N,C,H,W] and t [N]", dm_st_path(f),
                        x ? "t" : "x");
    if ((x->shape.rank != 4 && x->shape.rank != 2) || x->count < 1)
        return dm_error(err, DM_EINVAL, "'%s': x has rank %d and %lld elements; it must be f32[N,C,H,W] or f32[N,D]",
                        dm_st_path(f), (int)x->shape.rank, (long long)x->count);
    if (t->shape.rank != 1 || t->shape.dim[0] != x->shape.dim[0] ||
        (y && (y->shape.rank < 1 || y->shape.rank > 2 || y->shape.dim[0] != x->shape.dim[0])))
        return dm_error(err, DM_EINVAL, "'%s': t must be [N], y [N] or [N,D] with N = %lld, as x has", dm_st_path(f),
                        (long long)x->shape.dim[0]);
    if (y && y->shape.rank == 2) {
        if ((rc = read_vectors(f, y, in, err)))
            return rc;
        y = NULL;
    }
    in->shape = x->shape;
    in->x = malloc((size_t)x->count * sizeof *in->x);
    in->t = malloc((size_t)t->count * sizeof *in->t);
    in->y = malloc((size_t)t->count * sizeof *in->y);
    labels = malloc((size_t)t->count * sizeof *labels);
    if (!in->x || !in->t || !in->y || !labels)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the inputs");
    else if (!(rc = dm_st_read_f32(f, x, 0, x->count, in->x, err)) &&
             !(rc = dm_st_read_f64(f, t, 0, t->count, in->t, err)) && y)
        rc = dm_st_read_f64(f, y, 0, y->count, labels, err);
    for (int64_t i = 0; i < t->count && !rc && y; i++) {
        if (!(labels[i] >= 0 && labels[i] <= 1 << 24) || labels[i] != floor(labels[i]))
            rc = dm_error(err, DM_EINVAL, "'%s': y[%lld] is %g; it must be a class", dm_st_path(f), (long long)i,
                          labels[i]);
        else
            in->y[i] = (int32_t)labels[i];
    }
    free(labels);
    if (!y) {
        free(in->y);
        in->y = NULL;
    }
    return rc;
}

static dm_status predict(const char *run_path, const char *from, const char *to, const dm_model_options *how,
                         dm_err *err)
{
    dm_predict_options o = {.size = sizeof o};
    dm_model *m = NULL;
    dm_images out = {.size = sizeof out};
    inputs in = {0};
    dm_st *f;
    dm_status rc;

    if ((rc = dm_st_open(from, &f, err)))
        return rc;
    if (!(rc = read_inputs(f, &in, err)) && !(rc = dm_model_open(run_path, how, &m, err))) {
        o.shape = in.shape;
        o.x = in.x;
        o.t = in.t;
        o.labels = in.y;
        o.vectors = in.vectors;
        o.vector_width = in.width;
        if (!(rc = dm_model_predict(m, &o, &out, err)))
            rc = dm_st_write(to, &(dm_st_source){.name = "out", .type = DM_ST_F32, .shape = out.shape, .data = out.x},
                             1, NULL, 0, err);
        dm_images_free(&out);
        dm_model_close(m);
    }
    free(in.x);
    free(in.vectors);
    free(in.t);
    free(in.y);
    dm_st_close(f);
    return rc;
}

static int run(cli_call *call)
{
    request *q = call->options;
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;

    if (output_check((const output_file[]){{q->to, NULL, false}, {q->from, NULL, true}}, 2, q->force, &err))
        return cli_fail(&err);
    if (!(t = cli_terminal_new(&call->common)))
        return cli_no_memory();
    q->how.size = sizeof q->how;
    q->how.overrides = call->overrides;
    q->how.n_overrides = call->n_overrides;
    q->how.callbacks = cli_callbacks(t);
    rc = predict(call->argument[0], q->from, q->to, &q->how, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_predict = {
    .name = "predict",
    .summary = "run the network alone on given inputs",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true}, {0}},
    .options = options,
    .size = sizeof(request),
    .needed = "in|out",
    .examples = "  demist predict runs/fashion-mnist --in inputs.safetensors --out outputs.safetensors\n",
    .details = "The input file has x f32[N,C,H,W] (or f32[N,D]), t i32, i64 or f32 [N], the timesteps as the network "
               "takes them (0-based), and for a model with classes y i32 or i64 [N] (for one whose labels are "
               "vectors, f32[N,D]). The output file has out.\n",
    .run = run};
