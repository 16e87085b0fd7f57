/* demist plugin build: one C file into the user's folder of plugins, with the compiler's own messages. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "plugin_test/plugin_test.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/install_path.h"
#include "base/file.h"
#include "settings/param.h"
#include "terminal/message.h"
#include "terminal/signals.h"

/* What is built of what. */
typedef struct job { char source[PATH_MAX], folder[PATH_MAX], object[PATH_MAX + 80], temporary[PATH_MAX + 96]; } job;

/* The folder that holds demist/plugin.h: that of the source tree where demist runs from its build folder. */
static const char *include_folder(char beside[PATH_MAX])
{
    const char *folder = dm_install_path(DEMIST_INCLUDE_DIR, beside);
    char header[PATH_MAX + 16];

    snprintf(header, sizeof header, "%s/demist/plugin.h", folder ? folder : "");
    return access(header, R_OK) ? DEMIST_SOURCE_INCLUDE_DIR : folder;
}

/* argv in a process of its own, which has this one's streams; its exit code, 1 where a signal ended it. */
static int run_program(char *const *argv, dm_err *err)
{
    const pid_t pid = fork();
    int status = 0;

    if (pid < 0) {
        dm_error(err, DM_EIO, "unable to start a process: %s", strerror(errno));
        return 1;
    }
    if (pid == 0) {
        execvp(argv[0], argv);
        fprintf(stderr, "demist: error: unable to run '%s': %s; install a C compiler, or set CC to one\n", argv[0],
                strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The compiler may have arguments of its own: CC="ccache gcc". */
static int compile(const job *j, dm_err *err)
{
    static const char *const flags[] = {"-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-shared", "-fPIC",
                                        "-fvisibility=hidden"};
    const char *cc = getenv("CC");
    char words[1024], beside[PATH_MAX], include[PATH_MAX + 2];
    const char *argv[64];
    int n = 0;

    snprintf(words, sizeof words, "%s", cc && *cc ? cc : "cc");
    for (char *w = strtok(words, " "); w && n < 16; w = strtok(NULL, " "))
        argv[n++] = w;
    if (!n)
        argv[n++] = "cc";
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        argv[n++] = flags[i];
    snprintf(include, sizeof include, "-I%s", include_folder(beside));
    argv[n++] = include;
    argv[n++] = j->source, argv[n++] = "-o", argv[n++] = j->temporary, argv[n++] = "-lm", argv[n++] = "-Wl,-z,defs";
    argv[n] = NULL;
    return run_program((char *const *)(uintptr_t)argv, err);
}

static dm_status prepare(const plugin_test_build *q, job *j, dm_err *err)
{
    const size_t n = strlen(q->file);
    const char *slash, *name;
    char plugin[68];
    dm_path_kind kind;
    dm_status rc;

    if (!realpath(q->file, j->source))
        return dm_file_error(err, "open", q->file);
    slash = strrchr(j->source, '/');
    name = slash ? slash + 1 : j->source;
    if ((rc = dm_path_look(j->source, &kind, err)))
        return rc;
    if (kind != DM_PATH_FILE || n < 3 || strcmp(q->file + n - 2, ".c") || strlen(name) > 66)
        return dm_error(err, DM_EINVAL, "'%s' is not a C file, NAME.c, of a plugin called NAME", q->file);
    snprintf(plugin, sizeof plugin, "%.*s", (int)(strlen(name) - 2), name);
    if (!dm_name_ok(plugin))
        return dm_error(err, DM_EINVAL, "'%s' would be a plugin called '%s', which no demist loads; name the file with "
                        "a-z, 0-9 and _", q->file, plugin);
    if (q->folder && strlen(q->folder) + 80 > sizeof j->folder)
        return dm_error(err, DM_EINVAL, "'%.60s...' is too long for a folder's name", q->folder);
    if (q->folder)
        snprintf(j->folder, sizeof j->folder, "%s", q->folder);
    else if (!dm_plugin_user_folder(j->folder, sizeof j->folder))
        return dm_error(err, DM_EINVAL, "there is no folder for your plugins: neither XDG_DATA_HOME nor HOME is set; "
                                        "name one with --folder");
    snprintf(j->object, sizeof j->object, "%s/%.*s.so", j->folder, (int)(strlen(name) - 2), name);
    snprintf(j->temporary, sizeof j->temporary, "%s/.%.*s.tmp", j->folder, (int)(strlen(name) - 2), name);
    return dm_folder_make(j->folder, err);
}

/* A plugin that is there already stays until there is a new one. */
static int build_once(const job *j, bool quiet)
{
    dm_err err = {0};
    int code = compile(j, &err);

    if (err.code)
        return cli_fail(&err);
    if (!code && rename(j->temporary, j->object)) {
        dm_file_error(&err, "write", j->object);
        code = cli_fail(&err);
    }
    if (code) {
        unlink(j->temporary);
        return code == 127 ? 1 : code;
    }
    if (!quiet)
        cli_print_path(j->object);
    fflush(stdout);
    return 0;
}

/* The program's own checks of what was built, in another process, as it is loaded anew. */
static int test_it(const plugin_test_build *q, const job *j)
{
    const char *argv[80] = {"/proc/self/exe", "plugin", "test", j->object};
    dm_err err = {0};
    int n = 4;

    for (int i = 0; i < q->n_given && n < 79; i++)
        argv[n++] = q->given[i];
    return run_program((char *const *)(uintptr_t)argv, &err);
}

static struct timespec changed(const char *file)
{
    struct stat st;

    return stat(file, &st) ? (struct timespec){0} : st.st_mtim;
}

int plugin_test_build_file(const plugin_test_build *q)
{
    static job j;
    dm_err err = {0};
    int code;

    if (prepare(q, &j, &err))
        return cli_fail(&err);
    for (;;) {
        const struct timespec was = changed(j.source);

        if ((code = build_once(&j, q->quiet)) == 0 && q->watch)
            test_it(q, &j);
        if (!q->watch)
            return code;
        fprintf(stderr, "demist: waiting for '%s' to change; Ctrl-C ends this\n", q->file);
        while (!cli_signal()) {
            const struct timespec is = changed(j.source);

            if (is.tv_sec != was.tv_sec || is.tv_nsec != was.tv_nsec)
                break;
            nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        }
        if (cli_signal())
            return 128 + cli_signal();
    }
}
