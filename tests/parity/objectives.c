/* Every objective against the formulas of the papers in double precision, by PyTorch: each example's loss within 1e-5
 * of the largest or 1e-4 of itself, and the gradient of their mean by each weight within 1e-4 of its tensor's largest
 * magnitude or of 1e-6 of the network's. Schedule cosine, T = 8, so that the first step, the decoder's, is there too.
 */
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

enum { BATCH = 16, D = 2 };

static void read(const dm_st *f, const char *name, const char *key, int64_t n, float *to)
{
    char full[256];
    const dm_st_tensor *t;
    dm_err err = {0};

    snprintf(full, sizeof full, "%s.%s", name, key);
    if (!(t = dm_st_find(f, full)) || t->count != n || dm_st_read_f32(f, t, 0, n, to, &err))
        fail_msg("%s: %s", full, err.msg);
}

static void compare_gradients(const dm_st *f, const char *name, const dm_layout *l, const float *got)
{
    float *want = calloc(l->total, sizeof *want);
    double network = 0;

    for (int32_t k = 0; k < l->n; k++) {
        read(f, name, l->weights[k].key, dm_layout_count(l, k), want + l->offset[k]);
        network = fmax(network, largest_of(want + l->offset[k], dm_layout_count(l, k)));
    }
    assert_true(network > 1e-3);
    for (int32_t k = 0; k < l->n; k++) {
        const float *a = got + l->offset[k], *b = want + l->offset[k];
        const double size = fmax(largest_of(b, dm_layout_count(l, k)), 1e-2 * network);

        for (int64_t i = 0; i < dm_layout_count(l, k); i++)
            if (!(fabs((double)a[i] - b[i]) <= 1e-4 * size))
                fail_msg("%s: gradient of '%s', element %lld is %.8g; PyTorch has %.8g", name, l->weights[k].key,
                         (long long)i, (double)a[i], (double)b[i]);
    }
    free(want);
}

static void compare_losses(const dm_st *f, const char *name, const float *got)
{
    float want[BATCH];

    read(f, name, "losses", BATCH, want);
    for (int i = 0; i < BATCH; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-5 * largest_of(want, BATCH) + 1e-4 * fabs((double)want[i])))
            fail_msg("%s: loss of example %d is %.8g; PyTorch has %.8g", name, i, (double)got[i], (double)want[i]);
}

/* What all cases share. */
typedef struct world { dm_registry *registry; dm_device *device; const dm_st *goldens; } world;

static void run(const world *w, const char *name, dm_net *m)
{
    const size_t bytes = dm_net_layout(m)->total * sizeof(float);
    float x0[BATCH * D], loss[BATCH], *got = malloc(bytes);
    double u[BATCH], importance[BATCH], weight[BATCH];
    dm_point at[BATCH];
    dm_buf *grads = NULL, *sum = NULL;
    dm_grad_step *g = NULL;
    dm_wset *weights = NULL;
    dm_err err = {0};

    for (int64_t i = 0; i < BATCH * D; i++)
        x0[i] = (float)(start_value("data", (size_t)i) * 2);
    for (int64_t i = 0; i < BATCH; i++) {
        u[i] = dm_train_uniform(7, DM_DRAW_UNIFORM, 0, i, BATCH);
        weight[i] = 1.0 / BATCH;
    }
    if (dm_wset_new(w->device, dm_net_layout(m), &weights, &err) || start_weights(weights, &err))
        fail_msg("%s", err.msg);
    if (dm_buf_new(w->device, bytes, "gradients", &grads, &err) || dm_buf_zero(grads, 0, bytes, &err) ||
        dm_buf_new(w->device, 4, "loss", &sum, &err) || dm_buf_zero(sum, 0, 4, &err) ||
        dm_net_draw(m, BATCH, u, at, importance, &err) ||
        dm_grad_step_new(m, weights, grads, sum, BATCH, false, &g, &err) ||
        dm_grad_step_run(g, &(dm_grad_batch){.x0 = x0, .at = at, .weight = weight, .seed = 7}, &err) ||
        dm_buf_read(grads, 0, bytes, got, &err) || dm_grad_step_losses(g, loss, &err))
        fail_msg("%s: %s", name, err.msg);
    compare_losses(w->goldens, name, loss);
    compare_gradients(w->goldens, name, dm_net_layout(m), got);
    free(got);
    dm_grad_step_free(g);
    dm_wset_free(weights);
    dm_buf_free(grads);
    dm_buf_free(sum);
}

static void check(const world *w, const char *name, const char *objective)
{
    const dm_data_info data = {
        .size = sizeof data, .shape = {1, {D, 1, 1, 1, 1, 1, 1, 1}}, .levels = 256, .low = -1, .high = 1};
    const dm_experiment_options o = {.lenient_data = true};
    dm_experiment *e = NULL;
    dm_noise *noise = NULL;
    dm_net *m = NULL;
    dm_err err = {0};
    char text[512];

    snprintf(text, sizeof text,
             "seed: 7\nschedule: {use: cosine, timesteps: 8}\nobjective: {%s}\nsampler: {use: ddim, steps: 8}\n"
             "network: {use: mlp, width: 8, depth: 1}\n",
             objective);
    if (dm_experiment_parse(text, strlen(text), "objectives", ".", &o, w->registry, &e, NULL, &err) ||
        dm_noise_new(e, &noise, &err) || dm_net_new(e, noise, w->device, &data, 0, &m, &err))
        fail_msg("%s: %s", objective, err.msg);
    run(w, name, m);
    dm_net_free(m);
    dm_noise_free(noise);
    dm_experiment_free(e);
}

static void objectives__equal_the_papers(void **state)
{
    const char *device = getenv("DEMIST_DEVICE");
    char path[1024], line[512];
    world w;
    dm_err err = {0};
    dm_st *f = NULL;
    FILE *list;
    int n = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/objectives.safetensors", getenv("DEMIST_TEST_DATA"));
    if (dm_registry_new(NULL, &w.registry, &err) ||
        dm_device_open(device ? device : "auto", &(dm_device_options){0}, &w.device, &err) ||
        dm_st_open(path, &f, &err))
        fail_msg("%s", err.msg);
    w.goldens = f;
    snprintf(path, sizeof path, "%s/objectives.txt", getenv("DEMIST_TEST_DATA"));
    assert_non_null(list = fopen(path, "r"));
    for (; fgets(line, sizeof line, list); n++) {
        char *objective = strchr(line, ' ');

        line[strcspn(line, "\n")] = 0;
        *objective++ = 0;
        check(&w, line, objective);
    }
    fclose(list);
    assert_true(n > 30);
    dm_st_close(f);
    dm_device_close(w.device);
    dm_registry_free(w.registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(objectives__equal_the_papers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
