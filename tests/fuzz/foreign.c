/* Models in diffusers' layout, of which one file is the input; see target.h. What comes is weights with an experiment
 * that reads without a fault of syntax. */
#include "target.h"

#include "experiment/experiment.h"
#include "format/foreign.h"

/* All of a folder. */
static const struct { const char *name, *from; } files[] = {
    {"config.json", "adm"},
    {"scheduler_config.json", "plain"},
    {"diffusion_pytorch_model.safetensors.index.json", "old"},
    {"diffusion_pytorch_model-00001-of-00002.safetensors", "old"},
    {"diffusion_pytorch_model-00002-of-00002.safetensors", "old"},
    {"expected.safetensors", "old"},
};

void fuzz_foreign_begin(scratch *dir)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[2048];
        unsigned char *b;
        size_t n;

        snprintf(path, sizeof path, "%s/diffusers/%s/%s", getenv("DEMIST_TEST_MODELS"), files[i].from, files[i].name);
        b = scratch_read(path, &n);
        scratch_file(dir, files[i].name, b, n);
        free(b);
    }
}

dm_status fuzz_foreign(const fuzz_case *c, dm_err *err)
{
    const dm_experiment_options o = {.lenient_data = true};
    dm_faults faults = {0};
    dm_experiment *e = NULL;
    dm_registry *r;
    dm_err wrong = {0};
    const char *text;
    dm_status rc;
    dm_st *f;

    if ((rc = dm_foreign_open(c->dir->dir, &f, err)))
        return rc;
    text = dm_st_meta(f, "experiment");
    assert_non_null(text);
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &r, &wrong), DM_OK);
    if (dm_experiment_parse(text, strlen(text), "fuzz", ".", &o, r, &e, &faults, &wrong) &&
        (strstr(wrong.msg, "unknown key") || strstr(wrong.msg, "is missing")))
        fail_msg("%s\n%s", wrong.msg, text);
    dm_experiment_free(e);
    dm_faults_fini(&faults);
    dm_registry_free(r);
    dm_st_close(f);
    return DM_OK;
}
