/* The run folder; see run_folder.h. */
#include "run/run_folder.h"

#include "base/file.h"
#include "run/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include "text/json_text.h"
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

struct dm_run { dm_folder folder; int lock; };

/* Whether it is another process's for longer than dm_run_in_use holds it. */
static bool is_locked(int lock)
{
    for (int i = 0; flock(lock, LOCK_EX | LOCK_NB); i++) {
        if (errno != EWOULDBLOCK)
            return false; /* no locks there */
        if (i == 5)
            return true;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return false;
}

bool dm_run_in_use(const dm_folder *f)
{
    bool used;
    int lock;

    if (dm_folder_file(f, "lock", O_RDONLY, &lock, NULL, NULL))
        return false;
    used = flock(lock, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(lock);
    return used;
}

static dm_status take_lock(dm_run *r, dm_err *err)
{
    char pid[24] = "";
    dm_status s = dm_folder_file(&r->folder, "lock", O_RDWR | O_CREAT, &r->lock, NULL, err);
    ssize_t n;

    if (s)
        return s;
    if (is_locked(r->lock)) {
        n = pread(r->lock, pid, sizeof pid - 1, 0);
        pid[n > 0 ? strspn(pid, "0123456789") : 0] = 0;
        if (*pid && strtol(pid, NULL, 10) == (long)getpid())
            s = dm_error(err, DM_EINVAL,
                         "run folder '%s' is in use by this process, which has it open already; close that training, "
                         "or choose another output",
                         r->folder.path);
        else
            s = dm_error(err, DM_EINVAL,
                         "run folder '%s' is in use by another process%s%s; wait for it, or choose another output",
                         r->folder.path, *pid ? ", " : "", pid);
        close(r->lock);
        r->lock = -1;
    } else if (snprintf(pid, sizeof pid, "%ld\n", (long)getpid()) > 0 && !ftruncate(r->lock, 0))
        s = dm_file_write(r->lock, "lock", pid, strlen(pid), err);
    return s;
}

static dm_status make_folders(const dm_folder *f, dm_err *err)
{
    static const char *const names[] = {"checkpoints", "samples", "plots", "tb"};
    dm_status s = DM_OK;

    for (int i = 0; i < 4 && !s; i++)
        s = dm_folder_add(f, names[i], err);
    return s ? s : dm_folder_sync(f->path, err);
}

/* May this folder be used so? By resolved.yaml a run is known: without it, files of a run's names are somebody's own.
 */
static dm_status check(const dm_folder *f, dm_run_mode mode, dm_err *err)
{
    const char *dir = f->path;
    char found[256];
    bool run;
    dm_status s;

    if ((s = dm_folder_has(f, DM_RUN_CONFIG, &run, err)))
        return s;
    if (mode == DM_RUN_RESUME && !run)
        return dm_error(err, DM_ENOENT, "nothing to resume: '%s' has no " DM_RUN_CONFIG, dir);
    if (mode == DM_RUN_NEW && run)
        return dm_error(err, DM_EINVAL, "'%s' already has a run: resume it, overwrite it, or choose another output",
                        dir);
    if (run || (s = dm_run_files_first(f, found, sizeof found, err)) || !*found)
        return run ? DM_OK : s;
    return dm_error(err, DM_EINVAL,
                    "'%s' has no " DM_RUN_CONFIG ", so it is not a run, but has a '%s' that a run would overwrite; "
                                                 "move it, or choose another output",
                    dir, found);
}

static dm_status prepare(dm_run *r, dm_run_mode mode, dm_err *err)
{
    dm_status s;

    if ((s = take_lock(r, err)) || (s = check(&r->folder, mode, err)) ||
        (s = dm_run_files_remove(&r->folder, true, err)))
        return s;
    return make_folders(&r->folder, err);
}

/* Whether files can be made there; *writable is false where that is forbidden. */
static dm_status look_writable(const char *path, int how, bool *writable, dm_err *err)
{
    *writable = !access(path, how);
    return *writable || errno == EACCES || errno == EROFS ? DM_OK : dm_file_error(err, "look at", path);
}

/* Where nothing is there, as errno says: what is above must be a folder that this one can be made in. */
static dm_status check_above(const char *dir, dm_err *err)
{
    const int why = errno;
    char *above = strdup(*dir ? dir : ".");
    dm_status s = above ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: a name");
    struct stat st;
    bool writable;

    if (!s && why != ENOENT && why != ENOTDIR) {
        errno = why;
        s = dm_file_error(err, "create", dir);
    }
    while (!s && stat(above, &st)) {
        char *slash = strrchr(above, '/');

        if (!dm_path_unreachable())
            s = dm_file_error(err, "look at", above);
        else if (slash && slash != above)
            *slash = 0;
        else
            strcpy(above, slash ? "/" : ".");
    }
    if (!s && !S_ISDIR(st.st_mode))
        s = dm_error(err, DM_EINVAL, "unable to create '%s': '%s' is not a folder", dir, above);
    else if (!s && !(s = look_writable(above, W_OK | X_OK, &writable, err)) && !writable)
        s = dm_error(err, DM_EINVAL, "unable to create '%s': '%s' is not writable", dir, above);
    free(above);
    return s;
}

dm_status dm_run_possible(const char *dir, dm_err *err)
{
    dm_folder f = {-1, NULL};
    struct stat st, root;
    bool writable;
    dm_status s;

    if (stat(dir, &st))
        return check_above(dir, err);
    if (!S_ISDIR(st.st_mode))
        return dm_error(err, DM_EINVAL, "'%s' is not a folder; a run needs one of its own", dir);
    if (!stat("/", &root) && st.st_dev == root.st_dev && st.st_ino == root.st_ino)
        return dm_error(err, DM_EINVAL, "'%s' is the root folder; a run needs its own folder", dir);
    if ((s = look_writable(dir, R_OK | W_OK | X_OK, &writable, err)))
        return s;
    if (!writable)
        return dm_error(err, DM_EINVAL, "'%s' is not writable; choose another folder", dir);
    if (!(s = dm_folder_open(&f, dir, err)))
        s = check(&f, DM_RUN_OVERWRITE, err);
    dm_folder_close(&f);
    return s;
}

dm_status dm_run_open(const char *dir, dm_run_mode mode, dm_run **out, dm_err *err)
{
    dm_path_kind kind;
    dm_run *r;
    dm_status s;

    if ((s = dm_path_look(dir, &kind, err)))
        return s;
    if (mode == DM_RUN_RESUME && kind == DM_PATH_NOTHING)
        return dm_error(err, DM_ENOENT, "nothing to resume: '%s' does not exist", dir);
    if ((s = dm_folder_make(dir, err)))
        return s;
    if (!(r = calloc(1, sizeof *r)))
        return dm_error(err, DM_ENOMEM, "out of memory: run folder '%s'", dir);
    r->lock = -1;
    if ((s = dm_folder_open(&r->folder, dir, err)) || (s = prepare(r, mode, err)))
        dm_run_close(r);
    else
        *out = r;
    return s;
}

void dm_run_close(dm_run *r)
{
    if (!r)
        return;
    if (r->lock >= 0)
        close(r->lock);
    dm_folder_close(&r->folder);
    free(r);
}

dm_status dm_run_clear(const dm_run *r, dm_err *err) { return dm_run_files_remove(&r->folder, false, err); }

const dm_folder *dm_run_folder(const dm_run *r) { return &r->folder; }

dm_status dm_run_write(const dm_run *r, const char *name, const void *data, size_t n, dm_err *err)
{
    return dm_file_write_in(&r->folder, name, data, n, err);
}

dm_status dm_run_write_env(const dm_run *r, int argc, const char *const *argv, const dm_pair *more, int n,
                           json_t *plugins, dm_err *err)
{
    json_t *o = dm_json_new(), *args = json_array();
    const time_t now = time(NULL);
    struct utsname u;
    struct tm tm;
    char when[32] = "", *text;
    dm_status s;

    if (gmtime_r(&now, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(o, "demist", json_string(DEMIST_VERSION));
    json_object_set_new(o, "plugin_abi", json_sprintf("%u.%u", DM_ABI >> 16, DM_ABI & 0xffffu));
    json_object_set_new(o, "started", json_string(when));
    if (uname(&u) >= 0)
        json_object_set_new(o, "system", json_sprintf("%s %s %s", u.sysname, u.release, u.machine));
    json_object_set_new(o, "libraries", json_pack("{s:s, s:s, s:s}", "jansson", jansson_version_str(), "zlib",
                                                  zlibVersion(), "libpng", png_get_libpng_ver(NULL)));
    for (int i = 0; i < argc; i++) {
        json_t *v = json_string(argv[i]);

        json_array_append_new(args, v ? v : json_null()); /* null: not UTF-8 */
    }
    json_object_set_new(o, "argv", args);
    for (int i = 0; i < n; i++)
        json_object_set_new(o, more[i].key, json_string(more[i].value));
    if (plugins)
        json_object_set_new(o, "plugins", plugins);
    text = dm_json_text(o, JSON_INDENT(2));
    json_decref(o);
    if (!text)
        return dm_error(err, DM_ENOMEM, "out of memory: env.json");
    s = dm_run_write(r, "env.json", text, strlen(text), err);
    free(text);
    return s;
}
