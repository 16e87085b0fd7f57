/* Classes by name or number; see classes.h. */
#include "sample/classes.h"

#include "text/suggest.h"
#include "session/data_meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The classes' names, each ended by NUL; text is NULL where they are not known. */
typedef struct names { char *text; const char **name; int32_t n; } names;

static dm_status read_names(const dm_session *s, names *out, dm_err *err)
{
    const char *joined = dm_st_meta(s->checkpoint, DM_CLASS_NAMES);
    const int32_t n = s->data.classes;
    int32_t at = 0;

    *out = (names){0};
    if (!joined || !*joined)
        return DM_OK;
    out->text = strdup(joined);
    out->name = calloc((size_t)n, sizeof *out->name);
    if (!out->text || !out->name)
        return dm_error(err, DM_ENOMEM, "out of memory for the classes' names");
    for (char *p = out->text; p && at < n; at++) {
        char *slash = strchr(p, '/');

        out->name[at] = p;
        if (slash)
            *slash = 0;
        p = slash ? slash + 1 : NULL;
    }
    out->n = at;
    return DM_OK;
}

static void names_fini(names *n)
{
    free(n->text);
    free(n->name);
}

static dm_status unknown(const dm_session *s, const names *known, const char *wanted, dm_err *err)
{
    const int32_t classes = s->data.classes;
    dm_nearest near;

    dm_nearest_init(&near, wanted);
    for (int32_t i = 0; i < known->n; i++)
        dm_nearest_try(&near, known->name[i]);
    if (near.best)
        return dm_error(err, DM_EINVAL, "there is no class '%.60s'; did you mean '%.60s'?", wanted, near.best);
    if (known->n)
        return dm_error(err, DM_EINVAL, "there is no class '%.60s'; this model has classes 0 to %d, '%.60s' to '%.60s'",
                        wanted, (int)classes - 1, known->name[0], known->name[known->n - 1]);
    return dm_error(err, DM_EINVAL, "there is no class '%.60s'; this model has classes 0 to %d, without names", wanted,
                    (int)classes - 1);
}

/* A name comes before a number, since a folder may be called 10 and be the third. */
static dm_status find(const dm_session *s, const names *known, const char *wanted, int32_t *label, dm_err *err)
{
    char *end;
    long v;

    for (*label = 0; *label < known->n; ++*label)
        if (!strcmp(known->name[*label], wanted))
            return DM_OK;
    if (!strcmp(wanted, "none")) {
        *label = s->data.classes;
        return dm_net_drops_labels(s->model)
                   ? DM_OK
                   : dm_error(err, DM_EINVAL,
                              "class 'none': this model was trained without train.drop_condition, so it always needs a "
                              "class");
    }
    errno = 0;
    v = strtol(wanted, &end, 10);
    if (errno || end == wanted || *end || v < 0 || v >= s->data.classes)
        return unknown(s, known, wanted, err);
    *label = (int32_t)v;
    return DM_OK;
}

dm_status dm_classes_find(const dm_session *s, const char *const *classes, int64_t n, int32_t **labels, int64_t *count,
                          dm_err *err)
{
    const bool all = n == 1 && classes[0] && !strcmp(classes[0], "all");
    names known;
    dm_status rc;

    *labels = NULL;
    if (!s->data.classes || !dm_net_reads_labels(s->model))
        return dm_error(err, DM_EINVAL, "class '%.60s' was requested, but %s", classes[0] ? classes[0] : "",
                        s->data.classes ? "the network of this model reads no classes (network.class_embed: table "
                                          "trains one that does)"
                                        : "this model was trained on data without classes");
    *count = all ? s->data.classes : n;
    if (!(*labels = calloc((size_t)*count, sizeof **labels)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld classes", (long long)*count);
    rc = read_names(s, &known, err);
    for (int64_t i = 0; i < *count && !rc; i++)
        if (all)
            (*labels)[i] = (int32_t)i;
        else
            rc = classes[i] ? find(s, &known, classes[i], &(*labels)[i], err)
                            : dm_error(err, DM_EINVAL, "class %lld of %lld is NULL", (long long)i + 1, (long long)n);
    names_fini(&known);
    if (rc) {
        free(*labels);
        *labels = NULL;
    }
    return rc;
}
