/* Experiments: bad ones with all their faults, overrides, includes, and that what is printed reads back
 * as the same experiment. */
#define _XOPEN_SOURCE 700
#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>

#include "experiment/experiment.h"
#include "settings/param.h"

static const char moons[] =
    "name: moons\n"
    "seed: 7\n"
    "data: {use: toy2d, shape: moons}\n"
    "schedule: {use: linear, timesteps: 100, beta_start: 1.0e-4, beta_end: 0.02}\n"
    "network: {use: mlp, width: 16}\n"
    "objective: {use: simple, predict: eps}\n"
    "sampler: {use: ddim, steps: 5, eta: 0}\n"
    "train: {steps: 30, batch: 8, ema: 0.995}\n";

typedef struct { dm_registry *registry; dm_experiment *e; dm_faults faults; dm_status rc; dm_err err; } loaded;

static void load_with(loaded *l, const char *text, size_t n, const char *name, const char *dir,
                      const dm_experiment_options *o)
{
    *l = (loaded){0};
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &l->registry, &l->err), DM_OK);
    l->rc = dm_experiment_parse(text, n, name, dir, o, l->registry, &l->e, &l->faults, &l->err);
}

static void release(loaded *l)
{
    dm_experiment_free(l->e);
    dm_faults_fini(&l->faults);
    dm_registry_free(l->registry);
}

/* ---- faults ------------------------------------------------------------------------- */

static void check_bad(const char *folder, const char *file)
{
    const dm_experiment_options o = {.need_data = true};
    char path[2048], expected[2048];
    size_t n, m;
    unsigned char *text, *says;
    loaded l;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    snprintf(expected, sizeof expected, "%s/%.*s.txt", folder, (int)(strlen(file) - 5), file);
    text = scratch_read(path, &n);
    says = scratch_read(expected, &m);
    assert_non_null(says);
    load_with(&l, (const char *)text, n, file, folder, &o);
    assert_int_equal(l.rc, DM_EINVAL);
    assert_null(l.e);
    if (strlen(l.faults.text) != m || memcmp(l.faults.text, says, m))
        fail_msg("%s: faults are\n%s", file, l.faults.text);
    assert_memory_equal(l.err.msg, l.faults.text, strlen(l.err.msg));
    release(&l);
    free(text);
    free(says);
}

static void bad__all_faults(void **state)
{
    const char *folder = getenv("DEMIST_TEST_BAD");
    DIR *d = opendir(folder);
    const struct dirent *e;
    int n = 0;

    (void)state;
    assert_non_null(d);
    while ((e = readdir(d))) {
        const size_t length = strlen(e->d_name);

        if (length > 5 && !strcmp(e->d_name + length - 5, ".yaml")) {
            check_bad(folder, e->d_name);
            n++;
        }
    }
    closedir(d);
    assert_true(n >= 20);
}

static void bad__overrides(void **state)
{
    static const struct { const char *override, *says;
    } cases[] = {
        {"schedule.beta_start=2",
         "command line: argument 2: error: schedule.beta_start: 2 is outside [1e-09, 1] (beta of the first step)\n"
         "  schedule.beta_start=2\n                      ^\n"},
        {"schedule.beta_strat=0.1",
         "command line: argument 2: error: schedule.beta_strat: unknown key; did you mean 'beta_start'?\n"
         "  schedule.beta_strat=0.1\n  ^\n"},
        {"steps", "command line: argument 2: error: 'steps' is not of the form key=value\n  steps\n  ^\n"},
        {"=3", "command line: argument 2: error: '=3' is not of the form key=value\n  =3\n  ^\n"},
        {"smapler.steps=3",
         "command line: argument 2: error: smapler: unknown key; did you mean 'sampler'?\n  smapler.steps=3\n  ^\n"},
        {"train.steps.x=3", "command line: argument 2: error: train.steps.x: unknown key; did you mean 'steps'?\n"
                            "  train.steps.x=3\n  ^\n"},
        {"train.steps=[1",
         "command line: argument 2: error: did not find expected ',' or ']', while parsing a flow sequence"},
        {"train=3",
         "command line: argument 2: error: train: must be a map, like {key: value}\n  train=3\n        ^\n"},
        {"include=x.yaml", "command line: argument 2: error: include: only allowed in a file\n"},
        {"sampler.use=dimd",
         "command line: argument 2: error: sampler.use: there is no sampler 'dimd'; did you mean 'ddim'?\n"},
        {"name=", "command line: argument 2: error: name: '' is not a valid folder name"},
        {"train.lr=&a *a", "command line: argument 2: error: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const overrides[] = {"seed=3", cases[i].override};
        const dm_experiment_options o = {.overrides = overrides, .n_overrides = 2};
        loaded l;

        load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/", &o);
        assert_int_equal(l.rc, DM_EINVAL);
        if (strncmp(l.faults.text, cases[i].says, strlen(cases[i].says)))
            fail_msg("%s: faults are\n%s", cases[i].override, l.faults.text);
        release(&l);
    }
}

static void bad__no_such_file(void **state)
{
    dm_registry *r;
    dm_experiment *e = NULL;
    dm_faults faults = {0};
    dm_err err;

    (void)state;
    assert_int_equal(dm_registry_new(NULL, &r, &err), DM_OK);
    assert_fails(dm_experiment_load("no/such.yaml", NULL, r, &e, &faults, &err), DM_ENOENT, &err,
                 "unable to open 'no/such.yaml': ");
    assert_fails(dm_experiment_load("/", NULL, r, &e, NULL, &err), DM_EINVAL, &err, "'/' is not a file");
    assert_int_equal(faults.count, 0);
    dm_registry_free(r);
}

/* A refused plugin has a code of its own. */
static void bad__refused_plugin(void **state)
{
    static const char text[] = "schedule: {use: both_ways, s: 3}\nsampler: {use: ddim}\n";
    const char *override[] = {""};
    const dm_experiment_options o = {.partial = true, .overrides = override, .n_overrides = 1};
    char path[2048];
    loaded l;

    (void)state;
    snprintf(path, sizeof path, "plugin_path=%s", getenv("DEMIST_TEST_ZOO"));
    override[0] = path;
    load_with(&l, text, sizeof text - 1, "a.yaml", "/", &o);
    assert_int_equal(l.rc, DM_EABI);
    assert_int_equal(l.faults.count, 1);
    assert_non_null(strstr(l.err.msg, "a.yaml:1:17: error: schedule.use: plugin '"));
    assert_non_null(strstr(l.err.msg, "both_ways.so': schedule has both of 'fill' and 'at'"));
    release(&l);
}

/* ---- what is right ---------------------------------------------------------------------- */

static void parse__values(void **state)
{
    loaded l;

    (void)state;
    load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/some/where", NULL);
    assert_status(l.rc, DM_OK, &l.err);
    assert_null(l.faults.text);
    assert_string_equal(l.e->run.name, "moons");
    assert_int_equal(l.e->run.seed, 7);
    assert_int_equal(l.e->schedule.timesteps, 100);
    assert_string_equal(l.e->section[DM_SEC_SCHEDULE].plugin->name, "linear");
    assert_true(((const double *)l.e->section[DM_SEC_SCHEDULE].cfg)[1] == 0.02);
    assert_int_equal(l.e->section[DM_SEC_SCHEDULE].at.line, 4);
    assert_int_equal(l.e->train.ema.n, 1);
    assert_true(l.e->train.ema.v[0] == 0.995);
    assert_true(l.e->train.lr == 2e-4);
    assert_string_equal(l.e->dir, "/some/where");
    {
        char *cwd = getcwd(NULL, 0), want[4096];

        snprintf(want, sizeof want, "%s/runs/moons", cwd);
        assert_string_equal(l.e->output, want);
        free(cwd);
    }
    release(&l);
}

static void parse__overrides(void **state)
{
    static const char *const overrides[] = {
        "schedule.use=cosine",      "schedule.s=0.01",       "sampler.steps=7",  "sampler.steps=8", "name=other",
        "data={shape: swiss_roll}", "train.ema=[0.9, 0.99]", "output=/out/here", "device=0:1",
    };
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = 9};
    loaded l;

    (void)state;
    load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/", &o);
    assert_status(l.rc, DM_OK, &l.err);
    assert_string_equal(
        l.faults.notes,
        "command line: argument 1: schedule.use = cosine drops beta_start, beta_end, which only linear takes\n");
    assert_string_equal(l.e->section[DM_SEC_SCHEDULE].plugin->name, "cosine");
    assert_true(((const double *)l.e->section[DM_SEC_SCHEDULE].cfg)[0] == 0.01);
    assert_int_equal(l.e->schedule.timesteps, 100);
    assert_int_equal(l.e->sampler.steps, 8);
    assert_string_equal(l.e->output, "/out/here");
    assert_int_equal(l.e->train.ema.n, 2);
    assert_string_equal(l.e->run.device, "0:1");
    assert_string_equal(l.e->section[DM_SEC_DATA].plugin->name, "toy2d");
    release(&l);
}

/* What is said on the command line for the former plugin does not go silently. */
static void parse__override_for_another_plugin(void **state)
{
    static const char *const overrides[] = {"schedule.beta_end=0.1", "schedule.use=cosine"};
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = 2};
    loaded l;

    (void)state;
    load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/", &o);
    assert_int_equal(l.rc, DM_EINVAL);
    assert_non_null(strstr(l.err.msg, "command line: argument 1: error: schedule.beta_end: unknown key of cosine"));
    release(&l);
}

static void parse__sections_not_needed(void **state)
{
    static const char text[] = "schedule: {use: linear}\nsampler: {use: ddim}\n",
                      classifier[] = "network: {use: mlp}\n";
    const dm_experiment_options o = {.partial = true};
    loaded l;

    (void)state;
    load_with(&l, text, sizeof text - 1, "a.yaml", "/", &o);
    assert_status(l.rc, DM_OK, &l.err);
    assert_null(l.e->section[DM_SEC_NETWORK].plugin);
    assert_false(l.e->section[DM_SEC_DATA].present);
    assert_int_equal(l.e->train.batch, 64);
    release(&l);
    load_with(&l, classifier, sizeof classifier - 1, "a.yaml", "/", NULL);
    assert_non_null(strstr(l.err.msg, "objective: section is missing"));
    release(&l);
}

static void parse__data_files(void **state)
{
    static const char text[] = "data: {use: npy, file: sub/no.npy}\nschedule: {use: linear}\n",
                      gone[] = "data: {use: gone}\n";
    dm_experiment_options o = {.partial = true};
    loaded l;

    (void)state;
    load_with(&l, text, sizeof text - 1, "a.yaml", "/base", &o);
    assert_string_equal(l.err.msg, "a.yaml:1:24: error: data.file: there is no '/base/sub/no.npy'");
    release(&l);
    o.lenient_data = true;
    load_with(&l, text, sizeof text - 1, "a.yaml", "/base", &o);
    assert_status(l.rc, DM_OK, &l.err);
    assert_string_equal(*(const char *const *)l.e->section[DM_SEC_DATA].cfg, "/base/sub/no.npy");
    release(&l);
    load_with(&l, gone, sizeof gone - 1, "a.yaml", "/base", &o);
    assert_status(l.rc, DM_OK, &l.err);
    assert_null(l.e->section[DM_SEC_DATA].plugin);
    assert_non_null(strstr(l.faults.notes, "the data set's plugin is not used: there is no dataset 'gone'"));
    release(&l);
}

/* ---- includes ------------------------------------------------------------------------------ */

static void include__over_base(void **state)
{
    static const char base[] =
        "seed: 1\nschedule: {use: linear, beta_start: 0.001, timesteps: 50}\ntrain: {lr: 0.1, batch: 4}\n"
        "data: {use: npy, file: here.npy}\n";
    static const char over[] = "include: [sub/base.yaml]\nseed: 2\nschedule: {use: cosine, s: 0.5}\ntrain: {batch: 5}\n"
                               "sampler: {use: ddim, steps: 10}\n";
    const dm_experiment_options o = {.partial = true, .lenient_data = true};
    scratch s = scratch_new();
    char sub[256], file[512], want[4096], *base_dir;
    loaded l = {0};
    FILE *f;

    (void)state;
    snprintf(sub, sizeof sub, "%s/sub", s.dir);
    snprintf(file, sizeof file, "%s/base.yaml", sub);
    assert_int_equal(mkdir(sub, 0755), 0);
    f = fopen(file, "w");
    fputs(base, f);
    fclose(f);
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &l.registry, &l.err), DM_OK);
    l.rc = dm_experiment_load(scratch_file(&s, "over.yaml", over, sizeof over - 1), &o, l.registry, &l.e, &l.faults,
                              &l.err);
    assert_status(l.rc, DM_OK, &l.err);
    assert_int_equal(l.e->run.seed, 2);
    assert_string_equal(l.e->section[DM_SEC_SCHEDULE].plugin->name, "cosine");
    assert_int_equal(l.e->schedule.timesteps, 50);
    assert_true(l.e->train.lr == 0.1);
    assert_int_equal(l.e->train.batch, 5);
    assert_non_null(
        strstr(l.faults.notes, "over.yaml:3:17: schedule.use = cosine drops beta_start, which only linear takes\n"));
    base_dir = realpath(sub, NULL);
    snprintf(want, sizeof want, "%s/here.npy", base_dir); /* from the file that says it */
    assert_string_equal(*(const char *const *)l.e->section[DM_SEC_DATA].cfg, want);
    free(base_dir);
    snprintf(want, sizeof want, "%s/base.yaml:4:24", sub);
    assert_string_equal(l.e->section[DM_SEC_DATA].from[dm_param_count(dm_settings[DM_SEC_DATA].rows)], want);
    release(&l);
    scratch_remove(sub);
    scratch_remove(s.dir);
}

/* Sixteen files that each include the next twice would be 65536 reads. */
static void include__bounded(void **state)
{
    scratch s = scratch_new();
    char text[128], name[32];
    loaded l;

    (void)state;
    for (int i = 0; i < 14; i++) {
        snprintf(name, sizeof name, "f%d.yaml", i);
        snprintf(text, sizeof text, "include: [f%d.yaml, f%d.yaml]\n", i + 1, i + 1);
        scratch_file(&s, name, text, strlen(text));
    }
    scratch_file(&s, "f14.yaml", "seed: 1\n", 8);
    load_with(&l, "include: f0.yaml\n", 17, "top.yaml", s.dir, NULL);
    assert_int_equal(l.rc, DM_EINVAL);
    assert_non_null(strstr(l.err.msg, "include: more than 64 files, or nested deeper than 16"));
    release(&l);
    scratch_remove(s.dir);
}

/* ---- printing ---------------------------------------------------------------------------------- */

static char *print_again(const char *text, const char *dir, char **first)
{
    char *second;
    loaded l;

    load_with(&l, text, strlen(text), "resolved.yaml", dir, NULL);
    assert_status(l.rc, DM_OK, &l.err);
    second = dm_experiment_print(l.e, false);
    if (first)
        *first = dm_experiment_print(l.e, true);
    release(&l);
    return second;
}

static void print__reads_back(void **state)
{
    static const char *const overrides[] = {
        "output=a b/\"quo\\te\"", "plugin_path='x:/y/z:'", "device=[0:0, 'é: # no comment']",
        "train.lr=0.1234567890123456789",
        "sampler.at=[9, 3, 1]", "train.from=./w", "sampler.clip=1.5", "deterministic=true",
    };
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = 8};
    char *one, *two, *three, *commented, cwd[2048];
    loaded l;

    (void)state;
    load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/some/where", &o);
    assert_status(l.rc, DM_OK, &l.err);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_memory_equal(l.e->run.plugin_path, cwd, strlen(cwd));
    one = dm_experiment_print(l.e, false);
    release(&l);
    two = print_again(one, "/another/place", &commented);
    assert_string_equal(one, two);
    assert_non_null(strstr(commented, "seed: 7  # resolved.yaml:2:7\n"));
    three = print_again(commented, "/", NULL);
    assert_string_equal(one, three);
    free(one);
    free(two);
    free(three);
    free(commented);
}

static void print__resolved(void **state)
{
    static const char head[] = "name: moons\nseed: 7\ndevice: auto\noutput: ";
    static const char middle[] = "schedule:\n  use: linear\n  timesteps: 100\n  zero_terminal_snr: false\n  "
                                 "beta_start: 0.0001\n  beta_end: 0.02\n"
                                 "  per_1000: false\nnetwork:\n  use: mlp\n";
    char *text;
    loaded l;

    (void)state;
    load_with(&l, moons, sizeof moons - 1, "moons.yaml", "/", NULL);
    text = dm_experiment_print(l.e, false);
    assert_memory_equal(text, head, sizeof head - 1);
    assert_non_null(strstr(text, middle));
    free(text);
    release(&l);
}

/* Any one byte changed: a tree of faults or an experiment, and memory in order. */
static void parse__mutilated(void **state)
{
    static const char odd[] = {'\n', '{', '[', '*', '"', ':', '#', 'x', '9', ' '};
    char copy[sizeof moons];

    (void)state;
    for (size_t i = 0; i < sizeof moons - 1; i += 3) {
        loaded l;

        memcpy(copy, moons, sizeof moons);
        copy[i] = odd[i / 3 % sizeof odd];
        load_with(&l, copy, sizeof moons - 1, "m.yaml", "/", NULL);
        assert_true((l.rc == DM_OK) == (l.faults.count == 0));
        release(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad__all_faults), cmocka_unit_test(bad__overrides), cmocka_unit_test(bad__no_such_file),
        cmocka_unit_test(bad__refused_plugin), cmocka_unit_test(parse__values), cmocka_unit_test(parse__overrides),
        cmocka_unit_test(parse__override_for_another_plugin), cmocka_unit_test(parse__sections_not_needed),
        cmocka_unit_test(parse__data_files), cmocka_unit_test(include__over_base), cmocka_unit_test(include__bounded),
        cmocka_unit_test(print__reads_back), cmocka_unit_test(print__resolved), cmocka_unit_test(parse__mutilated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
