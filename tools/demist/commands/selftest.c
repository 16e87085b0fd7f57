/* demist selftest: may this device be trusted? */
#include "selftest/selftest.h"

#include <stdio.h>

#include <jansson.h>

#include "text/json_text.h"
#include "device/device.h"
#include "device/doctor.h"
#include "options/command.h"
#include "terminal/process.h"
#include "terminal/signals.h"

typedef struct request { const char *device; bool json; } request;

static const cli_option options[] = {
    CLI_DEVICE(request, device, "cpu, gpu, part of a name, or i:j as demist devices shows"),
    CLI_FLAG(request, json, "json", "a report as JSON on standard output, the lines on standard error"), CLI_END};

/* Programs are not built where a signal came. */
static bool may_build(void *user, const char *program)
{
    (void)user;
    (void)program;
    cli_watch_aborts();
    return !cli_signal();
}

static int print_report(const selftest *t, const dm_device_info *about)
{
    json_t *j = json_pack("{s:s, s:o, s:O, s:i, s:i, s:i, s:b}", "demist", dm_version(), "device",
                          dm_device_json(about), "checks", t->checks, "passed", t->passed, "failed", t->failed,
                          "not_possible", t->impossible, "stopped", t->stopped);

    return cli_print_json(j);
}

static int run(cli_call *call)
{
    const request *q = call->options;
    const dm_device_options o = {.bf16 = true, .high = true, .building = may_build};
    selftest t = {.out = q->json ? stderr : stdout, .signalled = cli_signal};
    dm_device_info about;
    dm_device *d;
    dm_err err = {0};
    int code = 0;

    cli_catch_signals("stopping after this check", 0);
    cli_steps_begun();
    dm_json_begin();
    if (q->json && !(t.checks = json_array()))
        return cli_no_memory();
    if (dm_device_open(q->device, &o, &d, &err)) {
        json_decref(t.checks);
        return cli_signal() ? 128 + cli_signal() : cli_fail(&err);
    }
    about = *dm_device_get_info(d);
    fprintf(t.out, "device: %s (%s), driver %s\n", about.name, about.platform_name, about.driver);
    selftest_run_random(d, &t);
    selftest_run_ops(d, &t);
    dm_device_close(d);
    if (!t.stopped)
        selftest_run_training(q->device, &t);
    if (t.impossible)
        fprintf(t.out, "%d implementations do not run on this device, others are used in their place\n", t.impossible);
    fprintf(t.out, "%s%d passed, %d failed\n", t.stopped ? "stopped: " : "", t.passed, t.failed);
    if (q->json)
        code = print_report(&t, &about);
    json_decref(t.checks);
    return t.stopped ? 128 + cli_signal() : code ? code : t.failed ? 1 : 0;
}

const cli_command cmd_selftest = {
    .name = "selftest",
    .summary = "check a device: every op, the random numbers, training",
    .options = options,
    .size = sizeof(request),
    .examples = "  demist selftest --device gpu\n  demist selftest --device gpu --json > report.json\n",
    .details = "Every op by each of its implementations against committed values, the random numbers' known "
               "answers, and twenty training steps of two networks against committed losses. Run it on a new GPU "
               "before trusting it. Each check is shown before it runs, so that the last line names one that crashes "
               "or "
               "hangs. Implementations that the device cannot run are skipped, as they are in training.\n",
    .run = run};
