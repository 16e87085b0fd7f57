/* Where this code was loaded from; see install_path.h. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "base/install_path.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An object that is looked for: the one with this address in it. */
typedef struct search { uintptr_t address; bool program; char path[PATH_MAX]; } search;

static int look(struct dl_phdr_info *o, size_t size, void *user)
{
    search *s = user;

    (void)size;
    for (int i = 0; i < o->dlpi_phnum; i++) {
        const uintptr_t begin = o->dlpi_addr + o->dlpi_phdr[i].p_vaddr;

        if (o->dlpi_phdr[i].p_type != PT_LOAD || s->address - begin >= o->dlpi_phdr[i].p_memsz)
            continue;
        /* The program comes first, under no name or one that the caller chose. */
        snprintf(s->path, sizeof s->path, "%s", s->program ? "/proc/self/exe" : o->dlpi_name);
        return 1;
    }
    s->program = false;
    return 0;
}

const char *dm_install_path(const char *path, char out[PATH_MAX])
{
    search s = {.address = (uintptr_t)dm_install_path, .program = true};
    char real[PATH_MAX];
    char *slash;

    if (*path == '/' || !*path)
        return path;
    if (!dl_iterate_phdr(look, &s) || !realpath(s.path, real) || !(slash = strrchr(real, '/')))
        return NULL;
    return snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - real), real, path) < PATH_MAX ? out : NULL;
}
