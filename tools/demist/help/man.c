/* Manual pages; see man.h. */
#include "help/man.h"

#include <stdio.h>
#include <string.h>

#include "options/usage.h"

/* Text for troff: a backslash and a leading dot or quote would mean something. */
static void put(const char *s)
{
    bool first = true;

    for (; *s; s++) {
        if (first && (*s == '.' || *s == '\''))
            printf("\\&");
        if (*s == '\\')
            printf("\\e");
        else if (*s == '-')
            printf("\\-");
        else
            putchar(*s);
        first = *s == '\n';
    }
}

static void put_lines(const char *text)
{
    printf(".nf\n");
    put(text);
    printf(".fi\n");
}

/* Paragraphs are filled; lines that begin with a blank stay as they are. */
static void put_details(const char *text)
{
    bool kept = false;
    char line[2000];

    while (*text) {
        const size_t n = strcspn(text, "\n");

        if ((*text == ' ') != kept) {
            kept = !kept;
            printf(kept ? ".PP\n.nf\n" : ".fi\n.PP\n");
        }
        snprintf(line, sizeof line, "%.*s\n", (int)n, text);
        put(line);
        text += n + (text[n] == '\n');
    }
    if (kept)
        printf(".fi\n");
}

static void put_options(const cli_option *rows)
{
    char text[300], help[600];

    for (const cli_option *o = rows; o && o->kind; o++) {
        if (o->kind == CLI_T_HEADING) {
            printf(".SS ");
            put(o->help);
            putchar('\n');
            continue;
        }
        cli_option_text(o, text, sizeof text);
        cli_option_help(o, help, sizeof help);
        printf(".TP\n.B ");
        put(text);
        putchar('\n');
        put(help);
        putchar('\n');
    }
}

static void put_title(const char *name)
{
    printf(".TH ");
    for (const char *p = name; *p; p++) {
        if (*p == '-')
            putchar('\\');
        putchar(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    }
    printf(" 1 \"\" \"demist %s\" \"User Commands\"\n.SH NAME\n", dm_version());
}

void man_program(const cli_program *program)
{
    put_title("demist");
    printf("demist \\- denoising diffusion on any OpenCL device\n.SH SYNOPSIS\n.B demist\n.I COMMAND\n\\&...\n"
           ".SH DESCRIPTION\nTrains, samples and checks diffusion models from a YAML experiment, with plugins, on "
           "OpenCL "
           "devices.\n.SH COMMANDS\n");
    for (int i = 0; program->commands[i]; i++) {
        if (program->commands[i]->hidden)
            continue;
        printf(".TP\n.BR demist\\-");
        put(program->commands[i]->name);
        printf(" (1)\n");
        put(program->commands[i]->summary);
        putchar('\n');
    }
    printf(".SH OPTIONS OF EVERY COMMAND\n");
    put_options(cli_common_options);
    printf(".SH EXIT STATUS\n");
    put_lines(program->exit_codes);
    printf(".SH ENVIRONMENT\n.nf\nDEMIST_PLUGIN_PATH  folders of plugins, separated by ':'\n"
           "DEMIST_KERNELS      a folder of kernel sources in place of those in the program\n"
           "DEMIST_CACHE        where programs and measurements are cached\n"
           "DEMIST_CPU          avx512, avx2 or sse: on an x86 CPU no more than that, to try what others have\n"
           "DEMIST_TUNE         off, auto or on: before the key tune\n"
           "DEMIST_IMPL         implementations to force, as conv2d=portable,matmul=clblast\n"
           "DEMIST_REPLAY       on or off: whether launches are replayed by command buffers; GPUs that have them do\n"
           "DEMIST_LOG          error, warning, info or debug: what is logged without --quiet and --verbose\n"
           "NO_COLOR            no colour\n.fi\n");
}

void man_command(const cli_program *program, const cli_command *c)
{
    char name[80];

    snprintf(name, sizeof name, "demist-%s", c->name);
    put_title(name);
    put(name);
    printf(" \\- ");
    put(c->summary);
    printf("\n.SH SYNOPSIS\n.nf\n");
    printf("demist ");
    cli_put_synopsis(stdout, c);
    printf("\n.fi\n");
    if (c->details) {
        printf(".SH DESCRIPTION\n");
        put_details(c->details);
    }
    printf(".SH OPTIONS\n");
    put_options(c->options);
    if (c->options)
        printf(".SS of every command:\n");
    put_options(cli_common_options);
    if (c->examples) {
        printf(".SH EXAMPLES\n");
        put_lines(c->examples);
    }
    printf(".SH EXIT STATUS\n");
    put_lines(program->exit_codes);
    printf(".SH SEE ALSO\n.BR demist (1)\n");
}
