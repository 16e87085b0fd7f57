/* A training step that computes again what it does not keep gives the bits of one that keeps it, in less memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/session.h"
#include "train/training.h"

enum { BATCH = 32, SIDE = 16, ELEMENTS = BATCH * SIDE * SIDE };

#define DIFFUSION "seed: 7\nschedule: {use: linear}\nobjective: {use: simple}\nsampler: {use: ddim}\nnetwork: "

static const char plain[] = DIFFUSION "{use: unet, channels: [16, 16], attend: [0, 1], layers: 1, groups: 8, dropout: "
                                      "0.1}\n";
static const char scaled[] = DIFFUSION "{use: unet, channels: [16, 16], attend: [0, 0], layers: 1, groups: 8, dropout: "
                                       "0, scale_shift: true, "
                                       "down_resnet: [1, 0], up_resnet: [0, 1]}\n";

typedef struct step { float loss, *grads; size_t bytes, arena; } step;

/* Not zero anywhere, as some weights are at first. */
static void set_weights(dm_wset *set)
{
    const dm_layout *l = dm_wset_layout(set);
    float *host = malloc(l->total * sizeof *host);
    dm_err err = {0};

    assert_non_null(host);
    for (size_t i = 0; i < l->total; i++)
        host[i] = (float)(i * 2654435761u % 1000) * 2e-4f - 0.1f;
    if (dm_buf_write(dm_wset_flat(set), 0, l->total * sizeof *host, host, &err))
        fail_msg("%s", err.msg);
    dm_wset_touch(set);
    free(host);
}

/* Micro-batches, of which the second adds to what the first left; alone: the same batch each time, which must not. */
static void run(dm_session *s, dm_wset *w, dm_buf *grads, dm_buf *sum, uint32_t runs, bool alone, step *out)
{
    static float x0[ELEMENTS];
    double u[BATCH], importance[BATCH], weight[BATCH];
    dm_point at[BATCH];
    dm_grad_step *g = NULL;
    dm_err err = {0};

    for (int i = 0; i < ELEMENTS; i++)
        x0[i] = (float)(i % 17) / 8 - 1;
    for (int i = 0; i < BATCH; i++) {
        u[i] = dm_train_uniform(7, DM_DRAW_UNIFORM, 0, i, BATCH);
        weight[i] = 0.5 / BATCH;
    }
    if (dm_net_draw(s->model, BATCH, u, at, importance, &err) ||
        dm_grad_step_new(s->model, w, grads, sum, BATCH, alone, &g, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(dm_grad_step_writes(g), alone);
    for (uint32_t k = 0; k < runs; k++)
        if (dm_grad_step_run(
                g,
                &(dm_grad_batch){.x0 = x0, .at = at, .weight = weight, .seed = 7, .first_index = alone ? 0 : k * BATCH},
                &err))
            fail_msg("%s", err.msg);
    out->arena = dm_plan_get_info(dm_grad_step_plan(g)).arena_bytes;
    if (dm_buf_read(grads, 0, out->bytes, out->grads, &err) || dm_buf_read(sum, 0, sizeof out->loss, &out->loss, &err))
        fail_msg("%s", err.msg);
    dm_grad_step_free(g);
}

static step made(const char *experiment, const char *precision, const char *recompute, uint32_t runs, bool alone)
{
    const char *device = getenv("DEMIST_DEVICE");
    char on[256];
    const char *overrides[] = {on, precision, recompute, "deterministic=true"};
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = 4, .lenient_data = true};
    dm_session s = {.data = {.size = sizeof s.data, .shape = {3, {1, SIDE, SIDE, 1, 1, 1, 1, 1}}}};
    dm_buf *grads = NULL, *sum = NULL;
    dm_wset *w = NULL;
    dm_err err = {0};
    step out = {0};

    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    if (dm_registry_new(NULL, &s.registry, &err) ||
        dm_experiment_parse(experiment, strlen(experiment), "recompute", ".", &o, s.registry, &s.experiment, NULL,
                            &err) ||
        dm_noise_new(s.experiment, &s.noise, &err) || dm_session_open(&s, false, &err) ||
        dm_wset_new(s.device, dm_net_layout(s.model), &w, &err))
        fail_msg("%s", err.msg);
    set_weights(w);
    out.bytes = dm_net_layout(s.model)->total * sizeof(float);
    assert_non_null(out.grads = malloc(out.bytes));
    if (dm_buf_new(s.device, out.bytes, "gradients", &grads, &err) || dm_buf_zero(grads, 0, out.bytes, &err) ||
        dm_buf_new(s.device, sizeof(float), "loss", &sum, &err) || dm_buf_zero(sum, 0, sizeof(float), &err))
        fail_msg("%s", err.msg);
    run(&s, w, grads, sum, runs, alone, &out);
    assert_int_equal(dm_wset_packed_bytes(w), 0); /* they are made anew for each op that reads them */
    dm_wset_free(w);
    dm_buf_free(grads);
    dm_buf_free(sum);
    dm_session_fini(&s);
    return out;
}

static void check(const char *name, const char *experiment, const char *precision)
{
    step a = made(experiment, precision, "train.recompute=false", 2, false),
         b = made(experiment, precision, "train.recompute=true", 2, false);
    bool zero = true;

    printf("%s, %s: activations in %zu bytes, computed again in %zu\n", name, precision, a.arena, b.arena);
    for (size_t i = 0; i < a.bytes / sizeof *a.grads; i++)
        zero &= a.grads[i] == 0;
    assert_false(zero);
    assert_true(a.loss > 0);
    assert_memory_equal(&a.loss, &b.loss, sizeof a.loss);
    assert_memory_equal(a.grads, b.grads, a.bytes);
    assert_true(b.arena < a.arena);
    free(a.grads);
    free(b.grads);
}

/* Gradients of a batch that is one micro-batch are written: twice the same is the same as once, where zero has no sign.
 */
static void check_alone(const char *experiment, const char *precision)
{
    step a = made(experiment, precision, "train.recompute=true", 1, false),
         b = made(experiment, precision, "train.recompute=true", 2, true);

    for (size_t i = 0; i < a.bytes / sizeof *a.grads; i++)
        if (a.grads[i] != b.grads[i])
            fail_msg("gradient %zu is %g, %g where it is written", i, (double)a.grads[i], (double)b.grads[i]);
    free(a.grads);
    free(b.grads);
}

static void gradients__written(void **state)
{
    (void)state;
    check_alone(plain, "precision=fp32");
    check_alone(plain, "precision=bf16");
    check_alone(scaled, "precision=fp32");
}

static void recompute__dropout_and_attention(void **state)
{
    (void)state;
    check("plain", plain, "precision=fp32");
    check("plain", plain, "precision=bf16");
}

static void recompute__scale_shift_and_pools(void **state)
{
    (void)state;
    check("scaled", scaled, "precision=fp32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recompute__dropout_and_attention),
                                       cmocka_unit_test(recompute__scale_shift_and_pools),
                                       cmocka_unit_test(gradients__written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
