/* Twenty steps of training against committed losses, of a perceptron and a small U-Net. */
#include "selftest/selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftest/start_values.h"
#include "train/trainer.h"

#define TOLERANCE 2e-4 /* relative, of each of the losses */
enum { BATCH = 4 };

static dm_status steps(dm_session *s, const selftest *checks, const double *losses, double *worst, dm_err *err)
{
    const size_t count = BATCH * (size_t)dm_shape_count(&s->data.shape);
    float *x0 = malloc(count * sizeof *x0);
    dm_trainer *t = NULL;
    dm_status rc = x0 ? dm_trainer_new(s, 0, &t, err) : dm_error(err, DM_ENOMEM, "out of memory");

    if (!rc)
        rc = start_weights(dm_trainer_state(t)->model, err);
    for (int i = 0; i < SELFTEST_STEPS && !rc; i++) {
        dm_train_numbers n;

        for (size_t k = 0; k < count; k++)
            x0[k] = (float)(start_value("data", (size_t)i * count + k) * 2);
        if (checks->signalled())
            rc = dm_error(err, DM_ECANCELLED, "stopped");
        else if (!(rc = dm_trainer_step(t, x0, NULL, err)) && !(rc = dm_trainer_numbers(t, &n, err))) {
            *worst = fmax(*worst, fabs(n.loss - losses[i]) / losses[i]);
            if (!(fabs(n.loss - losses[i]) <= TOLERANCE * losses[i]))
                rc = dm_error(err, DM_EDEVICE, "the loss of step %d is %.7g, not %.7g", i + 1, n.loss, losses[i]);
        }
    }
    dm_trainer_free(t);
    free(x0);
    return rc;
}

static void train(const char *device, const char *what, const char *network, dm_shape shape, const double *losses,
                  selftest *t)
{
    static const char common[] = "name: selftest\nseed: 7\nschedule: {use: linear}\nobjective: {use: simple}\nsampler: "
                                 "{use: ddim}\n"
                                 "train: {batch: 4, lr: 1e-3, weight_decay: 0.01, ema: []}\n";
    char text[1024], on[256];
    const char *override = on;
    const dm_experiment_options o = {.overrides = &override, .n_overrides = 1, .lenient_data = true};
    dm_session s = {.data = {.size = sizeof s.data, .shape = shape}};
    double worst = 0;
    dm_err err = {0};

    if (!selftest_begin(t, what))
        return;
    snprintf(text, sizeof text, "%snetwork: %s\n", common, network);
    snprintf(on, sizeof on, "device=%s", device);
    if (!dm_registry_new(NULL, &s.registry, &err) &&
        !dm_experiment_parse(text, strlen(text), "selftest", ".", &o, s.registry, &s.experiment, NULL, &err) &&
        !dm_noise_new(s.experiment, &s.noise, &err) && !dm_session_open(&s, false, &err))
        steps(&s, t, losses, &worst, &err);
    dm_session_fini(&s);
    selftest_end(t, err.code ? SELFTEST_FAILED : SELFTEST_PASSED, worst, err.code ? err.msg : NULL);
}

void selftest_run_training(const char *device, selftest *t)
{
    train(device, "perceptron, 20 training steps", "{use: mlp, width: 16, depth: 2}",
          (dm_shape){1, {2, 1, 1, 1, 1, 1, 1, 1}}, selftest_mlp_losses, t);
    train(device, "U-Net, 20 training steps",
          "{use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4, dropout: 0}",
          (dm_shape){3, {1, 8, 8, 1, 1, 1, 1, 1}}, selftest_unet_losses, t);
}
