/* Each check in a process of its own, on each platform, with a limit of time; the lines and the report. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "plugin_test/plugin_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "text/json_text.h"
#include "text/plain_text.h"
#include "device/device.h"
#include "terminal/message.h"
#include "terminal/signals.h"

enum { MOST_OUTPUT = 1 << 16, MOST_PLATFORMS = 16 };

typedef struct child {
    char out[MOST_OUTPUT], complaints[4096];
    size_t n;
    int status;                    /* of waitpid */
    bool late;                     /* it was ended by the limit */
    double seconds;
} child;

typedef struct tests {
    const plugin_test_request *q;
    FILE *out;                     /* what people read */
    char folder[4096];             /* of all temporary files */
    json_t *checks;                /* NULL: no report is wanted */
    char kind[32];
    int passed, failed, code;      /* code: of the check that ended it */
    child c;
} tests;

/* In the child, between fork and exec. */
static void become(char *const *argv, int out, int complaints)
{
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(complaints, STDERR_FILENO) >= 0)
        execv("/proc/self/exe", argv);
    _exit(127);
}

/* Reads what it says until it ends, the limit is over or a signal came. */
static void listen_to(child *c, int from, pid_t pid, double limit)
{
    const double end = dm_seconds() + limit;
    struct pollfd p = {.fd = from, .events = POLLIN};

    c->late = false;
    c->n = 0;
    for (;;) {
        const int ready = poll(&p, 1, 200); /* another thread may have taken the signal */
        ssize_t got = 0;

        if (cli_signal() || (ready == 0 && dm_seconds() > end)) {
            c->late = !cli_signal();
            kill(pid, SIGKILL);
            break;
        }
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        if (c->n + 1 < sizeof c->out)
            got = read(from, c->out + c->n, sizeof c->out - c->n - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        c->n += (size_t)got;
    }
    c->out[c->n] = 0;
}

static bool run_child(tests *t, char *const *argv, dm_err *err)
{
    FILE *complaints = tmpfile();
    child *c = &t->c;
    int ends[2];
    pid_t pid;
    const double since = dm_seconds();
    size_t n;

    if (!complaints || pipe(ends)) {
        dm_file_error(err, "make", "a temporary file");
        if (complaints)
            fclose(complaints);
        return false;
    }
    if ((pid = fork()) == 0)
        become(argv, ends[1], fileno(complaints));
    close(ends[1]);
    if (pid > 0) {
        listen_to(c, ends[0], pid, (double)t->q->limit);
        while (waitpid(pid, &c->status, 0) < 0 && errno == EINTR)
            continue;
    } else {
        dm_error(err, DM_EIO, "unable to start a process: %s", strerror(errno));
    }
    close(ends[0]);
    c->seconds = dm_seconds() - since;
    rewind(complaints);
    n = fread(c->complaints, 1, sizeof c->complaints - 1, complaints);
    c->complaints[n] = 0;
    fclose(complaints);
    return pid > 0;
}

/* A line of a check's findings, and what it is: "wrong" or "note". */
static void put(tests *t, json_t *findings, const char *what, const char *text)
{
    json_t *one = findings ? json_pack("{s:s, s:s}", "is", what, "text", text) : NULL;

    fprintf(t->out, "  %s: ", what);
    dm_plain_put(t->out, text);
    fputc('\n', t->out);
    if (one)
        json_array_append_new(findings, one);
}

/* The child's lines; those with a word before their colon are findings. */
static void take_lines(tests *t, json_t *findings, bool all)
{
    static const char *const words[] = {"wrong", "note"};
    char *line = t->c.out;

    while (*line) {
        char *end = line + strcspn(line, "\n");
        const bool more = *end;

        *end = 0;
        if (!strncmp(line, "kind: ", 6))
            snprintf(t->kind, sizeof t->kind, "%s", line + 6);
        for (int i = 0; i < 2; i++) {
            const size_t n = strlen(words[i]);

            if (!strncmp(line, words[i], n) && !strncmp(line + n, ": ", 2) && (all || i == 0))
                put(t, findings, words[i], line + n + 2);
        }
        line = more ? end + 1 : end;
    }
}

/* What it complained about before it ended as it should not. */
static void take_complaints(tests *t, json_t *findings)
{
    for (char *line = strtok(t->c.complaints, "\n"); line; line = strtok(NULL, "\n"))
        if (*line)
            put(t, findings, "wrong", !strncmp(line, "demist: error: ", 15) ? line + 15 : line);
}

static bool finish(tests *t, const plugin_test_check *check, const char *device)
{
    const child *c = &t->c;
    const bool ended = WIFEXITED(c->status), passed = ended && WEXITSTATUS(c->status) == 0 && !c->late;
    json_t *findings = t->checks ? json_array() : NULL, *one;
    char text[160];

    fprintf(t->out, "%s (%.1f s)\n", passed ? "OK" : "FAIL", c->seconds);
    if (c->late) {
        snprintf(text, sizeof text, "not done after %lld s; --limit S gives it longer", (long long)t->q->limit);
        put(t, findings, "wrong", text);
    } else if (!ended) {
        snprintf(text, sizeof text, "ended by signal %d (%s)", WTERMSIG(c->status), strsignal(WTERMSIG(c->status)));
        put(t, findings, "wrong", text);
    }
    take_lines(t, findings, true);
    if (!passed && (!ended || c->late || WEXITSTATUS(c->status) != 1))
        take_complaints(t, findings);
    fflush(t->out);
    t->passed += passed;
    t->failed += !passed;
    t->code = ended ? WEXITSTATUS(c->status) : 1;
    if (!t->checks)
        return passed;
    one = json_pack("{s:s, s:s, s:s, s:b, s:f, s:o}", "check", check->name, "of", check->what, "device",
                    device ? device : "", "passed", passed, "seconds", c->seconds, "findings", findings);
    json_array_append_new(t->checks, one);
    return passed;
}

/* False where a signal came, or no process can be started. */
static bool run_check(tests *t, const plugin_test_check *check, const char *device, dm_err *err)
{
    const plugin_test_request *q = t->q;
    const char **argv = calloc((size_t)q->n_given + 16, sizeof *argv);
    int n = 0;
    bool ok;

    if (!argv) {
        dm_error(err, DM_ENOMEM, "out of memory");
        return false;
    }
    argv[n++] = "demist", argv[n++] = "plugin", argv[n++] = "test", argv[n++] = q->file;
    argv[n++] = "--check", argv[n++] = check->name;
    if (device)
        argv[n++] = "--device", argv[n++] = device;
    if (q->order)
        argv[n++] = "--order", argv[n++] = q->order;
    for (int i = 0; i < q->n_given; i++)
        argv[n++] = q->given[i];
    fprintf(t->out, "%s%s%s: %s ... ", check->name, device ? " on " : "", device ? device : "", check->what);
    fflush(t->out);
    ok = run_child(t, (char *const *)(uintptr_t)argv, err) && !cli_signal();
    free((void *)argv);
    if (ok)
        finish(t, check, device);
    else
        fprintf(t->out, "stopped\n");
    return ok;
}

/* The first device of each platform, or the one that is asked for; how many. */
static int find_devices(const char *asked, char devices[MOST_PLATFORMS][24], FILE *out, dm_err *err)
{
    dm_device_info *list, one;
    int n, found = 0;

    if (asked) {
        if (dm_device_pick(asked, &one, err))
            return -1;
        list = &one;
        n = 1;
    } else if (dm_device_list(&list, &n, err)) {
        return -1;
    }
    for (int i = 0; i < n && found < MOST_PLATFORMS; i++)
        if (i == 0 || list[i].platform != list[i - 1].platform) {
            fprintf(out, "device %d:%d: %s (%s)\n", list[i].platform, list[i].device, list[i].name,
                    list[i].platform_name);
            snprintf(devices[found++], sizeof devices[0], "%d:%d", list[i].platform, list[i].device);
        }
    if (!asked)
        free(list);
    return found;
}

static bool for_kind(const plugin_test_check *c, const char *kind)
{
    for (int k = 0; k < DM_KIND_COUNT; k++)
        if (!strcmp(dm_kind_name((dm_kind)k), kind))
            return c->kinds & PLUGIN_TEST_OF(k);
    return false;
}

static bool run_all(tests *t, dm_err *err)
{
    char devices[MOST_PLATFORMS][24];
    const int n = find_devices(t->q->device, devices, t->out, err);

    if (n < 0)
        return false;
    if (!n)
        fprintf(t->out, "there is no OpenCL device: the checks that need one are left out\n");
    for (const plugin_test_check *c = plugin_test_checks; c->name; c++) {
        if (c != plugin_test_checks && !for_kind(c, t->kind))
            continue;
        for (int i = 0; i < (c->device ? n : 1); i++)
            if (!run_check(t, c, c->device ? devices[i] : NULL, err))
                return false;
        if (c == plugin_test_checks && t->failed)
            return true; /* it is no plugin */
    }
    return true;
}

static int print_report(tests *t)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:O, s:i, s:i}", "demist", dm_version(), "file", t->q->file, "kind",
                          t->kind, "checks", t->checks, "passed", t->passed, "failed", t->failed);

    return cli_print_json(j);
}

int plugin_test_all(const plugin_test_request *q)
{
    const char *tmp = getenv("TMPDIR");
    tests *t = calloc(1, sizeof *t);
    dm_err err = {0};
    int code;

    dm_json_begin();
    if (!t || (q->json && !(t->checks = json_array()))) {
        free(t);
        return cli_no_memory();
    }
    t->q = q;
    t->out = q->json ? stderr : stdout;
    snprintf(t->folder, sizeof t->folder, "%s/demist-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(t->folder)) {
        dm_file_error(&err, "make", t->folder);
    } else {
        setenv("TMPDIR", t->folder, 1);
        run_all(t, &err);
        plugin_test_remove(t->folder);
    }
    code = err.code ? cli_fail(&err) : cli_signal() ? 128 + cli_signal() : t->failed ? (t->code == 3 ? 3 : 1) : 0;
    if (!err.code)
        fprintf(t->out, "%s%d passed, %d failed\n", cli_signal() ? "stopped: " : "", t->passed, t->failed);
    if (q->json && !err.code && print_report(t))
        code = 1;
    json_decref(t->checks);
    free(t);
    return code;
}
