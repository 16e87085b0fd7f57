/* The table of what is fuzzed; see target.h. */
#include "target.h"

static const fuzz_target targets[] = {
    {"safetensors", "f", fuzz_safetensors, fuzz_mend_safetensors, NULL},
    {"checkpoint", "f", fuzz_checkpoint, fuzz_mend_safetensors, NULL},
    {"guided_diffusion", NULL, fuzz_guided_diffusion, NULL, NULL},
    {"array", "f", fuzz_array, fuzz_mend_array, NULL},
    {"npy", "f", fuzz_npy, fuzz_mend_npy, NULL},
    {"idx", "f", fuzz_idx, NULL, NULL},
    {"png", "f.png", fuzz_image, fuzz_mend_png, NULL},
    {"jpeg", "f.jpg", fuzz_image, NULL, NULL},
    {"webp", "f.webp", fuzz_image, NULL, NULL},
    {"archive", "f", fuzz_archive, NULL, NULL},
    {"table", "f.csv", fuzz_table, NULL, fuzz_table_begin},
    {"dataset_json", "f.json", fuzz_table, NULL, fuzz_table_begin},
    {"inspect", "f", fuzz_inspect, fuzz_mend_array, NULL},
    {"events", "f", fuzz_events, fuzz_mend_events, NULL},
    {"log", "f", fuzz_log, NULL, NULL},
    {"choices", NULL, fuzz_choices, NULL, NULL},
    {"resolved", NULL, fuzz_resolved, NULL, NULL},
    {"experiment", NULL, fuzz_experiment, NULL, NULL},
    {"formula", NULL, fuzz_formula, NULL, NULL},
    {"diffusers_config", "config.json", fuzz_foreign, NULL, fuzz_foreign_begin},
    {"diffusers_scheduler", "scheduler_config.json", fuzz_foreign, NULL, fuzz_foreign_begin},
    {"diffusers_index", "diffusion_pytorch_model.safetensors.index.json", fuzz_foreign, NULL, fuzz_foreign_begin},
    {"json", NULL, fuzz_json, NULL, NULL},
    {"plain_text", NULL, fuzz_plain_text, NULL, NULL},
    {"plugin", "f.so", fuzz_plugin, NULL, NULL},
};

static scratch dir;

const fuzz_target *fuzz_find(const char *name)
{
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (!strcmp(targets[i].name, name))
            return &targets[i];
    return NULL;
}

/* In memory where that is had: file systems write what replaces a file as soon as it is closed. */
static scratch make_folder(void)
{
    scratch s = {.dir = "/dev/shm/fuzz-XXXXXX"};

    return mkdtemp(s.dir) ? s : scratch_new();
}

void fuzz_begin(const fuzz_target *t)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* an assertion that fails ends the process there, before the folder goes */
    dir = make_folder();
    printf("%s, in %s\n", t->name, dir.dir);
    fflush(stdout);
    if (t->begin)
        t->begin(&dir);
}

void fuzz_end(void) { scratch_remove(dir.dir); }

dm_status fuzz_one(const fuzz_target *t, const unsigned char *b, size_t n)
{
    char *text = malloc(n ? n : 1);
    dm_err err = {DM_OK, ""};
    fuzz_case c = {.dir = &dir, .text = text, .n = n};
    dm_status rc;

    assert_non_null(text);
    memcpy(text, b, n);
    if (t->file)
        c.path = scratch_file(&dir, t->file, b, n);
    rc = t->read(&c, &err);
    free(text);
    if (rc != err.code || (rc && !err.msg[0]))
        fail_msg("status %d, of which the error says %d: '%s'", (int)rc, (int)err.code, err.msg);
    return rc;
}

char *fuzz_string(const fuzz_case *c)
{
    char *s = strndup(c->text, c->n);

    assert_non_null(s);
    return s;
}
