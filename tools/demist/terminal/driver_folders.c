/* Folders that OpenCL drivers need. PoCL offers no device unless it can write a cache; a user without a home, or
 * with one that may only be read, has none, so the program (never the library) names one for it. */
#include "terminal/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* Whether the folder is there, or can be, and can be written. */
static bool usable(const char *path)
{
    dm_err ignored;

    return *path == '/' && !dm_folder_make(path, &ignored) && !access(path, W_OK | X_OK);
}

static char pocl_cache[4096];

const char *cli_pocl_cache(void) { return pocl_cache; }

static void find_pocl_cache(void)
{
    const char *own = getenv("POCL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (own)
        snprintf(pocl_cache, sizeof pocl_cache, "%s", own);
    else if (xdg && *xdg)
        snprintf(pocl_cache, sizeof pocl_cache, "%s/pocl/kcache", xdg);
    else if (home)
        snprintf(pocl_cache, sizeof pocl_cache, "%s/.cache/pocl/kcache", home);
    if (access(pocl_cache, R_OK))
        pocl_cache[0] = 0;
}

/* PoCL's own place is taken where it can be written. */
static void make_pocl_cache(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *tmp = getenv("TMPDIR");
    char path[4096];
    struct stat st;

    if (getenv("POCL_CACHE_DIR") || (xdg && usable(xdg)) ||
        (!(xdg && *xdg) && home && (size_t)snprintf(path, sizeof path, "%s/.cache", home) < sizeof path &&
         usable(path)))
        return;
    if ((size_t)snprintf(path, sizeof path, "%s/demist-%ld", tmp && *tmp == '/' ? tmp : "/tmp", (long)geteuid()) >=
        sizeof path)
        return;
    mkdir(path, 0700);
    /* What lies there will run: nobody else may have put it there. */
    if (!lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
        setenv("POCL_CACHE_DIR", path, 0);
}

void cli_driver_folders(void)
{
    make_pocl_cache();
    find_pocl_cache();
}
