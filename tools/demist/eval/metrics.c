/* The metrics, and which options each takes; see eval.h. */
#include <string.h>

#include "eval/eval.h"

static const eval_metric *const metrics[] = {&eval_quality, &eval_nll, &eval_loss, &eval_accuracy};
enum { N_METRICS = sizeof metrics / sizeof metrics[0] };

const eval_metric *eval_find(const char *name)
{
    for (size_t i = 0; name && i < N_METRICS; i++)
        if (!strcmp(metrics[i]->name, name))
            return metrics[i];
    return NULL;
}

int eval_usage(const cli_command *c, const eval_request *r, const eval_metric *m)
{
    if (!m)
        return cli_usage(c, "give --metric quality, nll, loss or accuracy");
    if (m->quality && !r->features)
        return cli_usage(c,
                         "--metric %s needs --features RUN2, a run whose network computes the features of images; "
                         "configs/features-fashion-mnist.yaml trains one", m->name);
    if (!m->quality && (r->features || r->layer || r->images || r->by_class))
        return cli_usage(c, "--features, --layer, --images and --by-class are for --metric quality");
    if (r->images && r->by_class)
        return cli_usage(c, "--by-class is for samples: given images have no requested class");
    if (!m->quality && !m->nll && (r->save || (r->count && !m->count)))
        return cli_usage(c, m->count ? "--save is for --metric quality and nll"
                                     : "--count and --save are for --metric quality and nll");
    if (r->weights && (!m->count || strcmp(r->weights, "all")))
        return cli_usage(c, "--weights all is for --metric loss");
    if (!m->nll && (r->steps || r->plot || r->ode))
        return cli_usage(c, "--steps, --ode and --plot are for --metric nll");
    if (r->probes && !r->ode)
        return cli_usage(c, "--probes is for --metric nll --ode");
    if (r->plot && r->ode)
        return cli_usage(c, "--plot is of the bound's terms; --ode has none");
    if (m->quality && r->count && r->count < 4)
        return cli_usage(c, "--count is %lld; quality needs 4 at least", (long long)r->count);
    return 0;
}
