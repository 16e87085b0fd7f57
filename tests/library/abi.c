/* An application against the library of today, built by the header that is kept in 1/ (DM_TODAY 0) or by that of today
 * (DM_TODAY 1), with the calls that came later: its structs as they are, cut by a field and, by today's, grown by one.
 * Each lies right before a page that may not be touched, so that a byte read or written beyond its end ends the
 * test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <demist/demist.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GROWN = 16 };

static char dir[] = "/tmp/demist-abi-XXXXXX", run[64], other[64], file[1024], device[280];

/* ---- structs before the abyss --------------------------------------------------------------- */

typedef struct edge {
    unsigned char *page;
    size_t page_size;
    void *p;
} edge;

/* `size` bytes at the end of a page, the first 4 of which say so; the rest is `fill`. */
static edge edge_new(size_t size, int fill)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
    const uint32_t says = (uint32_t)size;
    edge e = {.page_size = room + page};

    e.page = mmap(NULL, e.page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(e.page != MAP_FAILED);
    assert_int_equal(mprotect(e.page + room, page, PROT_NONE), 0);
    e.p = e.page + room - size;
    memset(e.p, fill, size);
    memcpy(e.p, &says, sizeof says);
    return e;
}

static void edge_free(edge *e) { assert_int_equal(munmap(e->page, e->page_size), 0); }

/* Options of these bytes, cut to `size` or grown to it by zeros. */
static edge edge_of(const void *options, size_t have, size_t size)
{
    edge e = edge_new(size, 0);

    memcpy((char *)e.p + 4, (const char *)options + 4, (have < size ? have : size) - 4);
    return e;
}

static void assert_says(dm_status rc, dm_status want, const dm_err *err, const char *says)
{
    if (rc != want || !strstr(err->msg, says))
        fail_msg("status %d, '%s'; expected %d and '%s'", (int)rc, err->msg, (int)want, says);
}

/* ---- what all calls are made of ----------------------------------------------------------------- */

typedef dm_status call_fn(const void *options, void *out, dm_err *err);
typedef struct call {
    const char *name;
    call_fn *run;
    const void *options;               /* with which it works; NULL = it takes none */
    size_t options_size, options_last; /* of all, and without the last field */
    size_t out_size, out_last;         /* 0 = it has no results */
    bool out_whole;                    /* without the last field there is no room for what must be freed */
} call;

static dm_model *model;
static dm_training *training;
static const char *quick[] = {device,          "network.width=8", "network.depth=1",
                              "train.steps=4", "train.batch=8",   "train.log_every=1",
                              "tune=off",      "sampler.steps=2", run};
static const char *others[] = {device,          "network.width=8", "network.depth=1",
                               "train.steps=4", "train.batch=8",   "train.log_every=1",
                               "tune=off",      "sampler.steps=2", other};
static const float x0[4] = {0.1f, -0.2f, 0.3f, 0.4f};
static const double t0[2] = {3, 500};
static char text[32], convert_from[80], convert_to[80], export_to[80];

static dm_status open_model(const void *o, void *out, dm_err *err)
{
    dm_model *m;
    const dm_status rc = dm_model_open(run + strlen("output="), o, &m, err);

    (void)out;
    dm_model_close(m);
    return rc;
}

static dm_status open_training(const void *o, void *out, dm_err *err)
{
    dm_training *t;
    const dm_status rc = dm_training_open(file, o, &t, err);

    (void)out;
    dm_training_close(t);
    return rc;
}

static dm_status info(const void *o, void *out, dm_err *err) { return (void)o, dm_model_info(model, out, err); }

static dm_status sample(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_model_sample(model, o, out, err);

    if (!rc)
        dm_images_free(out);
    return rc;
}

static dm_status predict(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_model_predict(model, o, out, err);

    if (!rc)
        dm_images_free(out);
    return rc;
}

static dm_status state_of(const void *o, void *out, dm_err *err)
{
    return (void)o, dm_training_info(training, out, err);
}
static dm_status check(const void *o, void *out, dm_err *err) { return (void)out, dm_check(file, o, err); }

static dm_status loss(const void *o, void *out, dm_err *err)
{
    return dm_eval_loss(run + strlen("output="), o, out, err);
}

/* These fail after their structs are read, for what the model is. */
static dm_status accuracy(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_eval_accuracy(run + strlen("output="), o, out, err);

    return rc == DM_EINVAL && strstr(err->msg, "classes") ? DM_OK : rc;
}

static dm_status nll(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_eval_nll(run + strlen("output="), o, out, err);

    return rc == DM_EINVAL && strstr(err->msg, "no likelihood") ? DM_OK : rc;
}

static dm_status quality(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_eval_quality("/nonexistent", o, out, err);

#if DM_TODAY
    dm_quality_free(out);
#endif
    return rc == DM_ENOENT ? DM_OK : rc;
}

static dm_status export(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_export(run + strlen("output="), "diffusers", export_to, o, err);

    (void)out;
    return rc == DM_EINVAL && strstr(err->msg, "mlp") ? DM_OK : rc;
}

static dm_status convert(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_convert(convert_from, convert_to, o, err);

    (void)out;
    return rc == DM_ENOENT ? DM_OK : rc;
}

#if DM_TODAY
static dm_status invert(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_model_invert(model, o, out, err);

    if (!rc)
        dm_images_free(out);
    return rc;
}

/* Fails after its structs are read, for what the model is. */
static dm_status upscale(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_model_upscale(model, o, out, err);

    if (!rc)
        dm_images_free(out);
    return rc == DM_EINVAL && strstr(err->msg, "upscaling needs a model") ? DM_OK : rc;
}

static dm_status ode_nll(const void *o, void *out, dm_err *err)
{
    const dm_status rc = dm_eval_ode_nll(run + strlen("output="), o, out, err);

    dm_ode_nll_free(out);
    return rc;
}
#endif

#define END(T, f) (offsetof(T, f) + sizeof(((T *)NULL)->f))
/* The last field of the header that is kept, and of today's. */
#if DM_TODAY
#define WITHOUT(T, kept, now) sizeof(T), offsetof(T, now)
#else
#define WITHOUT(T, kept, now) sizeof(T), offsetof(T, kept)
#endif

/* ---- the tests ------------------------------------------------------------------------------------ */

static void work(const call *c, size_t options_size, size_t out_size, dm_status want, const char *says)
{
    edge o = {0}, out = {0};
    dm_err err = {0};

    if (c->options)
        o = edge_of(c->options, c->options_size, options_size);
    if (c->out_size)
        out = edge_new(out_size, 0xAA);
    assert_says(c->run(o.p, out.p, &err), want, &err, says);
    if (out.p && !want) {
        uint32_t size;

        memcpy(&size, out.p, sizeof size);
        assert_int_equal(size, out_size); /* the caller's */
        for (size_t i = c->out_size; i < out_size; i++)
            assert_int_equal(((unsigned char *)out.p)[i], 0); /* what the library does not know */
    }
    if (o.page)
        edge_free(&o);
    if (out.page)
        edge_free(&out);
}

static void refuses(const call *c, const void *options, void *out, const char *says)
{
    dm_err err = {0};

    assert_says(c->run(options, out, &err), DM_EINVAL, &err, says);
}

static void every_size(const call *c)
{
    edge good =
        edge_of(c->options ? c->options : text, c->options ? c->options_size : 8, c->options ? c->options_size : 8);
    edge out = edge_new(c->out_size ? c->out_size : 8, 0);
    const uint32_t none = 0, wild = 0xAAAAAAAA;

    print_message("  %s\n", c->name);
    work(c, c->options_size, c->out_size, DM_OK, "");
    if (c->options) {
        edge more = edge_of(c->options, c->options_size, c->options_size + GROWN);
        edge small = edge_of(c->options, c->options_size, c->options_size);

        work(c, c->options_last, c->out_size, DM_OK, "");
        if (DM_TODAY) { /* else the library knows what follows */
            work(c, c->options_size + GROWN, c->out_size, DM_OK, "");
            ((unsigned char *)more.p)[c->options_size + 3] = 1;
            refuses(c, more.p, out.p, "use a newer demist");
        }
        memcpy(small.p, &none, sizeof none);
        refuses(c, small.p, out.p, "is 0; set it with sizeof");
        memcpy(small.p, &wild, sizeof wild);
        refuses(c, small.p, out.p, "set it with sizeof");
        edge_free(&more);
        edge_free(&small);
    }
    if (c->out_size) {
        work(c, c->options_size, c->out_last, c->out_whole ? DM_EINVAL : DM_OK,
             c->out_whole ? "set it with sizeof" : "");
        if (DM_TODAY)
            work(c, c->options_size, c->out_size + GROWN, DM_OK, "");
        memcpy(out.p, &none, sizeof none);
        refuses(c, good.p, out.p, "is 0; set it with sizeof");
    }
    edge_free(&good);
    edge_free(&out);
}

static void abi__structs_of_every_size(void **state)
{
    static const dm_callbacks none = {.size = sizeof none};
    const dm_model_options m = {.size = sizeof m, .callbacks = &none};
    const dm_sample_options s = {.size = sizeof s, .count = 3, .callbacks = &none};
    const dm_predict_options p = {.size = sizeof p, .shape = {2, {2, 2}}, .x = x0, .t = t0, .callbacks = &none};
    const dm_train_options t = {
        .size = sizeof t, .overrides = others, .n_overrides = 9, .overwrite = true, .callbacks = &none};
    const dm_check_options k = {.size = sizeof k, .overrides = quick, .n_overrides = 8, .callbacks = &none};
    const dm_loss_options l = {.size = sizeof l, .count = 4, .callbacks = &none};
    const dm_accuracy_options a = {.size = sizeof a, .callbacks = &none};
    const dm_nll_options n = {.size = sizeof n, .callbacks = &none};
    const dm_quality_options q = {.size = sizeof q, .features = run, .callbacks = &none};
    const dm_export_options e = {.size = sizeof e, .callbacks = &none};
    const dm_convert_options v = {.size = sizeof v, .callbacks = &none};
#if DM_TODAY
    const dm_ode_nll_options d = {.size = sizeof d, .steps = 2, .count = 3, .each = true, .callbacks = &none};
    const dm_sample_options w = {
        .size = sizeof w, .start = x0, .start_shape = {2, {2, 2}}, .callbacks = &none};
    const dm_upscale_options u = {.size = sizeof u, .images = x0, .shape = {2, {2, 2}}, .callbacks = &none};
#endif
    const call calls[] = {
        {"dm_model_open", open_model, &m, WITHOUT(dm_model_options, callbacks, ranks), 0, 0, false},
        {"dm_model_info", info, NULL, 0, 0, WITHOUT(dm_model_properties, experiment, examples), false},
        {"dm_model_sample", sample, &s, WITHOUT(dm_sample_options, callbacks, resamplings),
         WITHOUT(dm_images, about, about), false},
        {"dm_model_predict", predict, &p, WITHOUT(dm_predict_options, callbacks, n_conditions),
         WITHOUT(dm_images, about, about), false},
        {"dm_training_open", open_training, &t, WITHOUT(dm_train_options, callbacks, ranks), 0, 0, false},
        {"dm_training_info", state_of, NULL, 0, 0, WITHOUT(dm_training_state, output, output), false},
        {"dm_check", check, &k, WITHOUT(dm_check_options, callbacks, data), 0, 0, false},
        {"dm_eval_loss", loss, &l, WITHOUT(dm_loss_options, callbacks, ranks), WITHOUT(dm_loss, row, row), false},
        {"dm_eval_accuracy", accuracy, &a, WITHOUT(dm_accuracy_options, callbacks, ranks),
         WITHOUT(dm_accuracy, loss, loss), false},
        {"dm_eval_nll", nll, &n, WITHOUT(dm_nll_options, callbacks, ranks), sizeof(dm_nll), offsetof(dm_nll, each),
         true},
        {"dm_eval_quality", quality, &q, WITHOUT(dm_quality_options, callbacks, by_class),
         WITHOUT(dm_quality, about, by_class), false},
        {"dm_export", export, &e, WITHOUT(dm_export_options, callbacks, callbacks), 0, 0, false},
        {"dm_convert", convert, &v, WITHOUT(dm_convert_options, callbacks, callbacks), 0, 0, false},
#if DM_TODAY
        {"dm_model_invert", invert, &w, WITHOUT(dm_sample_options, callbacks, resamplings),
         WITHOUT(dm_images, about, about), false},
        {"dm_model_upscale", upscale, &u, WITHOUT(dm_upscale_options, callbacks, callbacks),
         WITHOUT(dm_images, about, about), false},
        {"dm_eval_ode_nll", ode_nll, &d, WITHOUT(dm_ode_nll_options, callbacks, ranks), sizeof(dm_ode_nll),
         offsetof(dm_ode_nll, each), true},
#endif
    };

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        every_size(&calls[i]);
}

/* Of an image that is written where there is room for x alone, nothing is lost and nothing more is touched. */
static void abi__the_least_that_holds_images(void **state)
{
    const dm_sample_options o = {.size = sizeof o, .count = 3};
    edge out = edge_new(END(dm_images, x), 0xAA), less = edge_new(offsetof(dm_images, x), 0xAA);
    dm_err err = {0};

    (void)state;
    assert_int_equal(dm_model_sample(model, &o, out.p, &err), DM_OK);
    assert_int_equal(((dm_images *)out.p)->shape.dim[0], 3);
    assert_non_null(((dm_images *)out.p)->x);
    dm_images_free(out.p);
    assert_null(((dm_images *)out.p)->x);
    assert_says(dm_model_sample(model, &o, less.p, &err), DM_EINVAL, &err, "set it with sizeof");
    dm_images_free(less.p);
    edge_free(&out);
    edge_free(&less);
}

static int heard;
static void hear(void *user, const dm_progress_info *p) { heard += p->size >= END(dm_progress_info, loss) && user; }
static void log_line(void *user, dm_log_level level, const char *line) { (void)user, (void)level, (void)line; }

static void abi__callbacks_of_every_size(void **state)
{
    const dm_callbacks whole = {.size = sizeof whole, .user = &heard, .log = log_line, .progress = hear};
    const size_t sizes[] = {END(dm_callbacks, progress), sizeof whole, sizeof whole + (DM_TODAY ? GROWN : 0)};
    dm_sample_options o = {.size = sizeof o};
    dm_err err = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        edge cb = edge_of(&whole, sizeof whole, sizes[i]), out = edge_new(sizeof(dm_images), 0);

        heard = 0;
        o.callbacks = cb.p;
        assert_int_equal(dm_model_sample(model, &o, out.p, &err), DM_OK);
        assert_int_equal(heard, 3);
        dm_images_free(out.p);
        memset(cb.p, 0, sizeof(uint32_t));
        assert_says(dm_model_sample(model, &o, out.p, &err), DM_EINVAL, &err, "dm_callbacks is 0");
        edge_free(&cb);
        edge_free(&out);
    }
}

static bool reads_all;
static void check_line(void *user, const char *line)
{
    (void)user;
    reads_all |= strstr(line, "examples of all splits can be read") != NULL;
}

/* What an application leaves between its fields says nothing. */
static void abi__padding_says_nothing(void **state)
{
    dm_check_options o;
    dm_err err = {0};

    (void)state;
    memset(&o, 0xAA, sizeof o);
    o.size = sizeof o;
    o.n_overrides = 8;
    o.overrides = quick;
    o.explain = false;
    o.line = check_line;
    o.line_user = NULL;
    o.callbacks = NULL;
#if DM_TODAY
    o.data = 0;
#endif
    if (dm_check(file, &o, &err))
        fail_msg("%s", err.msg);
    assert_false(reads_all);
#if DM_TODAY
    o.data = 1;
    assert_int_equal(dm_check(file, &o, &err), DM_OK);
    assert_true(reads_all);
#endif
}

/* NULL in the place of options is what options of zeros are; NULL in the place of anything else is refused. */
static void abi__nothing_at_all(void **state)
{
    dm_images im = {.size = sizeof im};
    dm_loss l = {.size = sizeof l};
    dm_model *m;
    dm_err err = {0};

    (void)state;
    assert_int_equal(dm_model_open(run + strlen("output="), NULL, &m, &err), DM_OK);
    assert_int_equal(dm_model_sample(m, NULL, &im, NULL), DM_OK);
    dm_images_free(&im);
    dm_model_close(m);
    dm_model_close(NULL);
    dm_training_close(NULL);
    dm_images_free(NULL);
    dm_nll_free(NULL);
    dm_quality_kept_free(NULL);
#if DM_TODAY
    dm_ode_nll_free(NULL);
    dm_quality_free(NULL);
#endif
    assert_says(dm_model_open(NULL, NULL, &m, &err), DM_EINVAL, &err, "the run is NULL");
    assert_null(m);
    assert_says(dm_model_open(run, NULL, NULL, &err), DM_EINVAL, &err, "was given NULL for the");
    assert_says(dm_model_sample(model, NULL, NULL, &err), DM_EINVAL, &err, "dm_images is NULL");
    assert_says(dm_model_predict(model, NULL, &im, &err), DM_EINVAL, &err, "x is NULL");
    assert_says(dm_model_info(model, NULL, &err), DM_EINVAL, &err, "dm_model_properties is NULL");
    assert_says(dm_training_info(training, NULL, &err), DM_EINVAL, &err, "dm_training_state is NULL");
    assert_says(dm_training_open(file, NULL, NULL, &err), DM_EINVAL, &err, "was given NULL for the");
    assert_says(dm_train(NULL, NULL, &err), DM_EINVAL, &err, "the experiment is NULL");
    assert_says(dm_check(NULL, NULL, &err), DM_EINVAL, &err, "the experiment is NULL");
    assert_says(dm_eval_loss(NULL, NULL, &l, &err), DM_EINVAL, &err, "the run is NULL");
    assert_says(dm_export(run, NULL, NULL, NULL, &err), DM_EINVAL, &err, "format is NULL");
    assert_says(dm_convert(NULL, NULL, NULL, &err), DM_EINVAL, &err, "from is NULL");
}

/* A handle that is NULL, as one is after a failed open. */
static void abi__no_handle(void **state)
{
    dm_model_properties p = {.size = sizeof p};
    dm_training_state s = {.size = sizeof s};
    dm_images im = {.size = sizeof im};
    dm_err err = {0};
    double loss;

    (void)state;
    assert_says(dm_model_info(NULL, &p, &err), DM_EINVAL, &err, "the model is NULL");
    assert_says(dm_model_sample(NULL, NULL, &im, &err), DM_EINVAL, &err, "the model is NULL");
    assert_says(dm_model_predict(NULL, NULL, &im, &err), DM_EINVAL, &err, "the model is NULL");
    assert_says(dm_training_step(NULL, &err), DM_EINVAL, &err, "the training is NULL");
    assert_says(dm_training_validate(NULL, &loss, &err), DM_EINVAL, &err, "the training is NULL");
    assert_says(dm_training_save(NULL, &err), DM_EINVAL, &err, "the training is NULL");
    assert_says(dm_training_info(NULL, &s, &err), DM_EINVAL, &err, "the training is NULL");
    assert_says(dm_training_run(NULL, &err), DM_EINVAL, &err, "the training is NULL");
}

/* ---- a run to ask ----------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    const char *on = getenv("DEMIST_DEVICE");
    const dm_train_options o = {.size = sizeof o, .overrides = quick, .n_overrides = 9};
    dm_err err = {0};

    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(run, sizeof run, "output=%s/run", dir);
    snprintf(other, sizeof other, "output=%s/other", dir);
    snprintf(file, sizeof file, "%s/configs/moons.yaml", getenv("DEMIST_SOURCE"));
    snprintf(device, sizeof device, "device=%s", on ? on : "auto");
    snprintf(convert_from, sizeof convert_from, "%s/none.safetensors", dir);
    snprintf(convert_to, sizeof convert_to, "%s/converted.safetensors", dir);
    snprintf(export_to, sizeof export_to, "%s/exported", dir);
    if (dm_training_open(file, &o, &training, &err) || dm_training_step(training, &err) ||
        dm_training_save(training, &err) || dm_model_open(run + strlen("output="), NULL, &model, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    char clean[128];

    (void)state;
    dm_training_close(training);
    dm_model_close(model);
    snprintf(clean, sizeof clean, "rm -rf '%s'", dir);
    return system(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abi__structs_of_every_size),
        cmocka_unit_test(abi__the_least_that_holds_images),
        cmocka_unit_test(abi__callbacks_of_every_size),
        cmocka_unit_test(abi__padding_says_nothing),
        cmocka_unit_test(abi__nothing_at_all),
        cmocka_unit_test(abi__no_handle),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
