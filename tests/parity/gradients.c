/* The gradients of the first training step against PyTorch's in double precision: each within 1e-4 of its tensor's
 * largest magnitude, or of 1e-6 of the network's (some weights, as a key's bias, have a gradient of rounding noise
 * alone). In bf16, whose numbers are apart by 2^-7, the whole gradient within 1% of its norm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/session.h"
#include "selftest/start_values.h"
#include "train/training.h"

enum { BATCH = 4 };

static void compare_each(const char *name, const dm_layout *l, const float *got, const float *want, double network)
{
    double worst = 0;

    for (int32_t k = 0; k < l->n; k++) {
        const float *a = got + l->offset[k], *b = want + l->offset[k];
        const int64_t n = dm_layout_count(l, k);
        const double size = fmax(largest_of(b, n), 1e-6 * network / 1e-4);

        for (int64_t i = 0; i < n; i++) {
            worst = fmax(worst, fabs((double)a[i] - b[i]) / size);
            if (!(fabs((double)a[i] - b[i]) <= 1e-4 * size))
                fail_msg("%s: gradient of '%s', element %lld is %.8g; PyTorch has %.8g", name, l->weights[k].key,
                         (long long)i, (double)a[i], (double)b[i]);
        }
    }
    printf("%s: %d tensors, largest difference %.1e of a tensor's largest\n", name, (int)l->n, worst);
}

/* Rounding is there, and no more than that. */
static void compare_norm(const char *name, const dm_layout *l, const float *got, const float *want)
{
    double norm = 0, off = 0;

    for (size_t i = 0; i < l->total; i++) {
        norm += (double)want[i] * (double)want[i];
        off += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    }
    printf("%s, bf16: differs by %.1e of its norm\n", name, sqrt(off / norm));
    if (!(sqrt(off / norm) <= 1e-2 && sqrt(off / norm) > 1e-4))
        fail_msg("%s, bf16: the gradient differs by %.1e of its norm", name, sqrt(off / norm));
}

static void compare(const char *file, const char *name, const dm_layout *l, const float *got, bool bf16)
{
    const char *folder = getenv("DEMIST_TEST_DATA");
    double network = 0;
    char path[1024], key[256];
    dm_err err = {0};
    float *want;
    dm_st *f = NULL;

    snprintf(path, sizeof path, "%s/%s.safetensors", folder, file);
    if (dm_st_open(path, &f, &err))
        fail_msg("%s", err.msg);
    assert_non_null(want = calloc(l->total, sizeof *want));
    for (int32_t k = 0; k < l->n; k++) {
        const dm_st_tensor *t;

        snprintf(key, sizeof key, "%s.%s", name, l->weights[k].key);
        if (dm_st_expect(f, key, &l->weights[k].shape, &t, &err) ||
            dm_st_read_f32(f, t, 0, t->count, want + l->offset[k], &err))
            fail_msg("%s", err.msg);
        network = fmax(network, largest_of(want + l->offset[k], t->count));
    }
    if (bf16)
        compare_norm(name, l, got, want);
    else
        compare_each(name, l, got, want, network);
    free(want);
    dm_st_close(f);
}

#define DIFFUSION "seed: 7\nschedule: {use: linear}\nobjective: {use: simple}\nsampler: {use: ddim}\nnetwork: "

/* A network of which the file has what PyTorch says. */
typedef struct network {
    const char *file, *name, *experiment;
    dm_shape shape;
    int32_t classes;
    bool diffuses, told;
} network;

static const int32_t labels[BATCH] = {0, 1, 2, 0};

/* What tools/make_dit_goldens.py tells of each example: of the sequence, as many rows as its number. */
static const dm_condition conditions[] = {
    {"vector", DM_CONDITION_VECTOR, 0, {1, {5, 1, 1, 1, 1, 1, 1, 1}}},
    {"image", DM_CONDITION_IMAGE, 0, {3, {1, 8, 8, 1, 1, 1, 1, 1}}},
    {"sequence", DM_CONDITION_SEQUENCE, 0, {2, {3, 6, 1, 1, 1, 1, 1, 1}}},
};
enum { CONDITIONS = sizeof conditions / sizeof conditions[0] };

static void tell(dm_condition_batch *t, const dm_net *m)
{
    float value[64] = {0};
    dm_err err = {0};

    if (dm_condition_batch_init(t, dm_net_conditions(m), BATCH, &err))
        fail_msg("%s", err.msg);
    for (int32_t k = 0; k < t->conditions; k++)
        for (int64_t i = 0; i < BATCH; i++) {
            const int64_t there = t->length[k] ? i * t->size[k] / t->length[k] : t->size[k];

            for (int64_t j = 0; j < t->size[k]; j++)
                value[j] = j < there ? (float)start_value("told", (size_t)(i * t->size[k] + j)) : 0;
            dm_condition_batch_set(t, k, i, value, i);
        }
}

static void open_session(dm_session *s, const network *of, const char *precision, dm_wset **w)
{
    const char *device = getenv("DEMIST_DEVICE");
    char on[256], in[64];
    const char *overrides[] = {on, in};
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = 2, .lenient_data = true};
    dm_err err = {0};

    *s = (dm_session){.data = {.size = sizeof s->data, .shape = of->shape, .classes = of->classes}};
    s->data.n_conditions = of->told ? CONDITIONS : 0;
    memcpy(s->data.conditions, conditions, sizeof conditions);
    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    snprintf(in, sizeof in, "precision=%s", precision);
    if (dm_registry_new(NULL, &s->registry, &err) ||
        dm_experiment_parse(of->experiment, strlen(of->experiment), "gradients", ".", &o, s->registry, &s->experiment,
                            NULL, &err) ||
        (of->diffuses && dm_noise_new(s->experiment, &s->noise, &err)) || dm_session_open(s, false, &err) ||
        dm_wset_new(s->device, dm_net_layout(s->model), w, &err) || start_weights(*w, &err))
        fail_msg("%s", err.msg);
}

static void fill_data(float *x0, const dm_shape *shape)
{
    for (int64_t i = 0; i < BATCH * dm_shape_count(shape); i++)
        x0[i] = (float)(start_value("data", (size_t)i) * 2);
}

static void check_in(const char *precision, const network *of)
{
    float x0[BATCH * 64], *got;
    double u[BATCH], importance[BATCH], weight[BATCH];
    dm_point at[BATCH];
    dm_buf *grads = NULL, *sum = NULL;
    dm_grad_step *g = NULL;
    dm_wset *w = NULL;
    dm_session s;
    dm_condition_batch told;
    dm_err err = {0};
    size_t bytes;

    open_session(&s, of, precision, &w);
    tell(&told, s.model);
    bytes = dm_net_layout(s.model)->total * sizeof(float);
    fill_data(x0, &of->shape);
    for (int64_t i = 0; i < BATCH; i++) {
        u[i] = dm_train_uniform(7, DM_DRAW_UNIFORM, 0, i, BATCH);
        weight[i] = 1.0 / BATCH;
    }
    if (dm_buf_new(s.device, bytes, "gradients", &grads, &err) || dm_buf_zero(grads, 0, bytes, &err) ||
        dm_buf_new(s.device, 4, "loss", &sum, &err) || dm_buf_zero(sum, 0, 4, &err) ||
        (of->diffuses && dm_net_draw(s.model, BATCH, u, at, importance, &err)) ||
        dm_grad_step_new(s.model, w, grads, sum, BATCH, false, &g, &err) ||
        dm_grad_step_run(g,
                         &(dm_grad_batch){.x0 = x0,
                                          .labels = of->classes ? labels : NULL,
                                          .at = of->diffuses ? at : NULL,
                                          .weight = weight,
                                          .conditions = &told,
                                          .seed = 7},
                         &err))
        fail_msg("%s", err.msg);
    assert_non_null(got = malloc(bytes));
    if (dm_buf_read(grads, 0, bytes, got, &err))
        fail_msg("%s", err.msg);
    compare(of->file, of->name, dm_net_layout(s.model), got, !strcmp(precision, "bf16"));
    free(got);
    dm_condition_batch_fini(&told);
    dm_grad_step_free(g);
    dm_wset_free(w);
    dm_buf_free(grads);
    dm_buf_free(sum);
    dm_session_fini(&s);
}

static void check(const network *of)
{
    check_in("fp32", of);
    if (of->shape.rank == 3)
        check_in("bf16", of);
}

static void read_output(const network *of, int64_t n, float *want)
{
    char path[1024], key[64];
    const dm_st_tensor *t;
    dm_err err = {0};
    dm_st *f = NULL;

    snprintf(path, sizeof path, "%s/%s.safetensors", getenv("DEMIST_TEST_DATA"), of->file);
    snprintf(key, sizeof key, "%s.output", of->name);
    if (dm_st_open(path, &f, &err) || !(t = dm_st_find(f, key)) || t->count != n ||
        dm_st_read_f32(f, t, 0, n, want, &err))
        fail_msg("%s: %s", key, err.msg);
    dm_st_close(f);
}

/* What the network says of the data at four noise levels, within 1e-4 of the largest. */
static void check_output(const network *of)
{
    const double c_in[BATCH] = {1, 1, 1, 1}, t[BATCH] = {0, 3, 500, 999};
    const int64_t n = BATCH * dm_shape_count(&of->shape);
    float x[BATCH * 64], got[BATCH * 64], want[BATCH * 64];
    dm_forward *f = NULL;
    dm_wset *w = NULL;
    dm_session s;
    dm_condition_batch told;
    dm_err err = {0};

    open_session(&s, of, "fp32", &w);
    tell(&told, s.model);
    fill_data(x, &of->shape);
    if (dm_forward_new(s.model, w, BATCH, NULL, &f, &err) || dm_forward_set_conditions(f, &told, 1, &err) ||
        dm_buf_write(dm_forward_input(f), 0, (size_t)n * sizeof *x, x, &err) ||
        dm_forward_run(f, c_in, t, of->classes ? labels : NULL, &err) ||
        dm_buf_read(dm_forward_output(f), 0, (size_t)n * sizeof *got, got, &err))
        fail_msg("%s", err.msg);
    read_output(of, n, want);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-4 * largest_of(want, n)))
            fail_msg("%s: element %lld of the output is %.8g; PyTorch has %.8g", of->name, (long long)i,
                     (double)got[i], (double)want[i]);
    dm_condition_batch_fini(&told);
    dm_forward_free(f);
    dm_wset_free(w);
    dm_session_fini(&s);
}

static void gradients__perceptron(void **state)
{
    (void)state;
    check(&(network){"gradients", "mlp", DIFFUSION "{use: mlp, width: 16, depth: 2}\n",
                     {1, {2, 1, 1, 1, 1, 1, 1, 1}}, 0, true, false});
}

static void gradients__unet(void **state)
{
    (void)state;
    check(&(network){"gradients", "unet",
                     DIFFUSION "{use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4, dropout: 0}\n",
                     {3, {1, 8, 8, 1, 1, 1, 1, 1}}, 0, true, false});
}

/* No diffusion: the loss of labels, on the data as they are. */
static void gradients__classifier(void **state)
{
    (void)state;
    check(&(network){"classifier_gradients", "classifier",
                     "objective: {use: classify}\n"
                     "network: {use: classifier, channels: [4, 8], groups: 2, features: 6}\n",
                     {3, {1, 8, 8, 1, 1, 1, 1, 1}}, 3, false, false});
}

/* As published, and with all that is optional; see tools/make_dit_goldens.py. */
static void gradients__transformer(void **state)
{
    static const network each[] = {
        {"dit", "published", DIFFUSION "{use: dit, width: 16, depth: 2, heads: 2, time_in: 16}\n",
         {3, {1, 8, 8, 1, 1, 1, 1, 1}}, 3, true, false},
        {"dit", "rope", DIFFUSION "{use: dit, width: 16, depth: 1, heads: 2, patch: 4, time_in: 8, mlp_ratio: 1.5, "
         "positions: rope, norm: rms, qk_norm: rms}\n", {3, {1, 8, 8, 1, 1, 1, 1, 1}}, 3, true, false},
        {"dit", "plain", DIFFUSION "{use: dit, width: 12, depth: 1, heads: 3, patch: 1, time_in: 8, mlp_ratio: 2, "
         "positions: none, qk_norm: layer, class_embed: false}\n", {3, {3, 4, 4, 1, 1, 1, 1, 1}}, 3, true, false},
        {"dit", "told", DIFFUSION "{use: dit, width: 16, depth: 1, heads: 2, patch: 4, time_in: 8, mlp_ratio: 2}\n",
         {3, {1, 8, 8, 1, 1, 1, 1, 1}}, 0, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        check_output(&each[i]);
        check(&each[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients__perceptron), cmocka_unit_test(gradients__unet),
                                       cmocka_unit_test(gradients__classifier),
                                       cmocka_unit_test(gradients__transformer)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
