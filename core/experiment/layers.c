/* The texts that make up an experiment; see layers.h. */
#include "experiment/layers.h"

#include "base/file.h"
#include "settings/param.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The files being read, from the innermost out: one that includes itself is among them. */
typedef struct chain { const struct chain *outer; dev_t device; ino_t file; int depth; } chain;

static dm_status add_source(dm_layers *l, const dm_origin *s, const chain *inside, dm_err *err);

void dm_layers_fini(dm_layers *l)
{
    free(l->layer);
    *l = (dm_layers){0};
}

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory"); }

static dm_status add_layer(dm_layers *l, dm_layer layer, dm_err *err)
{
    if (!dm_grow((void **)&l->layer, l->n, &l->cap, sizeof *l->layer))
        return no_memory(err);
    l->layer[l->n++] = layer;
    return DM_OK;
}

/* ---- files ------------------------------------------------------------------- */

static dm_status read_all(int fd, dm_arena *a, dm_origin *s, dm_err *err)
{
    char *text = dm_alloc(a, DM_YAML_BYTES + 1);
    size_t n = 0;

    if (!text)
        return no_memory(err);
    while (n <= DM_YAML_BYTES) {
        const ssize_t got = read(fd, text + n, DM_YAML_BYTES + 1 - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dm_error(err, DM_EIO, "unable to read '%s': %s", s->name, strerror(errno));
        if (!got)
            break;
        n += (size_t)got;
    }
    s->text = text;
    s->n = n;
    return DM_OK;
}

/* Fills text, n and who the file is. s->name stands for it in messages. */
static dm_status read_file(const char *path, dm_arena *a, dm_origin *s, chain *who, dm_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    dm_status rc;

    if (fd < 0)
        return dm_file_error(err, "open", s->name);
    if (fstat(fd, &st))
        rc = dm_file_error(err, "look at", s->name);
    else if (!S_ISREG(st.st_mode))
        rc = dm_error(err, DM_EINVAL, "'%s' is not a file", s->name);
    else if (st.st_size > DM_YAML_BYTES)
        rc = dm_error(err, DM_EINVAL, "'%s' has %lld bytes, more than %d", s->name, (long long)st.st_size,
                      DM_YAML_BYTES);
    else
        rc = read_all(fd, a, s, err);
    if (!rc) {
        who->device = st.st_dev;
        who->file = st.st_ino;
    }
    close(fd);
    return rc;
}

/* path as seen from a file called `name`. */
static const char *beside(dm_arena *a, const char *name, const char *path)
{
    const char *slash = strrchr(name, '/');
    return *path == '/' || !slash ? path : dm_sprintf(a, "%.*s/%s", (int)(slash - name), name, path);
}

/* The folder of a file that lies at path, relative to dir. */
static const char *folder_of(dm_arena *a, const char *dir, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return dir;
    if (*path == '/')
        return slash == path ? "/" : dm_strndup(a, path, (size_t)(slash - path));
    return *dir ? dm_sprintf(a, "%s%s%.*s", dir, dir[1] ? "/" : "", (int)(slash - path), path) : "";
}

#define FAIL_FILE(l, ...) ((l)->broken = true, dm_fault((l)->faults, __VA_ARGS__))

static dm_status include_file(dm_layers *l, const dm_origin *from, const dm_yaml *y, const chain *inside, dm_err *err)
{
    chain here = {inside, 0, 0, inside ? inside->depth + 1 : 1};
    dm_origin *s = dm_alloc(l->arena, sizeof *s);
    const char *path;
    dm_err why;
    dm_status rc;

    if (y->kind != DM_YAML_SCALAR || dm_yaml_is_null(y) || !*y->text) {
        FAIL_FILE(l, DM_EINVAL, y->at, "include: must be a path, or a list of paths");
        return DM_OK;
    }
    path = *y->text == '/' ? y->text : dm_sprintf(l->arena, "%s/%s", from->dir, y->text);
    if (!s || !path || !(s->name = beside(l->arena, from->name, y->text)) ||
        !(s->dir = folder_of(l->arena, from->dir, y->text)))
        return no_memory(err);
    if (here.depth > DM_LAYERS_DEPTH || l->files >= DM_LAYERS_FILES) {
        FAIL_FILE(l, DM_EINVAL, y->at, "include: more than %d files, or nested deeper than %d", DM_LAYERS_FILES,
                  DM_LAYERS_DEPTH);
        return DM_OK;
    }
    if ((rc = read_file(path, l->arena, s, &here, &why))) {
        if (rc == DM_ENOMEM)
            return no_memory(err);
        FAIL_FILE(l, rc == DM_ENOENT ? DM_EINVAL : rc, y->at, "include: %s", why.msg);
        return DM_OK;
    }
    for (const chain *c = inside; c; c = c->outer) {
        if (c->device == here.device && c->file == here.file) {
            FAIL_FILE(l, DM_EINVAL, y->at, "include: '%s' includes itself", dm_show(y->text).text);
            return DM_OK;
        }
    }
    return add_source(l, s, &here, err);
}

static dm_status add_includes(dm_layers *l, const dm_origin *s, const dm_yaml *root, const chain *inside, dm_err *err)
{
    const dm_yaml_entry *e = dm_yaml_find(root, "include");
    dm_status rc = DM_OK;

    if (!e)
        return DM_OK;
    if (e->value->kind != DM_YAML_LIST)
        return include_file(l, s, e->value, inside, err);
    for (size_t i = 0; !rc && i < e->value->n; i++)
        rc = include_file(l, s, e->value->entry[i].value, inside, err);
    return rc;
}

/* The depth of calls is that of includes, which is bounded. */
static dm_status add_source(dm_layers *l, const dm_origin *s, const chain *inside, dm_err *err)
{
    const dm_yaml *root;
    dm_status rc;

    l->files++;
    rc = dm_yaml_parse(s, 0, &l->nodes, l->arena, l->faults, &root, err);
    l->broken = l->broken || !root;
    if (rc || !root)
        return rc;
    if (root->kind != DM_YAML_MAP) {
        FAIL_FILE(l, DM_EINVAL, root->at, "an experiment is a map of keys and values, like 'name: moons'%s",
                  dm_file_hint(s->text, s->n));
        return DM_OK;
    }
    if ((rc = add_includes(l, s, root, inside, err)))
        return rc;
    return add_layer(l, (dm_layer){root, l->groups++, false}, err);
}

dm_status dm_layers_file(dm_layers *l, const char *path, const char *dir, dm_err *err)
{
    dm_origin *s = dm_alloc(l->arena, sizeof *s);
    chain here = {NULL, 0, 0, 1};
    dm_status rc;

    if (!s || !(s->name = dm_strdup(l->arena, path)) || !(s->dir = dm_strdup(l->arena, dir)))
        return no_memory(err);
    if ((rc = read_file(path, l->arena, s, &here, err)))
        return rc;
    return add_source(l, s, &here, err);
}

dm_status dm_layers_text(dm_layers *l, const char *text, size_t n, const char *name, const char *dir, dm_err *err)
{
    dm_origin *s = dm_alloc(l->arena, sizeof *s);

    if (!s || !(s->name = dm_strdup(l->arena, name)) || !(s->dir = dm_strdup(l->arena, dir)))
        return no_memory(err);
    /* One byte more than allowed is enough for the refusal. */
    s->n = n > DM_YAML_BYTES ? DM_YAML_BYTES + 1 : n;
    if (!(s->text = dm_strndup(l->arena, text, s->n)))
        return no_memory(err);
    return add_source(l, s, NULL, err);
}

/* ---- overrides ------------------------------------------------------------------ */

static const dm_yaml *map_of(dm_arena *a, const char *key, dm_mark at, const dm_yaml *value)
{
    dm_yaml *y = dm_alloc(a, sizeof *y);
    dm_yaml_entry *e = dm_alloc(a, sizeof *e);

    if (!y || !e)
        return NULL;
    *e = (dm_yaml_entry){key, at, value};
    *y = (dm_yaml){.kind = DM_YAML_MAP, .at = at, .n = 1, .entry = e, .nodes = 2 + value->nodes};
    return y;
}

/* YAML where it begins as YAML's lists, maps and quotes do; else the text as it is, be it a colour, or a path with a
 * line break, a ' #' or a ': ' in it. Nothing after '=' is an empty text. */
static dm_status parse_value(dm_layers *l, const dm_origin *s, size_t skip, const dm_yaml **value, dm_err *err)
{
    const char *text = s->text + skip + strspn(s->text + skip, " ");
    const uint32_t column = *text ? (uint32_t)(text - s->text) + 1 : 1;
    size_t n = strlen(text);
    dm_yaml *plain;

    if (*text && (strchr("[]{}\"'&*!|>", *text) || !dm_text_is_utf8(text)))
        return dm_yaml_parse(s, skip, &l->nodes, l->arena, l->faults, value, err);
    while (n > 0 && text[n - 1] == ' ')
        n--;
    if (!(plain = dm_alloc(l->arena, sizeof *plain)) || !(text = dm_strndup(l->arena, text, n)))
        return no_memory(err);
    *plain = (dm_yaml){.kind = DM_YAML_SCALAR, .at = {s, 1, column}, .text = text, .quoted = !n, .nodes = 1};
    *value = plain;
    return DM_OK;
}

dm_status dm_layers_override(dm_layers *l, const char *argument, int32_t number, const char *place, const char *dir,
                             dm_err *err)
{
    dm_origin *s = dm_alloc(l->arena, sizeof *s);
    const dm_yaml *value, *root;
    const char *equals, *dot;
    char *section, *key = NULL;
    dm_mark at = {s, 1, 1};
    dm_status rc;

    if (!s || !(s->text = dm_strdup(l->arena, argument)) || !(s->dir = dm_strdup(l->arena, dir)))
        return no_memory(err);
    s->name = place;
    s->n = strlen(argument);
    s->argument = number;
    equals = strchr(s->text, '=');
    if (!equals || equals == s->text) {
        dm_fault(l->faults, DM_EINVAL, at, "'%s' is not of the form key=value", dm_show(argument).text);
        return DM_OK;
    }
    if (!(section = dm_strndup(l->arena, s->text, (size_t)(equals - s->text))))
        return no_memory(err);
    if ((rc = parse_value(l, s, (size_t)(equals - s->text) + 1, &value, err)) || !value)
        return rc;
    if ((dot = strchr(section, '.'))) {
        key = section + (dot - section);
        *key++ = 0;
    }
    if (!strcmp(section, "include")) {
        dm_fault(l->faults, DM_EINVAL, at, "include: only allowed in a file");
        return DM_OK;
    }
    root = key ? map_of(l->arena, key, at, value) : value;
    root = root ? map_of(l->arena, section, at, root) : NULL;
    return root ? add_layer(l, (dm_layer){root, l->groups, true}, err) : no_memory(err);
}
