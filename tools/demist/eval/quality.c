/* demist eval --metric quality. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "files/output.h"
#include "format/safetensors.h"
#include "text/plain_text.h"

/* Images to measure in place of samples: a tensor x of a safetensors file, or a data set's files. */
typedef struct given { float *x; char use[32], path[4200]; const char *overrides[4]; } given;

static dm_status read_tensor(const char *path, given *g, dm_quality_options *o, dm_err *err)
{
    const dm_st_tensor *x;
    dm_st *f;
    dm_status rc;

    if ((rc = dm_st_open(path, &f, err)))
        return rc;
    x = dm_st_find(f, "x");
    if (!x || x->count < 1 || (x->shape.rank != 4 && x->shape.rank != 2))
        rc = dm_error(err, DM_EINVAL, "'%s' has no images x f32[N,C,H,W]", path);
    else if (!(g->x = malloc((size_t)x->count * sizeof *g->x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the images in '%s'", path);
    else
        rc = dm_st_read_f32(f, x, 0, x->count, g->x, err);
    if (!rc) {
        o->images = g->x;
        o->images_shape = x->shape;
    }
    dm_st_close(f);
    return rc;
}

static dm_status find_images(const char *path, given *g, dm_quality_options *o, dm_err *err)
{
    const bool npy = output_ends_in(path, ".npy");
    dm_path_kind kind;
    dm_status rc;

    if ((rc = dm_path_look(path, &kind, err)))
        return rc;
    if (kind == DM_PATH_NOTHING)
        return dm_error(err, DM_ENOENT, "unable to open the images '%s'", path);
    if (kind != DM_PATH_FOLDER && !npy)
        return read_tensor(path, g, o, err);
    snprintf(g->use, sizeof g->use, "data.use=%s", npy ? "npy" : "image_folder");
    if ((size_t)snprintf(g->path, sizeof g->path, "data.%s=%s", npy ? "file" : "folder", path) >= sizeof g->path)
        return dm_error(err, DM_EINVAL, "the name '%.60s...' is too long", path);
    g->overrides[0] = g->use;
    g->overrides[1] = g->path;
    g->overrides[2] = "data.limit=0";
    o->data = g->overrides;
    o->n_data = 3;
    return DM_OK;
}

/* The features as they come, for --save. */
typedef struct kept { dm_st_source set[4]; float *x[4]; int n; } kept;

static dm_status keep(void *user, const dm_features_info *f, dm_err *err)
{
    const size_t bytes = (size_t)(f->shape.dim[0] * f->shape.dim[1]) * sizeof *f->x;
    kept *k = user;

    if (k->n == 4 || !(k->x[k->n] = malloc(bytes)))
        return dm_error(err, DM_ENOMEM, "out of memory for the features to save");
    memcpy(k->x[k->n], f->x, bytes);
    k->set[k->n] = (dm_st_source){.name = f->set, .type = DM_ST_F32, .shape = f->shape, .data = k->x[k->n]};
    k->n++;
    return DM_OK;
}

static void print_figures(const dm_quality_row *r)
{
    printf(" %12.4f %12.3e %10.1e %11.4f %8.4f", r->frechet, r->kid, r->kid_error, r->precision, r->recall);
}

static void print_row(const char *name, const dm_quality_row *r)
{
    if (!r->count)
        return;
    printf("%-12s %8lld", name, (long long)r->count);
    print_figures(r);
    putchar('\n');
}

/* More rows than that are in the report alone, where nobody asked for them. */
enum { SHOWN = 40 };

static void print_class(const dm_quality_class *c, long long k, bool by_class, bool share)
{
    printf("%-12lld %8lld", k, (long long)c->count);
    if (by_class) {
        print_figures(&c->row);
        printf(" %8lld", (long long)c->test);
    }
    if (share)
        printf(" %11.4f", c->class_share);
    if (*c->name)
        fputs("  ", stdout);
    dm_plain_put(stdout, c->name);
    putchar('\n');
}

static void print_classes(const dm_quality *q, bool by_class)
{
    const bool share = isfinite(q->class_share);
    const int64_t n = by_class || q->classes <= SHOWN ? q->classes : SHOWN;

    printf("\n%-12s %8s", "class", "count");
    if (by_class)
        printf(" %12s %12s %10s %11s %8s %8s", "Frechet", "KID", "+-", "precision", "recall", "test");
    puts(share ? " class share" : "");
    for (int64_t k = 0; k < n; k++)
        print_class(&q->by_class[k], (long long)k, by_class, share);
    if (n < q->classes)
        printf("... %lld more classes (all with --by-class, or in the report)\n", (long long)(q->classes - n));
    if (by_class)
        puts("each class against as many test images of it as 'test' says");
    if (share)
        printf("class share: the features' classifier assigns %.4f +- %.4f of all samples to the requested class\n",
               q->class_share, q->class_share_error);
}

static void print(const dm_quality *q, bool images, bool by_class)
{
    printf("%-12s %8s %12s %12s %10s %11s %8s\n", "", "count", "Frechet", "KID", "+-", "precision", "recall");
    print_row("floor", &q->floor);
    print_row(images ? "images" : "samples", &q->samples);
    print_row("ceiling", &q->ceiling);
    printf("against %lld training images; floor: test images, ceiling: noise\n"
           "%lld features: the input of layer '%s', weights sha256 %.16s...\n",
           (long long)q->train, (long long)q->features, q->layer, q->hash);
    if (q->classes)
        print_classes(q, by_class);
}

static json_t *row(const dm_quality_row *r)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "count", (json_int_t)r->count,
                     "frechet", eval_number(r->frechet), "frechet_means", eval_number(r->frechet_means),
                     "kid", eval_number(r->kid), "kid_error", eval_number(r->kid_error),
                     "kid_deviation", eval_number(r->kid_deviation), "kid_size", (json_int_t)r->kid_size,
                     "precision", eval_number(r->precision), "recall", eval_number(r->recall));
}

/* The figures where they were asked for, and the share where it is known. */
static json_t *class_row(const dm_quality_class *c, int64_t k, bool share)
{
    json_t *all = c->row.count ? row(&c->row) : json_pack("{s:I}", "count", (json_int_t)c->count);

    if (!all || json_object_set_new(all, "class", json_integer(k)) ||
        (*c->name && json_object_set_new(all, "name", json_string(c->name))) ||
        (c->row.count && json_object_set_new(all, "test_count", json_integer(c->test))) ||
        (share && json_object_set_new(all, "class_share", eval_number(c->class_share)))) {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* false when memory is exhausted. */
static bool add_classes(json_t *all, const dm_quality *q)
{
    json_t *samples = json_object_get(all, "samples"), *list = json_array();
    const bool share = isfinite(q->class_share);
    bool ok = list != NULL;

    for (int64_t k = 0; k < q->classes && ok; k++)
        ok = !json_array_append_new(list, class_row(&q->by_class[k], k, share));
    return !json_object_set_new(all, "classes", list) && ok &&
           (!share || (!json_object_set_new(samples, "class_share", json_real(q->class_share)) &&
                       !json_object_set_new(samples, "class_share_error", json_real(q->class_share_error))));
}

static json_t *json(const eval_request *r, const dm_quality *q)
{
    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:s, s:o}", "step", (json_int_t)q->step,
                            "train_count", (json_int_t)q->train, "kid_subsets", (json_int_t)q->subsets,
                            "neighbours", (json_int_t)q->neighbours, "sampling", q->about,
                            "sampling_seconds", eval_number(q->seconds));
    json_t *net = json_pack("{s:s, s:I, s:s, s:I, s:s}", "run", r->features, "step", (json_int_t)q->features_step,
                            "layer", q->layer, "count", (json_int_t)q->features, "sha256", q->hash);

    if (all && net && !json_object_set_new(all, "features", net) &&
        !json_object_set_new(all, r->images ? "images" : "samples", row(&q->samples)) &&
        !json_object_set_new(all, "floor", q->floor.count ? row(&q->floor) : json_null()) &&
        !json_object_set_new(all, "ceiling", row(&q->ceiling)) && (!q->classes || add_classes(all, q)))
        return all;
    json_decref(all);
    return NULL;
}

static dm_status run(const eval_request *r, json_t **report, dm_err *err)
{
    dm_quality_options o = {.size = sizeof o, .overrides = r->overrides, .n_overrides = r->n_overrides, .raw = r->raw,
                            .features = r->features, .layer = r->layer, .count = r->count, .callbacks = r->callbacks,
                            .ranks = r->ranks, .by_class = r->by_class,
                            .kept = r->kept};
    dm_quality q = {.size = sizeof q};
    given g = {0};
    kept k = {.n = 0};
    dm_status rc = DM_OK;

    if (r->save) {
        o.features_done = keep;
        o.features_user = &k;
    }
    if (r->images)
        rc = find_images(r->images, &g, &o, err);
    if (!rc && !(rc = dm_eval_quality(r->run, &o, &q, err)) &&
        (!r->save || r->silent ||
         !(rc = dm_st_write(r->save, k.set, k.n, (dm_pair[]){{"weights.sha256", q.hash}, {"layer", q.layer}}, 2,
                            err)))) {
        if (!r->silent)
            print(&q, r->images != NULL, r->by_class);
        if (!(*report = json(r, &q)))
            rc = dm_error(err, DM_ENOMEM, "out of memory for the report, or a name in it is not UTF-8");
    }
    for (int i = 0; i < k.n; i++)
        free(k.x[i]);
    free(g.x);
    dm_quality_free(&q);
    return rc;
}

static const eval_column columns[] = {
    {"frechet", "samples.frechet"}, {"kid", "samples.kid"}, {"kid_error", "samples.kid_error"},
    {"precision", "samples.precision"}, {"recall", "samples.recall"}, {NULL, NULL}};

const eval_metric eval_quality = {.name = "quality", .columns = columns,
                                  .sometimes = {"class_share", "samples.class_share"}, .run = run, .quality = true};
