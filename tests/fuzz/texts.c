/* JSON, text for a terminal and shared objects; see target.h. */
#include "target.h"

#include "base/json.h"
#include "text/plain_text.h"
#include "plugin/plugin_file.h"

static dm_status count(void *user, const char *key, json_t *value, dm_err *err)
{
    (void)err;
    assert_true(key && value);
    ++*(size_t *)user;
    return DM_OK;
}

/* An object that is read whole is read member by member too, and has as many. */
dm_status fuzz_json(const fuzz_case *c, dm_err *err)
{
    const bool marked = c->n >= 3 && !memcmp(c->text, "\xef\xbb\xbf", 3);
    size_t n = 0, n_within = 0;
    dm_err by_member = {0};
    json_t *j;
    const dm_status s = dm_json_read(c->text, c->n, "f", &j, err);

    dm_json_members(c->text, c->n, FUZZ_MOST, "f", count, NULL, NULL, &n, &by_member);
    if (!s && !marked && json_is_object(j)) {
        assert_status(by_member.code, DM_OK, &by_member);
        assert_int_equal(n, json_object_size(j));
    }
    dm_json_members(c->text, c->n, 64, "f", count, "m", count, &n_within, &(dm_err){0});
    json_decref(j);
    return s;
}

/* Nothing that a terminal obeys comes out. */
dm_status fuzz_plain_text(const fuzz_case *c, dm_err *err)
{
    char *text = fuzz_string(c), *line = NULL;
    size_t n;
    FILE *to = open_memstream(&line, &n);

    (void)err;
    dm_plain_put(to, text);
    fclose(to);
    dm_plain_text(text);
    for (const char *p = text; *p; p += *p == '\n' || *p == '\t' ? 1 : dm_plain_length(p))
        assert_true(*p == '\n' || *p == '\t' || dm_plain_length(p) > 0);
    for (const char *p = line; *p; p += dm_plain_length(p))
        assert_true(dm_plain_length(p) > 0);
    free(text);
    free(line);
    return DM_OK;
}

/* The header of a shared object; what passes is not loaded, since anything in it would run. */
dm_status fuzz_plugin(const fuzz_case *c, dm_err *err) { return dm_plugin_check_file(c->path, err); }
