/* A model held open and a training driven by its caller: what a call may change, what it leaves as it was, and that the
 * next one sets nothing up again. */
#include "unit/scratch.h"

#include <demist/demist.h>

#include "run/run_paths.h"
#include "sample/model_handle.h"

#include <limits.h>
#include <math.h>

static char dir[64], run[128], file[1024], device[280];

typedef struct heard {
    int lines, steps;
    bool stop;
    char last[300];
} heard;

static void log_line(void *user, dm_log_level level, const char *line)
{
    heard *h = user;

    h->lines += level <= DM_LOG_WARNING;
    if (level <= DM_LOG_WARNING)
        snprintf(h->last, sizeof h->last, "%.*s", (int)sizeof h->last - 1, line);
}

static void progress(void *user, const dm_progress_info *p) { ((heard *)user)->steps += p->step > 0; }
static bool cancelled(void *user) { return ((heard *)user)->stop; }

static dm_model *open_model(void)
{
    dm_model *m;
    dm_err err = {0};

    assert_status(dm_model_open(run, NULL, &m, &err), DM_OK, &err);
    return m;
}

static dm_images draw(dm_model *m, const dm_sample_options *o)
{
    dm_images im = {.size = sizeof im};
    dm_err err = {0};

    assert_status(dm_model_sample(m, o, &im, &err), DM_OK, &err);
    return im;
}

static bool same(const dm_images *a, const dm_images *b)
{
    const size_t n = (size_t)(a->shape.dim[0] * a->shape.dim[1]);

    return a->shape.dim[0] == b->shape.dim[0] && a->shape.dim[1] == b->shape.dim[1] &&
           !memcmp(a->x, b->x, n * sizeof *a->x);
}

static void free_both(dm_images *a, dm_images *b)
{
    dm_images_free(a);
    dm_images_free(b);
}

/* ---- a model ------------------------------------------------------------------------------------ */

static void model__second_call_sets_nothing_up(void **state)
{
    const dm_sample_options o = {.size = sizeof o, .count = 5};
    float x[6] = {0.5f, -0.5f, 1, 2, 3, 4};
    const double t[3] = {0, 10, 500};
    const dm_predict_options p = {.size = sizeof p, .shape = {2, {3, 2}}, .x = x, .t = t};
    dm_model *m = open_model();
    dm_images a = draw(m, &o), b = {.size = sizeof b}, c = {.size = sizeof c};
    dm_err err = {0};
    uint64_t before;

    (void)state;
    assert_status(dm_model_predict(m, &p, &b, &err), DM_OK, &err);
    before = dm_device_allocations(m->s.device);
    for (int i = 0; i < 3; i++) {
        dm_images again = draw(m, &o);

        assert_true(same(&a, &again));
        assert_int_equal(again.evaluations, a.evaluations);
        assert_status(dm_model_predict(m, &p, &c, &err), DM_OK, &err);
        assert_true(same(&b, &c));
        free_both(&again, &c);
    }
    assert_int_equal(dm_device_allocations(m->s.device), before);
    free_both(&a, &b);
    dm_model_close(m);
}

static void model__calls_change_what_they_say(void **state)
{
    const int64_t seed = 7;
    const char *few[] = {"sampler.steps=2"}, *ddpm[] = {"sampler.use=ddpm", "sampler.steps=3"};
    const dm_sample_options plain = {.size = sizeof plain, .count = 4},
                            seeded = {.size = sizeof seeded, .count = 4, .seed = &seed},
                            quick = {.size = sizeof quick, .count = 4, .overrides = few, .n_overrides = 1},
                            other = {.size = sizeof other, .count = 4, .overrides = ddpm, .n_overrides = 2};
    dm_model *m = open_model();
    dm_images a = draw(m, &plain), b = draw(m, &seeded), c = draw(m, &quick), d = draw(m, &other), e = draw(m, &plain);

    (void)state;
    assert_true(same(&a, &e));
    assert_false(same(&a, &b));
    assert_non_null(strstr(b.about, "seed=7 "));
    assert_int_equal(a.steps, 4);
    assert_int_equal(c.steps, 2);
    assert_int_equal(d.steps, 3);
    assert_non_null(strstr(d.about, "sampler=ddpm "));
    free_both(&a, &b);
    free_both(&c, &d);
    dm_images_free(&e);
    dm_model_close(m);
}

/* A change of the sampler makes no new plan of the network. */
static void model__keeps_the_network_for_another_sampler(void **state)
{
    const char *few[] = {"sampler.steps=2"};
    const dm_sample_options plain = {.size = sizeof plain, .count = 4},
                            quick = {.size = sizeof quick, .count = 4, .overrides = few, .n_overrides = 1};
    dm_model *m = open_model();
    dm_images a = draw(m, &plain), b;
    dm_forward *f, *g;
    dm_err err = {0};

    (void)state;
    assert_status(dm_forwards_get(m->forwards, 4, NULL, 0, &f, &err), DM_OK, &err);
    b = draw(m, &quick);
    assert_status(dm_forwards_get(m->forwards, 4, NULL, 0, &g, &err), DM_OK, &err);
    assert_ptr_equal(f, g);
    free_both(&a, &b);
    dm_model_close(m);
}

static void model__many_shapes(void **state)
{
    dm_model *m = open_model();
    dm_images first[8], again;

    (void)state;
    for (int64_t k = 0; k < 16; k++) {
        const dm_sample_options o = {.size = sizeof o, .count = k % 8 + 1};

        if (k < 8) {
            first[k] = draw(m, &o);
            continue;
        }
        again = draw(m, &o);
        assert_true(same(&first[k % 8], &again));
        free_both(&first[k % 8], &again);
    }
    dm_model_close(m);
}

static void model__refuses_and_goes_on(void **state)
{
    static const float x[4] = {0, NAN, 0, 0};
    static const double t[2] = {0, 1e9};
    static const char *const network[] = {"network.width=16"}, *const typo[] = {"sampler.stepz=3"},
                             *const none[] = {NULL}, *const word[] = {"sampler"};
    static const int64_t low = -1, high = INT64_MAX;
    const struct {
        dm_sample_options o;
        const char *says;
    } samples[] = {
        {{.overrides = network, .n_overrides = 1}, "set this when the model is opened"},
        {{.overrides = typo, .n_overrides = 1}, "stepz"},
        {{.overrides = none, .n_overrides = 1}, "override 1 of 1 is NULL"},
        {{.overrides = word, .n_overrides = 1}, "set this when the model is opened"},
        {{.n_overrides = 2}, "2 overrides, but the array is NULL"},
        {{.overrides = typo, .n_overrides = -1}, "-1 overrides"},
        {{.seed = &low}, "the seed is -1"},
        {{.seed = &high}, "the seed is"},
        {{.count = -1}, "-1 images"},
        {{.count = INT64_MAX}, "more elements than memory can hold"},
        {{.count = INT64_MAX / 4}, "more elements than memory can hold"},
        {{.count = (int64_t)UINT32_MAX + 2}, "indices are from 0 to"},
        {{.first_index = -1}, "indices are from 0 to"},
        {{.first_index = INT64_MAX, .count = 2}, "indices are from 0 to"},
        {{.noise = x, .noise_shape = {0}}, "rank 0"},
        {{.noise = x, .noise_shape = {9, {1}}}, "rank 9"},
        {{.noise = x, .noise_shape = {2, {2, -2}}}, "extent 1 of the given noise is -2"},
        {{.noise = x, .noise_shape = {2, {INT64_MAX, 2}}}, "more elements than memory can hold"},
        {{.noise = x, .noise_shape = {2, {2, 2}}}, "NaN"},
        {{.noise = x + 2, .noise_shape = {2, {1, 2}}, .z = x, .draws = INT64_MAX}, "more elements than memory"},
        {{.noise = x + 2, .noise_shape = {2, {1, 2}}, .z = x, .draws = -1}, "extent 0 of the given noise z is -1"},
    };
    const struct {
        dm_predict_options o;
        const char *says;
    } predictions[] = {
        {{.x = x, .shape = {2, {1, 2}}}, "t is NULL"},
        {{.t = t, .shape = {2, {1, 2}}}, "x is NULL"},
        {{.x = x, .t = t, .shape = {2, {INT64_MAX, 2}}}, "more elements than memory can hold"},
        {{.x = x, .t = t, .shape = {2, {0, 2}}}, "extent 0 of x is 0"},
        {{.x = x, .t = t, .shape = {INT_MAX, {1, 2}}}, "rank 2147483647"},
        {{.x = x, .t = t, .shape = {2, {2, 2}}}, "not finite"},
        {{.x = x + 2, .t = t + 1, .shape = {2, {1, 2}}}, "t[0] is 1e+09"},
        {{.x = x + 2, .t = t, .shape = {2, {1, 2}}, .vectors = x, .vector_width = 3}, "labels are none"},
    };
    const dm_sample_options good = {.size = sizeof good, .count = 2};
    dm_model *m = open_model();
    dm_images before = draw(m, &good), after, out = {.size = sizeof out};
    dm_err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        dm_sample_options o = samples[i].o;

        o.size = sizeof o;
        assert_fails(dm_model_sample(m, &o, &out, &err), DM_EINVAL, &err, samples[i].says);
        assert_null(out.x);
    }
    for (size_t i = 0; i < sizeof predictions / sizeof predictions[0]; i++) {
        dm_predict_options o = predictions[i].o;

        o.size = sizeof o;
        assert_fails(dm_model_predict(m, &o, &out, &err), DM_EINVAL, &err, predictions[i].says);
        assert_null(out.x);
    }
    after = draw(m, &good);
    assert_true(same(&before, &after));
    free_both(&before, &after);
    dm_model_close(m);
}

static void model__callbacks_of_one_call(void **state)
{
    static const int32_t labels[2] = {0, 1};
    heard whole = {0}, one = {0};
    const dm_callbacks of_all = {.size = sizeof of_all,
                                 .user = &whole,
                                 .log = log_line,
                                 .progress = progress,
                                 .cancelled = cancelled},
                       of_one = {.size = sizeof of_one,
                                 .user = &one,
                                 .log = log_line,
                                 .progress = progress,
                                 .cancelled = cancelled};
    const dm_model_options how = {.size = sizeof how, .callbacks = &of_all};
    dm_sample_options o = {.size = sizeof o, .count = 2, .labels = labels};
    dm_images im = {.size = sizeof im};
    dm_model *m;
    dm_err err = {0};

    (void)state;
    assert_status(dm_model_open(run, &how, &m, &err), DM_OK, &err);
    assert_status(dm_model_sample(m, &o, &im, &err), DM_OK, &err);
    dm_images_free(&im);
    assert_int_equal(whole.lines, 1);
    assert_int_equal(whole.steps, 4);
    o.callbacks = &of_one;
    assert_status(dm_model_sample(m, &o, &im, &err), DM_OK, &err);
    dm_images_free(&im);
    assert_int_equal(one.steps, 4);
    assert_int_equal(one.lines, 1);
    assert_string_equal(one.last, "this model has no classes; the labels are ignored");
    assert_int_equal(whole.lines + whole.steps, 5);
    one.stop = true;
    assert_fails(dm_model_sample(m, &o, &im, &err), DM_ECANCELLED, &err, "stopped at step 0 of 4");
    o.callbacks = NULL;
    assert_status(dm_model_sample(m, &o, &im, &err), DM_OK, &err);
    dm_images_free(&im);
    assert_int_equal(whole.steps, 8);
    dm_model_close(m);
}

static void model__says_what_it_is(void **state)
{
    dm_model_properties p = {.size = sizeof p};
    dm_model_options how = {.size = sizeof how, .precision = "bf16"};
    dm_model *m = open_model();
    dm_err err = {0};

    (void)state;
    assert_status(dm_model_info(m, &p, &err), DM_OK, &err);
    assert_int_equal(p.shape.rank, 1);
    assert_int_equal(p.shape.dim[0], 2);
    assert_int_equal(p.step, 6);
    assert_true(p.diffuses && !p.pixels && p.parameters > 0);
    assert_string_equal(p.network, "mlp");
    assert_string_equal(p.schedule, "linear");
    assert_string_equal(p.precision, "fp32");
    assert_non_null(strstr(p.experiment, "network:\n  use: mlp\n"));
    dm_model_close(m);
    assert_status(dm_model_open(run, &how, &m, &err), DM_OK, &err);
    assert_status(dm_model_info(m, &p, &err), DM_OK, &err);
    assert_string_equal(p.precision, "bf16");
    dm_model_close(m);
    how.precision = "fp64";
    assert_fails(dm_model_open(run, &how, &m, &err), DM_EINVAL, &err, "fp64");
    assert_null(m);
    how = (dm_model_options){.size = sizeof how, .device = "no such device"};
    assert_fails(dm_model_open(run, &how, &m, &err), DM_EDEVICE, &err, "no such device");
    assert_fails(dm_model_open("/nonexistent", NULL, &m, &err), DM_ENOENT, &err, "/nonexistent");
}

/* Overrides are counted as this call's caller gave them, and an option is called by its name. */
static void model__messages_name_the_override(void **state)
{
    static const char *const typo[] = {"sampler.stepz=3"}, *const later[] = {"sampler.steps=3", "sampler.stepz=3"};
    dm_callbacks cb = {.size = sizeof cb, .override_name = "setting"};
    dm_model_options o = {.size = sizeof o, .overrides = typo, .n_overrides = 1};
    dm_train_options t = {.size = sizeof t, .overrides = typo, .n_overrides = 1};
    dm_check_options k = {.size = sizeof k, .overrides = later, .n_overrides = 2};
    dm_sample_options s = {.size = sizeof s, .overrides = later, .n_overrides = 2};
    dm_images out = {.size = sizeof out};
    dm_training *training;
    dm_model *m;
    dm_err err = {0};

    (void)state;
    assert_fails(dm_model_open(run, &o, &m, &err), DM_EINVAL, &err, "override 1: error: sampler.stepz");
    assert_fails(dm_training_open(file, &t, &training, &err), DM_EINVAL, &err, "override 1: error: sampler.stepz");
    assert_fails(dm_check(file, &k, &err), DM_EINVAL, &err, "override 2: error: sampler.stepz");
    o.callbacks = &cb;
    assert_fails(dm_model_open(run, &o, &m, &err), DM_EINVAL, &err, "setting 1: error: sampler.stepz");
    o = (dm_model_options){.size = sizeof o, .precision = "fp64"};
    assert_fails(dm_model_open(run, &o, &m, &err), DM_EINVAL, &err, "precision: ");
    assert_null(strstr(err.msg, "argument"));
    o = (dm_model_options){.size = sizeof o, .device = "9:9"};
    assert_fails(dm_model_open(run, &o, &m, &err), DM_EDEVICE, &err, "device: error: no OpenCL device matches '9:9'");
    assert_null(strstr(err.msg, "argument"));
    o = (dm_model_options){.size = sizeof o, .overrides = later, .n_overrides = 1, .device = device + 7};
    assert_status(dm_model_open(run, &o, &m, &err), DM_OK, &err);
    assert_fails(dm_model_sample(m, &s, &out, &err), DM_EINVAL, &err, "override 2: error: sampler.stepz");
    dm_model_close(m);
}

/* What belongs to something that is not there is refused, not left out. */
static void model__options_that_nothing_would_read(void **state)
{
    static const float x[4] = {0}, bad[4] = {0, NAN};
    const struct { dm_sample_options o; const char *says; } samples[] = {
        {{.strength = 0.5}, "a strength of 0.5 needs images to change"},
        {{.strength = NAN}, "needs images to change"},
        {{.jump_length = 5}, "jumps need images to change and a mask"},
        {{.resamplings = 2}, "jumps need images to change and a mask"},
        {{.mask = x, .mask_shape = {2, {2, 2}}}, "there is a mask but no images to apply it to"},
        {{.draws = 4}, "4 draws of noise, but z is NULL"},
        {{.draws = -1}, "-1 draws of noise, but z is NULL"},
        {{.z = x}, "extent 0 of the given noise z is 0"},
        {{.z = x, .draws = INT64_MAX, .count = 2}, "more elements than memory can hold"},
        {{.z = bad, .draws = 2}, "the given noise z has NaN at element 1"},
        {{.n_classes = 2}, "2 classes, but the array is NULL"},
        {{.n_conditions = 2}, "2 conditions, but the array is NULL"},
        {{.n_overrides = 2}, "2 overrides, but the array is NULL"},
        {{.count = INT64_MAX}, "more elements than memory can hold"},
    };
    const dm_sample_options back = {.size = sizeof back, .start = x, .start_shape = {2, {2, 2}}, .noise = x,
                                    .noise_shape = {2, {2, 2}}};
    static const double t[2] = {1, 2};
    const dm_predict_options wide = {.size = sizeof wide, .shape = {2, {2, 2}}, .x = x, .t = t, .vector_width = 3};
    dm_images im = {.size = sizeof im};
    dm_model *m = open_model();
    dm_err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        dm_sample_options o = samples[i].o;

        o.size = sizeof o;
        assert_fails(dm_model_sample(m, &o, &im, &err), DM_EINVAL, &err, samples[i].says);
    }
    assert_fails(dm_model_invert(m, &back, &im, &err), DM_EINVAL, &err, "an inversion takes no noise");
    assert_fails(dm_model_predict(m, &wide, &im, &err), DM_EINVAL, &err, "labels y have width 3, but y is NULL");
    dm_model_close(m);
}

/* Counts that no memory holds are refused before anything is read or allocated. */
static void eval__counts(void **state)
{
    static const float x[1] = {0};
    static const char *const list[2] = {"data.use=toy2d"};
    const struct { dm_quality_options o; const char *says; } qualities[] = {
        {{.count = -1}, "cannot measure -1 images"},
        {{.subsets = INT64_MAX, .subset_size = INT64_MAX}, "at most 1000000 of either"},
        {{.neighbours = INT32_MAX}, "2147483647 neighbours; at most 1000"},
        {{.images = x, .images_shape = {2, {INT64_MAX, 2}}}, "more elements than memory can hold"},
        {{.images = x, .images_shape = {0}}, "rank 0"},
        {{.count = INT64_MAX}, "cannot measure 9223372036854775807 images; at most 4294967295"},
        {{.count = INT64_C(1) << 62}, "cannot measure 4611686018427387904 images; at most 4294967295"},
        {{.n_data = 3}, "data: 3 overrides, but the array is NULL"},
        {{.n_data = INT32_MAX}, "data: 2147483647 overrides, but the array is NULL"},
        {{.data = list, .n_data = -1}, "data: -1 overrides: the number must be 0 or above"},
        {{.data = list, .n_data = 2}, "data: override 2 of 2 is NULL"},
        {{.data = list, .n_data = 1, .images = x, .images_shape = {2, {1, 2}}}, "both images and data are given"},
        {{.n_overrides = 1}, "1 overrides, but the array is NULL"},
        {{.by_class = 1}, "quality by class: this model was trained on data without classes"},
    };
    const dm_loss_options loss = {.size = sizeof loss, .count = -1};
    const dm_convert_options sides[] = {{.size = sizeof sides[0], .height = INT64_MAX, .width = INT64_MAX},
                                        {.size = sizeof sides[0], .height = 8},
                                        {.size = sizeof sides[0], .height = -8, .width = 8}};
    const dm_train_options argc = {.size = sizeof argc, .argc = INT32_MAX};
    dm_quality q = {.size = sizeof q};
    dm_loss l = {.size = sizeof l};
    dm_training *t;
    dm_err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof qualities / sizeof qualities[0]; i++) {
        dm_quality_options o = qualities[i].o;

        o.size = sizeof o;
        o.features = run;
        assert_fails(dm_eval_quality(run, &o, &q, &err), DM_EINVAL, &err, qualities[i].says);
    }
    assert_fails(dm_eval_loss(run, &loss, &l, &err), DM_EINVAL, &err, "a count of -1 examples");
    for (int i = 0; i < 3; i++)
        assert_fails(dm_convert("none", "to", &sides[i], &err), DM_EINVAL, &err, "a side is from 1 to 16384");
    assert_fails(dm_training_open(file, &argc, &t, &err), DM_EINVAL, &err, "2147483647 arguments, but argv is NULL");
    assert_null(t);
}

/* ---- a training ------------------------------------------------------------------------------------ */

static dm_training *train(const char *output, bool resume, const char *more)
{
    char to[200];
    const char *overrides[] = {device,
                               "network.width=8",
                               "network.depth=1",
                               "train.steps=6",
                               "train.batch=8",
                               "train.log_every=2",
                               "tune=off",
                               "sampler.steps=4",
                               "train.save_every=0",
                               to,
                               more};
    dm_train_options o = {.size = sizeof o, .overrides = overrides, .n_overrides = more ? 11 : 10, .resume = resume};
    dm_training *t;
    dm_err err = {0};

    snprintf(to, sizeof to, "output=%s", output);
    assert_status(dm_training_open(file, &o, &t, &err), DM_OK, &err);
    memset(to, 'x', sizeof to - 1); /* it was read; nothing of the caller's is needed any more */
    return t;
}

static void training__driven_by_its_caller(void **state)
{
    dm_training *t = train(run, false, NULL);
    dm_training_state s = {.size = sizeof s};
    dm_err err = {0};
    char path[300];
    double loss = 0;

    (void)state;
    assert_status(dm_training_info(t, &s, &err), DM_OK, &err);
    assert_int_equal(s.step, 0);
    assert_int_equal(s.steps, 6);
    assert_int_equal(s.batch, 8);
    assert_int_equal(s.saved, -1);
    assert_true(isnan(s.loss) && isnan(s.best_loss));
    assert_non_null(strstr(s.output, run)); /* absolute */
    assert_fails(dm_training_save(t, &err), DM_EINVAL, &err, "no step to save");
    for (int i = 0; i < 4; i++)
        assert_status(dm_training_step(t, &err), DM_OK, &err);
    assert_status(dm_training_validate(t, &loss, &err), DM_OK, &err);
    assert_status(dm_training_save(t, &err), DM_OK, &err);
    assert_status(dm_training_info(t, &s, &err), DM_OK, &err);
    assert_int_equal(s.step, 4);
    assert_int_equal(s.saved, 4);
    assert_true(s.loss > 0 && s.grad_norm > 0 && s.images_per_s > 0 && s.learning_rate > 0);
    assert_true(isfinite(loss) && s.best_loss == loss);
    snprintf(path, sizeof path, "%s/" DM_RUN_BEST, run);
    assert_int_equal(access(path, F_OK), 0);
    dm_training_close(t);

    t = train(run, true, NULL);
    assert_status(dm_training_info(t, &s, &err), DM_OK, &err);
    assert_int_equal(s.step, 4);
    for (int i = 0; i < 2; i++)
        assert_status(dm_training_step(t, &err), DM_OK, &err);
    assert_fails(dm_training_step(t, &err), DM_EINVAL, &err, "already done");
    assert_status(dm_training_save(t, &err), DM_OK, &err);
    dm_training_close(t);
}

/* Step by step, and by one call: the same weights, bit for bit. */
static void training__step_by_step_is_the_run(void **state)
{
    char other[200];
    dm_training *t;
    dm_model *a = open_model(), *b;
    dm_images x, y;
    dm_err err = {0};

    (void)state;
    snprintf(other, sizeof other, "%s/other", dir);
    t = train(other, false, NULL);
    assert_status(dm_training_run(t, &err), DM_OK, &err);
    dm_training_close(t);
    assert_status(dm_model_open(other, NULL, &b, &err), DM_OK, &err);
    x = draw(a, NULL);
    y = draw(b, NULL);
    assert_true(same(&x, &y));
    free_both(&x, &y);
    dm_model_close(a);
    dm_model_close(b);
}

static void saved_as_step_6(const char *output, bool expected)
{
    char path[300];

    snprintf(path, sizeof path, "%s/checkpoints/step-00000006.safetensors", output);
    assert_int_equal(access(path, F_OK), expected ? 0 : -1);
}

/* A run that its caller drove to the end is saved as one that ran to it. */
static void training__run_saves_the_last_step(void **state)
{
    char driven[200];
    dm_training *t;
    dm_training_state s = {.size = sizeof s};
    dm_err err = {0};

    (void)state;
    snprintf(driven, sizeof driven, "%s/driven", dir);
    t = train(driven, false, NULL);
    for (int i = 0; i < 6; i++)
        assert_status(dm_training_step(t, &err), DM_OK, &err);
    saved_as_step_6(driven, false);
    assert_status(dm_training_run(t, &err), DM_OK, &err);
    assert_status(dm_training_info(t, &s, &err), DM_OK, &err);
    assert_int_equal(s.saved, 6);
    dm_training_close(t);
    saved_as_step_6(driven, true);
}

/* What cannot begin removes nothing of the run that it was to replace. */
static void training__overwrite_checks_first(void **state)
{
    static const struct { bool resume, data_changed, stop; const char *more, *says; dm_status status; } rows[] = {
        {true, false, false, NULL, "resume and overwrite exclude each other", DM_EINVAL},
        {false, true, false, NULL, "data_changed and overwrite exclude each other", DM_EINVAL},
        {false, false, true, NULL, "stopped before a step was done", DM_ECANCELLED},
        {false, false, false, "network.width=1000000000", "network", DM_EINVAL},
        {false, false, false, "train.micro_batch=100000", "micro_batch", DM_EINVAL},
    };
    char kept[200], to[220];
    dm_training *t;
    dm_err err = {0};

    (void)state;
    snprintf(kept, sizeof kept, "%s/kept", dir);
    snprintf(to, sizeof to, "output=%s", kept);
    t = train(kept, false, NULL);
    assert_status(dm_training_run(t, &err), DM_OK, &err);
    dm_training_close(t);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        heard h = {.stop = rows[i].stop};
        const dm_callbacks cb = {.size = sizeof cb, .user = &h, .cancelled = cancelled};
        const char *overrides[] = {device, "tune=off", to, rows[i].more};
        const dm_train_options o = {.size = sizeof o, .overrides = overrides, .n_overrides = rows[i].more ? 4 : 3,
                                    .resume = rows[i].resume, .overwrite = true,
                                    .data_changed = rows[i].data_changed, .callbacks = &cb};

        assert_fails(dm_training_open(file, &o, &t, &err), rows[i].status, &err, rows[i].says);
        assert_null(t);
        saved_as_step_6(kept, true);
        assert_fails(dm_train(file, &o, &err), rows[i].status, &err, rows[i].says);
        saved_as_step_6(kept, true);
    }
}

static int set_up(void **state)
{
    const char *on = getenv("DEMIST_DEVICE");
    scratch s = scratch_new();

    (void)state;
    snprintf(dir, sizeof dir, "%s", s.dir);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(file, sizeof file, "%s/configs/moons.yaml", getenv("DEMIST_SOURCE"));
    snprintf(device, sizeof device, "device=%s", on ? on : "auto");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training__driven_by_its_caller), /* what it trains is the model of those that follow */
        cmocka_unit_test(training__step_by_step_is_the_run),
        cmocka_unit_test(training__run_saves_the_last_step),
        cmocka_unit_test(training__overwrite_checks_first),
        cmocka_unit_test(model__second_call_sets_nothing_up),
        cmocka_unit_test(model__calls_change_what_they_say),
        cmocka_unit_test(model__keeps_the_network_for_another_sampler),
        cmocka_unit_test(model__many_shapes),
        cmocka_unit_test(model__refuses_and_goes_on),
        cmocka_unit_test(model__callbacks_of_one_call),
        cmocka_unit_test(model__says_what_it_is),
        cmocka_unit_test(model__messages_name_the_override),
        cmocka_unit_test(model__options_that_nothing_would_read),
        cmocka_unit_test(eval__counts),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
