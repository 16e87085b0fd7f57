/* Messages for people; see log.h. */
#include "base/log.h"

#include "text/plain_text.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct dm_log {
    pthread_mutex_t mutex;
    dm_log_level most;
    dm_log_sink sink;
    void *user;
    FILE *file;
};

dm_log *dm_log_new(dm_log_level most, dm_log_sink sink, void *user)
{
    dm_log *l = calloc(1, sizeof *l);

    if (!l || pthread_mutex_init(&l->mutex, NULL)) {
        free(l);
        return NULL;
    }
    l->most = most;
    l->sink = sink;
    l->user = user;
    return l;
}

void dm_log_free(dm_log *l)
{
    if (!l)
        return;
    if (l->file)
        fclose(l->file);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

void dm_log_to(dm_log *l, dm_log_sink sink, void *user)
{
    pthread_mutex_lock(&l->mutex);
    l->sink = sink;
    l->user = user;
    pthread_mutex_unlock(&l->mutex);
}

dm_status dm_log_to_file(dm_log *l, const dm_folder *in, const char *name, dm_err *err)
{
    FILE *f = NULL, *old;
    dm_status s;
    int fd;

    if (name && (s = dm_folder_file(in, name, O_WRONLY | O_APPEND | O_CREAT, &fd, NULL, err)))
        return s;
    if (name && !(f = fdopen(fd, "a"))) {
        s = dm_file_error(err, "open", name);
        close(fd);
        return s;
    }
    pthread_mutex_lock(&l->mutex);
    old = l->file;
    l->file = f;
    pthread_mutex_unlock(&l->mutex);
    if (old)
        fclose(old);
    return DM_OK;
}

static void put_line(dm_log *l, dm_log_level level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    const time_t now = time(NULL);
    char when[32] = "";
    struct tm tm;

    if (l->file) {
        if (gmtime_r(&now, &tm))
            strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
        fprintf(l->file, "%s %s: %s\n", when, names[level], line);
        fflush(l->file);
    }
    if (l->sink && level <= l->most)
        l->sink(l->user, level, line);
}

void dm_log_put(dm_log *l, dm_log_level level, const char *fmt, ...)
{
    char text[4096], *line = text, *end;
    va_list ap;

    if (!l)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dm_plain_text(text);
    pthread_mutex_lock(&l->mutex);
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        put_line(l, level, line);
    }
    if (*line || line == text)
        put_line(l, level, line);
    pthread_mutex_unlock(&l->mutex);
}
