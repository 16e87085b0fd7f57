/* One plugin from one shared object; see plugin_file.h. */
#include "plugin/plugin_file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "settings/param.h"

#define REFUSE(err, ...) dm_error((err), DM_EABI, __VA_ARGS__)

/* Leak reports need the names of code that was loaded. */
#if defined(__SANITIZE_ADDRESS__)
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)
#else
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL)
#endif

enum { MOST_HEADERS = 256, MOST_SCALARS = 64, LARGEST_SELF = 1 << 30 };

dm_status dm_writers_of(const char *path, dm_writers *w, dm_err *err)
{
    struct stat st;

    if (stat(path, &st))
        return dm_file_error(err, "look at", path);
    *w = st.st_mode & S_IWOTH ? DM_WRITERS_ANYONE : st.st_mode & S_IWGRP ? DM_WRITERS_GROUP : DM_WRITERS_OWNER;
    return DM_OK;
}

/* ---- the file ---------------------------------------------------------------- */

/* The loader maps what the program headers say; beyond the file's end that would be a fault of the process. */
static dm_status check_segments(int fd, const ElfW(Ehdr) *head, uint64_t bytes, dm_err *err)
{
    if (!head->e_phnum || head->e_phnum > MOST_HEADERS || head->e_phentsize != sizeof(ElfW(Phdr)))
        return REFUSE(err, "is not a shared object: its ELF header has %u program headers", (unsigned)head->e_phnum);
    for (unsigned i = 0; i < head->e_phnum; i++) {
        ElfW(Phdr) seg;
        dm_status rc = DM_ECORRUPT;

        if (head->e_phoff <= bytes)
            rc = dm_file_read_at(fd, "it", (int64_t)(head->e_phoff + i * sizeof seg), &seg, sizeof seg, err);
        if (rc && rc != DM_ECORRUPT)
            return rc;
        if (rc || seg.p_filesz > bytes || seg.p_offset > bytes - seg.p_filesz)
            return REFUSE(err, "is truncated: %llu bytes are fewer than its ELF header says; copy or build it again",
                          (unsigned long long)bytes);
    }
    return DM_OK;
}

typedef struct shown { char text[32]; } shown;

static shown show_machine(unsigned machine)
{
    static const struct { unsigned machine; const char *name; } known[] = {
        {EM_X86_64, "x86-64"}, {EM_386, "x86"}, {EM_AARCH64, "AArch64"}, {EM_ARM, "ARM"}, {EM_RISCV, "RISC-V"},
        {EM_PPC64, "POWER"}, {EM_S390, "s390"}, {EM_LOONGARCH, "LoongArch"}};
    shown s;

    snprintf(s.text, sizeof s.text, "machine %u", machine);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].machine == machine)
            snprintf(s.text, sizeof s.text, "%s", known[i].name);
    return s;
}

/* The machine that this process runs on; EM_NONE where it cannot be told. */
static unsigned own_machine(void)
{
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ElfW(Ehdr) head = {0};
    const bool known = fd >= 0 && !dm_file_read_at(fd, "it", 0, &head, sizeof head, NULL);

    if (fd >= 0)
        close(fd);
    return known ? head.e_machine : EM_NONE;
}

static dm_status check_elf(int fd, uint64_t bytes, dm_err *err)
{
    static const uint16_t one = 1;
    const unsigned char order = *(const unsigned char *)&one ? ELFDATA2LSB : ELFDATA2MSB;
    const unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    const unsigned own = own_machine();
    ElfW(Ehdr) head = {0};
    dm_status rc;

    if (!bytes)
        return REFUSE(err, "is empty");
    rc = dm_file_read_at(fd, "it", 0, &head, bytes < sizeof head ? SELFMAG : sizeof head, err);
    if (rc && rc != DM_ECORRUPT)
        return rc;
    if (rc || memcmp(head.e_ident, ELFMAG, SELFMAG))
        return REFUSE(err, "is not a shared object: no ELF header%s",
                      rc || !*dm_file_hint(&head, sizeof head) ? "; build a plugin with cc -shared -fPIC"
                                                               : dm_file_hint(&head, sizeof head));
    if (bytes < sizeof head)
        return REFUSE(err, "is truncated: %llu bytes are fewer than an ELF header", (unsigned long long)bytes);
    if (head.e_ident[EI_CLASS] != class || head.e_ident[EI_DATA] != order)
        return REFUSE(err, "is a shared object for another machine (%s, %s-endian); build it for this one",
                      head.e_ident[EI_CLASS] == ELFCLASS64 ? "64 bits" : "32 bits",
                      head.e_ident[EI_DATA] == ELFDATA2MSB ? "big" : "little");
    if (own != EM_NONE && head.e_machine != own)
        return REFUSE(err, "is a shared object for %s, and this is %s; build it for this machine",
                      show_machine(head.e_machine).text, show_machine(own).text);
    if (head.e_type != ET_DYN)
        return REFUSE(err, "is an ELF file, but not a shared object; build a plugin with cc -shared -fPIC");
    return check_segments(fd, &head, bytes, err);
}

dm_status dm_plugin_check_file(const char *file, dm_err *err)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    dm_status rc;

    if (fd < 0)
        return errno == ENOMEM || errno == EIO ? dm_file_error(err, "open", file)
                                               : REFUSE(err, "unable to open it: %s", strerror(errno));
    if (fstat(fd, &st))
        rc = dm_file_error(err, "look at", file);
    else if (!S_ISREG(st.st_mode))
        rc = REFUSE(err, "is not a regular file");
    else if (st.st_mode & S_IWOTH)
        rc = REFUSE(err, "it is writable by anyone; chmod o-w");
    else
        rc = check_elf(fd, (uint64_t)st.st_size, err);
    close(fd);
    return rc;
}

/* ---- the table ----------------------------------------------------------------- */

static dm_status check_version(const dm_plugin *p, dm_err *err)
{
    const unsigned major = p->abi >> 16, minor = p->abi & 0xffff, ours = DM_ABI >> 16, newest = DM_ABI & 0xffff;

    if (major == ours && (major ? minor <= newest : minor == newest))
        return DM_OK;
    return REFUSE(
        err, "was built for plugin interface %u.%u, this demist has %u.%u; build it again with this demist's header",
        major, minor, ours, newest);
}

static dm_status check_size(const char *what, uint32_t found, size_t expected, dm_err *err)
{
    if (found == expected)
        return DM_OK;
    return REFUSE(err, "table %s has size %u where the interface has %zu; set .size = sizeof(%s)", what,
                  (unsigned)found, expected, what);
}

static dm_status missing(const char *what, const char *callback, dm_err *err)
{
    return REFUSE(err, "%s has no function '%s', which is required", what, callback);
}

static dm_status check_schedule(const dm_schedule *s, dm_err *err)
{
    const dm_status rc = check_size("dm_schedule", s->size, sizeof *s, err);

    if (rc)
        return rc;
    if (!s->fill == !s->at)
        return REFUSE(err, "schedule has %s of 'fill' and 'at'; exactly one is required", s->fill ? "both" : "none");
    return DM_OK;
}

static dm_status check_sampler(const dm_sampler *s, dm_err *err)
{
    const dm_status rc = check_size("dm_sampler", s->size, sizeof *s, err);

    return rc ? rc : s->step ? DM_OK : missing("sampler", "step", err);
}

static dm_status check_grid(const dm_grid *g, dm_err *err)
{
    const dm_status rc = check_size("dm_grid", g->size, sizeof *g, err);

    return rc ? rc : g->fill ? DM_OK : missing("grid", "fill", err);
}

static dm_status check_guidance(const dm_guidance *g, dm_err *err)
{
    const uint32_t known = DM_USES(DM_OF_COUNT) - 1;
    const dm_status rc = check_size("dm_guidance", g->size, sizeof *g, err);

    if (rc)
        return rc;
    if (!(g->uses & DM_USES(DM_OF_CLASS)) || (g->uses & ~known))
        return REFUSE(err, "guidance has uses = 0x%x; it must have DM_USES(DM_OF_CLASS) and nothing beyond 0x%x",
                      (unsigned)g->uses, (unsigned)known);
    if (g->writes > DM_GUIDES_X0_AND_EPS)
        return REFUSE(err, "guidance has writes = %u; it must be one of DM_GUIDES_OUT and those after it",
                      (unsigned)g->writes);
    return g->guide || g->uses == DM_USES(DM_OF_CLASS) ? DM_OK : missing("guidance", "guide", err);
}

static dm_status check_network(const dm_network *n, dm_err *err)
{
    const dm_status rc = check_size("dm_network", n->size, sizeof *n, err);

    return rc ? rc : n->build ? DM_OK : missing("network", "build", err);
}

static dm_status check_dataset(const dm_dataset *d, dm_err *err)
{
    const dm_status rc = check_size("dm_dataset", d->size, sizeof *d, err);

    if (rc)
        return rc;
    return !d->open ? missing("dataset", "open", err) : !d->read ? missing("dataset", "read", err) : DM_OK;
}

static dm_status check_objective(const dm_objective *o, dm_err *err)
{
    const dm_status rc = check_size("dm_objective", o->size, sizeof *o, err);

    if (rc)
        return rc;
    if (!o->loss)
        return missing("objective", "loss", err);
    if (o->n_scalars < 0 || o->n_scalars > MOST_SCALARS)
        return REFUSE(err, "objective has n_scalars = %d, outside [0, %d]", (int)o->n_scalars, MOST_SCALARS);
    if (o->n_scalars && !o->scalars)
        return missing("objective", "scalars", err);
    if (!o->affine && (o->log_var || o->draw))
        return REFUSE(err, "objective has '%s' without 'affine'", o->log_var ? "log_var" : "draw");
    return DM_OK;
}

static dm_status check_kind(const dm_plugin *p, dm_kind *kind, dm_err *err)
{
    const void *const tables[DM_KIND_COUNT] = {p->schedule, p->sampler, p->network, p->objective, p->dataset, p->grid,
                                                p->guidance};
    char found[128] = "";
    int n = 0;

    for (int k = 0; k < DM_KIND_COUNT; k++) {
        if (!tables[k])
            continue;
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", n++ ? ", " : "",
                 dm_kind_name((dm_kind)k));
        *kind = (dm_kind)k;
    }
    if (n != 1)
        return REFUSE(err, "has %d kinds%s%s%s; exactly one must be set", n, n ? " (" : "", found, n ? ")" : "");
    switch (*kind) {
    case DM_KIND_SCHEDULE: return check_schedule(p->schedule, err);
    case DM_KIND_SAMPLER: return check_sampler(p->sampler, err);
    case DM_KIND_NETWORK: return check_network(p->network, err);
    case DM_KIND_OBJECTIVE: return check_objective(p->objective, err);
    case DM_KIND_GRID: return check_grid(p->grid, err);
    case DM_KIND_GUIDANCE: return check_guidance(p->guidance, err);
    default: return check_dataset(p->dataset, err);
    }
}

static dm_status check_about(const dm_plugin *p, dm_err *err)
{
    if (!p->name || !dm_name_ok(p->name))
        return REFUSE(err, "has the name '%s'; a-z, 0-9 and _ are allowed", p->name ? p->name : "");
    if (!p->doc || !*p->doc)
        return REFUSE(err, "has no documentation (.doc)");
    if (!p->version || !p->license)
        return REFUSE(err, "has no %s", p->version ? "license" : "version");
    if (p->self_size > LARGEST_SELF)
        return REFUSE(err, "wants %u bytes of memory of its own, more than %d", (unsigned)p->self_size, LARGEST_SELF);
    return DM_OK;
}

dm_status dm_plugin_check(const dm_plugin *p, dm_kind *kind, dm_err *err)
{
    dm_err why;
    dm_status rc;

    if ((rc = check_version(p, err)) || (rc = check_size("dm_plugin", p->size, sizeof *p, err)) ||
        (rc = check_about(p, err)) || (rc = check_kind(p, kind, err)))
        return rc;
    rc = dm_param_check(p->params, p->cfg_size, dm_settings[dm_kind_section(*kind)].rows, &why);
    if (rc)
        return dm_error(err, rc == DM_ENOMEM ? rc : DM_EABI, "%s", why.msg);
    for (const dm_earlier *e = p->earlier; e && e->name; e++)
        if (!e->value || !dm_param_find(p->params, e->name))
            return REFUSE(err, ".earlier names '%s', which is not a parameter or has no value", e->name);
    return DM_OK;
}

/* ---- both ------------------------------------------------------------------------ */

static dm_status check_stem(const char *file, const char *name, dm_err *err)
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    const size_t n = strlen(name);

    if (strncmp(base, name, n) || strcmp(base + n, ".so"))
        return REFUSE(err, "has the name '%s'; its file must be called %s.so", name, name);
    return DM_OK;
}

dm_status dm_plugin_open(const char *file, void **handle, const dm_plugin **out, dm_kind *kind, dm_err *err)
{
    const dm_plugin *p;
    dm_status rc;

    if (file[0] != '/')
        return REFUSE(err, "is not an absolute path");
    if ((rc = dm_plugin_check_file(file, err)))
        return rc;
    if (!(*handle = dlopen(file, OPEN_FLAGS))) {
        const char *why = dlerror();
        return REFUSE(err, "unable to load it: %s", why ? why : "no reason given");
    }
    if (!(p = dlsym(*handle, "dm_plugin_entry")))
        rc = REFUSE(err, "has no symbol 'dm_plugin_entry'; define it as in <demist/plugin.h>, with default visibility");
    else if (!(rc = dm_plugin_check(p, kind, err)))
        rc = check_stem(file, p->name, err);
    if (rc) {
        dlclose(*handle);
        return rc;
    }
    *out = p;
    return DM_OK;
}
