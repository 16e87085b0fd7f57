/* Folders and archives alike; see source.h. */
#define _XOPEN_SOURCE 700
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_FILE = 256 << 20 };

typedef struct listing { source *to; const list_rules *rules; } listing;

static bool is_hidden(const char *name)
{
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (*p == '.')
            return true;
    return false;
}

static dm_status list_entry(dm_ctx *c, void *user, const char *name, int64_t at)
{
    const listing *l = user;
    source *s = l->to;
    const char *dot = strrchr(name, '.');
    const bool told = dot && !strcasecmp(dot, ".cls");

    if (is_hidden(name))
        return DM_OK;
    if (!strcmp(name, "dataset.json"))
        s->labels = at;
    if (told || image_has_name(name, l->rules->webp)) {
        char *path = folder_join(s->dir, name);

        return path ? folder_add(c, told ? &s->told : &s->list, path, at)
                    : dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", s->dir);
    }
    folder_leave_out(&s->list, name);
    return DM_OK;
}

static dm_status list_archive(dm_ctx *c, const list_rules *rules, source *s)
{
    listing l = {s, rules};
    dm_status rc;

    if ((rc = image_archive_open(c, s->dir, &s->archive)) ||
        (rc = image_archive_walk(c, &s->archive, list_entry, &l)))
        return rc;
    folder_sort(&s->list);
    folder_sort(&s->told);
    for (int64_t i = 1; i < s->list.n; i++)
        if (!strcmp(s->list.image[i - 1].path, s->list.image[i].path))
            return dm_fail(c, DM_ECORRUPT, "'%s' appears twice", s->list.image[i].path);
    return DM_OK;
}

dm_status source_list(dm_ctx *c, const char *dir, const list_rules *rules, source *out)
{
    struct stat sb;
    const bool archive = !stat(dir, &sb) && S_ISREG(sb.st_mode) && !image_has_name(dir, rules->webp);
    dm_status s;

    *out = (source){.dir = dir, .labels = -1};
    if ((s = archive ? list_archive(c, rules, out) : folder_list(c, dir, rules, &out->list)))
        return s;
    out->below = out->list.n && strcmp(out->list.image[0].path, dir) ? strlen(dir) + 1 : 0;
    return DM_OK;
}

void source_free(source *s)
{
    image_archive_close(&s->archive);
    folder_list_free(&s->list);
    folder_list_free(&s->told);
}

const char *source_name(const source *s, const image *m) { return m->path + s->below; }

typedef dm_status opening(dm_ctx *c, const image_from *from, const image_rules *rules, image_file *j);

static dm_status open_pixels(dm_ctx *c, const image_from *from, const image_rules *rules, image_file *j)
{
    return image_open(c, from, rules, true, j);
}

static dm_status open_with(dm_ctx *c, const source *s, const image *m, const image_rules *rules, opening *how,
                           image_file *j)
{
    image_from from = {.path = m->path};
    dm_status rc;

    if (s->archive.fd &&
        (rc = image_archive_read(c, &s->archive, m->at, source_name(s, m), MAX_FILE, &from.bytes, &from.n)))
        return rc;
    rc = how(c, &from, rules, j);
    free(from.bytes);
    return rc;
}

dm_status source_check(dm_ctx *c, const source *s, const image *m, const image_rules *rules, image_file *j)
{
    return open_with(c, s, m, rules, image_check, j);
}

dm_status source_read(dm_ctx *c, const source *s, const image *m, const image_rules *rules, image_file *j)
{
    dm_status rc = open_with(c, s, m, rules, open_pixels, j);

    if (!rc && (j->w != m->w || j->h != m->h || j->c != m->c)) {
        free(j->pixels);
        rc = dm_fail(c, DM_ECORRUPT, "'%s' has changed since the folder was opened", m->path);
    }
    return rc;
}
