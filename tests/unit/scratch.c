/* A test's own folder; see scratch.h. */
#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

scratch scratch_new(void)
{
    scratch s = {.dir = "test-XXXXXX"};

    assert_non_null(mkdtemp(s.dir));
    return s;
}

const char *scratch_path(scratch *s, const char *name)
{
    char *p = s->path[s->next++ % 4];
    char dir[sizeof s->dir];

    memcpy(dir, s->dir, sizeof dir);
    assert_true((size_t)snprintf(p, sizeof s->path[0], "%s/%s", dir, name) < sizeof s->path[0]);
    return p;
}

const char *scratch_file(scratch *s, const char *name, const void *data, size_t n)
{
    const char *path = scratch_path(s, name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

unsigned char *scratch_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *b;

    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    assert_non_null(b = malloc(*n + 1));
    assert_int_equal(fread(b, 1, *n, f), *n);
    b[*n] = 0;
    fclose(f);
    return b;
}

int scratch_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

void scratch_remove(const char *dir)
{
    DIR *d = opendir(dir);
    char path[2048];
    struct stat st;

    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= sizeof path)
            continue;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            scratch_remove(path);
        else
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

const char *scratch_data(char *to, size_t n, const char *name)
{
    const char *dir = getenv("DEMIST_TEST_DATA");

    assert_non_null(dir);
    snprintf(to, n, "%s/%s", dir, name);
    return to;
}

void assert_status(dm_status got, dm_status want, const dm_err *err)
{
    if (got != want)
        fail_msg("status %s, wanted %s: %s", dm_status_name(got), dm_status_name(want), got ? err->msg : "");
}

void assert_fails(dm_status got, dm_status want, const dm_err *err, const char *says)
{
    assert_status(got, want, err);
    assert_int_equal(err->code, want);
    if (!strstr(err->msg, says))
        fail_msg("'%s' does not say '%s'", err->msg, says);
}
