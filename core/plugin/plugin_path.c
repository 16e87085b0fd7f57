/* The folders where plugins are looked for; see plugin_path.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "plugin/plugin_path.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/install_path.h"
#include "base/folder.h"

/* The folder without links in its name; *exists is false where there is none. */
static dm_status find_folder(const char *path, char real[PATH_MAX], struct stat *st, bool *exists, dm_err *err)
{
    const bool failed = !realpath(path, real) || stat(real, st);

    *exists = !failed && S_ISDIR(st->st_mode);
    return failed && !dm_path_unreachable() ? dm_file_error(err, "access plugin folder", path) : DM_OK;
}

static void take_out(dm_plugin_path *p, int i)
{
    p->n--;
    memmove(&p->folders[i], &p->folders[i + 1], (size_t)(p->n - i) * sizeof p->folders[0]);
}

/* *at moves behind what was put in. */
static dm_status insert_folder(dm_plugin_path *p, int *at, const char *path, const char *origin, dm_err *err)
{
    char real[PATH_MAX];
    const bool wanted = !strcmp(origin, "plugin_path") || !strcmp(origin, "DEMIST_PLUGIN_PATH");
    struct stat st;
    const char *kept;
    bool exists;
    dm_status rc;

    if ((rc = find_folder(path, real, &st, &exists, err)))
        return rc;
    if (!(kept = dm_strdup(p->arena, exists ? real : path)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->folders[i].path, kept))
            continue;
        if (i < *at)
            return DM_OK;
        take_out(p, i);
        break;
    }
    if (!exists && wanted)
        dm_fault_note(p->notes, "plugin folder '%s' (%s) %s", path, origin,
                      access(path, F_OK) ? "does not exist" : "is not a folder");
    if (p->n == DM_MOST_PLUGIN_FOLDERS)
        return dm_error(err, DM_EINVAL, "more than %d plugin folders", DM_MOST_PLUGIN_FOLDERS);
    memmove(&p->folders[*at + 1], &p->folders[*at], (size_t)(p->n - *at) * sizeof p->folders[0]);
    p->folders[(*at)++] = (dm_plugin_folder){kept, origin, exists};
    p->n++;
    return DM_OK;
}

dm_status dm_plugin_path_insert(dm_plugin_path *p, int at, const char *folders, const char *origin, dm_err *err)
{
    const bool from_environment = !strcmp(origin, "DEMIST_PLUGIN_PATH");
    dm_status rc;

    for (const char *s = folders; s && *s;) {
        const size_t n = strcspn(s, ":");
        const char *one = dm_strndup(p->arena, s, n);

        if (!one)
            return dm_error(err, DM_ENOMEM, "out of memory");
        if (n && from_environment && *one != '/')
            dm_fault_note(p->notes, "plugin folder '%s' (%s) is not an absolute path; it is ignored", one, origin);
        else if (n && (rc = insert_folder(p, &at, one, origin, err)))
            return rc;
        s += n + (s[n] == ':');
    }
    return DM_OK;
}

/* One folder, which may have ':' in its name. */
static dm_status append_folder(dm_plugin_path *p, const char *folder, const char *origin, dm_err *err)
{
    int at = p->n;

    return insert_folder(p, &at, folder, origin, err);
}

/* Only what is root's or the user's own: of what is not there, somebody else may have made another of that name, as of
 * an installed program's build folder. */
static dm_status append_if_own(dm_plugin_path *p, const char *folder, const char *origin, dm_err *err)
{
    char real[PATH_MAX];
    struct stat st;
    bool there;
    const dm_status rc = find_folder(folder, real, &st, &there, err);

    if (rc || !there || (st.st_uid != 0 && st.st_uid != geteuid()))
        return rc;
    return append_folder(p, folder, origin, err);
}

bool dm_plugin_user_folder(char *path, size_t n)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (data && *data == '/')
        return (size_t)snprintf(path, n, "%s/demist/plugins", data) < n;
    return home && *home == '/' && (size_t)snprintf(path, n, "%s/.local/share/demist/plugins", home) < n;
}

dm_status dm_plugin_path_append_defaults(dm_plugin_path *p, dm_err *err)
{
    char user[PATH_MAX], beside[PATH_MAX];
    const char *installed;
    dm_status rc;

    if ((rc = dm_plugin_path_insert(p, p->n, getenv("DEMIST_PLUGIN_PATH"), "DEMIST_PLUGIN_PATH", err)) ||
        (dm_plugin_user_folder(user, sizeof user) && (rc = append_if_own(p, user, "user", err))) ||
        ((installed = dm_install_path(DEMIST_PLUGIN_DIR, beside)) && (rc = append_folder(p, installed, "installed",
                                                                                         err))))
        return rc;
    return append_if_own(p, DEMIST_BUILD_PLUGIN_DIR, "build", err);
}

static int is_plugin_file(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);
    return n > 3 && !strcmp(e->d_name + n - 3, ".so");
}

dm_status dm_plugin_path_each(const char *folder, bool (*take)(void *user, const char *file, const char *stem),
                              void *user, dm_err *err)
{
    struct dirent **entries;
    const int n = scandir(folder, &entries, is_plugin_file, alphasort);
    bool more = true;

    if (n < 0)
        return dm_path_unreachable() ? DM_OK : dm_file_error(err, "read plugin folder", folder);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char file[PATH_MAX], stem[NAME_MAX + 1];

        snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - 3), name);
        if (more && (size_t)snprintf(file, sizeof file, "%s/%s", folder, name) < sizeof file)
            more = take(user, file, stem);
        free(entries[i]);
    }
    free(entries);
    return DM_OK;
}
