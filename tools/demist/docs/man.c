/* demist docs: the reference of all keys, the manual page, the shell's completion: all made from the tables that the
 * program itself uses. */
#include "options/cli.h"

#include <stdio.h>
#include <string.h>

#include "plugin/describe.h"
#include "base/error.h"

static int run(int argc, char **argv);

const cli_command cmd_docs = {
    "docs", "docs [--man | --bash]", "print the reference of all keys, the manual page, or the shell's completion",
    "  --man    the manual page, for man(1)\n  --bash   completion for bash, to be sourced\n\n"
    "Made from the tables that parse and check: docs/config.md is the output without an option.\n", run};

/* Text for troff: a backslash and a leading dot or quote would mean something. */
static void escaped(const char *s)
{
    bool first = true;

    for (; *s; s++) {
        if (first && (*s == '.' || *s == '\''))
            printf("\\&");
        if (*s == '\\' || *s == '-')
            putchar('\\');
        putchar(*s);
        first = *s == '\n';
    }
}

static void manual(void)
{
    printf(".TH DEMIST 1 \"\" \"demist %s\" \"User Commands\"\n.SH NAME\ndemist \\- denoising diffusion on any OpenCL "
           "device\n"
           ".SH SYNOPSIS\n.B demist\n.I COMMAND\n\\&...\n.SH DESCRIPTION\n"
           "Trains, samples and checks diffusion models from a YAML experiment, with plugins, on OpenCL devices.\n.SH "
           "COMMANDS\n",
           dm_version());
    for (int i = 0; i < cli_n_commands; i++) {
        const cli_command *c = cli_commands[i];

        printf(".SS ");
        escaped(c->usage);
        printf("\n.nf\n");
        escaped(c->summary);
        printf(".\n\n");
        escaped(c->help);
        printf(".fi\n");
    }
    printf(".SH EXIT STATUS\n.nf\n");
    escaped(cli_exit_codes);
    printf(".fi\n.SH ENVIRONMENT\n.nf\nDEMIST_PLUGIN_PATH  folders of plugins, separated by ':'\n"
           "DEMIST_KERNELS      a folder of kernel sources in place of those in the program\n"
           "DEMIST_CACHE        where programs and measurements are cached\n"
           "DEMIST_TUNE         off, auto or on: before the key tune\n"
           "DEMIST_IMPL         implementations to force, as conv2d=portable,matmul=clblast\n"
           "DEMIST_REPLAY       on or off: whether launches are replayed by command buffers; GPUs that have them do\n"
           "DEMIST_LOG          warning, info or debug: what is said where neither --quiet nor --verbose is given\n"
           "NO_COLOR            no colour\n.fi\n");
}

static void completion(void)
{
    printf("_demist() {\n  local word=${COMP_WORDS[COMP_CWORD]}\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    "
           "COMPREPLY=($(compgen -W \"");
    for (int i = 0; i < cli_n_commands; i++)
        printf("%s ", cli_commands[i]->name);
    printf("help --help --version\" -- \"$word\"))\n    return\n  fi\n  case \"$word\" in\n"
           "    --*) COMPREPLY=($(compgen -W \"$(demist \"${COMP_WORDS[1]}\" --help | grep -oE -- '--[a-z-]+' | sort "
           "-u)\" -- \"$word\")) ;;\n"
           "    *.use=*) COMPREPLY=($(compgen -W \"$(demist plugins | awk '/^  /{print $1}')\" -- \"${word#*=}\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$word\") $(compgen -S = -W \"$(demist docs | sed -n 's/^## "
           "`\\(.*\\)`$/s \\1/p; s/^| `\\([a-z0-9_]*\\)` .*/k \\1/p' |\n"
           "         awk '$1 == \"s\" {s = $2 \".\"; next} {print s $2}')\" -- \"$word\")) ;;\n  esac\n}\ncomplete -o "
           "nospace -F _demist demist\n");
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"man", no_argument, NULL, 'm'}, {"bash", no_argument, NULL, 'b'}, CLI_COMMON};
    cli_common common = {0};
    dm_registry *r;
    dm_err err = {0};
    dm_status rc;
    bool done;
    int opt, code;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'm' || opt == 'b') {
            (opt == 'm' ? manual : completion)();
            return 0;
        }
        if (cli_common_option(&cmd_docs, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind < argc)
        return cli_usage(&cmd_docs, "'%s' is too many", argv[optind]);
    if (dm_registry_new(NULL, &r, &err))
        return cli_fail(&err);
    rc = dm_describe_reference(stdout, r, &err);
    dm_registry_free(r);
    return rc ? cli_fail(&err) : 0;
}
