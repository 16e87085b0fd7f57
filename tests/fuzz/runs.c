/* What a run folder holds; see target.h. */
#include "target.h"

#include "base/json.h"
#include "experiment/resolved_lines.h"
#include "plan/choices.h"
#include "run/tb_events.h"
#include "train_run/train_run.h"

dm_status fuzz_events(const fuzz_case *c, dm_err *err)
{
    dm_tb *t;
    const dm_status s = dm_tb_open(NULL, c->path, 2000, &t, err);

    if (!s)
        dm_tb_close(t);
    return s;
}

/* Read, cut back to step 2, and read again. */
dm_status fuzz_log(const fuzz_case *c, dm_err *err)
{
    static const char *const names[] = {"step", "loss"};
    double *v, last[2];
    dm_run_log *l;
    int64_t rows, left;
    dm_status s = dm_run_log_read(NULL, c->path, names, 2, &v, &rows, err);

    if (s)
        return s;
    free(v);
    if ((s = dm_run_log_last(NULL, c->path, names, 2, last, err)) || (s = dm_run_log_open(NULL, c->path, 2, &l, err)))
        return s;
    dm_run_log_close(l);
    if ((s = dm_run_log_read(NULL, c->path, names, 2, &v, &left, err)))
        return s;
    assert_true(left <= rows);
    for (int64_t i = 0; i < left; i++)
        assert_true(v[2 * i] <= 2);
    free(v);
    return DM_OK;
}

/* Of choices.json: what was chosen. */
dm_status fuzz_choices(const fuzz_case *c, dm_err *err)
{
    const dm_choices_options o = {.tune = DM_TUNE_OFF};
    dm_choices *choices;
    json_t *j;
    dm_status s = dm_json_read(c->text, c->n, "choices.json", &j, err);

    if (s || (s = dm_choices_new(NULL, &o, &choices, err)))
        return s;
    s = dm_choices_keep(choices, j, err);
    dm_choices_free(choices);
    json_decref(j);
    return s;
}

/* Of resolved.yaml: its lines are within it, and it differs in nothing from itself. */
dm_status fuzz_resolved(const fuzz_case *c, dm_err *err)
{
    char *text = fuzz_string(c), key[DM_RESOLVED_KEY];
    const char *at = text, *end = text + strlen(text);
    dm_resolved_line l = {.section = ""};
    dm_status s;

    while (dm_resolved_next(&at, &l)) {
        assert_true(l.length >= 0 && l.key_length >= 0 && l.value_length >= 0);
        assert_true(l.text >= text && l.text + l.length <= end && l.key + l.key_length <= end &&
                    l.value + l.value_length <= end);
        assert_true(strlen(dm_resolved_key(&l, key)) < sizeof key);
    }
    s = dm_resume_compare(text, text, "run", err);
    free(text);
    assert_int_equal(s, DM_OK);
    return s;
}
