/* demist info: what a trained model is, and what it can be asked for. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "data/conditions.h"
#include "device/tensor.h"
#include "options/command.h"

static void print_data(const dm_model_properties *p)
{
    const int64_t *d = p->shape.dim;

    if (p->shape.rank == 3 && p->latents)
        printf("data        latents of %lld x %lld, %lld channels, of the images that '%s' decodes\n", (long long)d[2],
               (long long)d[1], (long long)d[0], p->latents);
    else if (p->shape.rank == 3)
        printf("data        images of %lld x %lld pixels, %lld channel%s\n", (long long)d[2], (long long)d[1],
               (long long)d[0], d[0] == 1 ? "" : "s");
    else
        printf("data        points in %lld dimensions\n", (long long)d[0]);
}

/* "0 t-shirt, 1 trouser" */
static void print_names(const dm_model_properties *p)
{
    const char *name = p->class_names;

    for (int32_t k = 0; name && k < p->classes; k++) {
        const size_t n = strcspn(name, "/");

        printf("%s%d %.*s", k ? ", " : "", (int)k, (int)n, name);
        name += n + (name[n] == '/');
    }
    if (!name)
        printf("0 to %d", (int)p->classes - 1);
}

static void print_condition(const dm_condition *c)
{
    printf("condition   %s, %s %s\n", c->name, dm_condition_kind_name(c->kind), dm_shape_show(&c->shape).text);
}

static void print_what_can_be_asked(const dm_model_properties *p)
{
    if (!p->diffuses)
        return;
    if (p->takes_class) {
        printf("class       ");
        print_names(p);
        printf("%s\n", p->takes_none ? ", or none" : "");
    } else {
        printf("class       %s\n", p->classes ? "not read by the network" : "the data has none");
    }
    for (int64_t k = 0; k < p->n_conditions; k++)
        print_condition(&p->conditions[k]);
    printf("guidance    %s\n", p->takes_none ? "cfg, apg and cfgpp, since it also works without; autoguidance"
                                             : "autoguidance");
}

static int run(cli_call *call)
{
    dm_model_options o = {.size = sizeof o, .overrides = call->overrides, .n_overrides = call->n_overrides};
    dm_model_properties p = {.size = sizeof p};
    cli_terminal *t = cli_terminal_new(&call->common);
    dm_model *m;
    dm_err err = {0};
    dm_status rc;

    if (!t)
        return cli_no_memory();
    o.callbacks = cli_callbacks(t);
    if ((rc = dm_model_open(call->argument[0], &o, &m, &err))) {
        cli_terminal_free(t);
        return cli_fail(&err);
    }
    if (!(rc = dm_model_info(m, &p, &err))) {
        printf("name        %s, step %lld\n", p.name, (long long)p.step);
        printf("network     %s, %lld parameters\n", p.network, (long long)p.parameters);
        print_data(&p);
        printf("objective   %s%s%s\n", p.objective, p.schedule ? ", schedule " : "", p.schedule ? p.schedule : "");
        if (p.sampler && p.diffuses)
            printf("sampler     %s\n", p.sampler);
        print_what_can_be_asked(&p);
    }
    dm_model_close(m);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_info = {
    .name = "info",
    .summary = "show what a trained model is and what it can sample",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true}, {0}},
    .examples = "  demist info runs/fashion-mnist-classes\n",
    .details = "Its classes are what 'demist sample --class' takes, its conditions what --condition takes.\n",
    .run = run};
