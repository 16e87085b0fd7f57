/* A network that goes wrong while it is described. */
#define BEHAVIOURS(X)                                                                                                \
    X(silent)                                                                                                        \
    X(no_value) X(garbage) X(input_itself) X(null_name) X(long_name) X(unprintable_name) X(twice) X(batch_shape)     \
        X(batch_name) X(batch_count) X(absent_input) X(garbage_input) X(labels_as_numbers) X(misfit) X(reshape_null) \
            X(recursive) X(channels) X(unused) X(logs) X(sums) X(nan_scale) X(overflows) X(deep_scope)               \
                X(null_scope) X(negative_dropout) X(nan_dropout) X(whole_dropout) X(nan_weight) X(infinite_weight)   \
                    X(nan_constant) X(failed_after_all) X(patient) X(frozen)
#include <time.h>

#include "wrong.h"

static int deeper(volatile int *n) /* no stack is as large */
{
    volatile char frame[4096];

    frame[*n % 4096] = (char)*n;
    return ++*n < 1 << 30 ? deeper(n) + frame[0] : 0;
}

static dm_val hidden(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const int64_t N = g->shape(g, in->x).dim[0];
    const dm_graph *deep = g;
    char name[16];

    switch (wrong(c)) {
    case null_name: return g->linear(g, NULL, in->x, 8, 0);
    case long_name:
        for (int i = 0; i < 60; i++)
            deep = deep->scope(deep, "block_%d", i);
        return deep->linear(deep, "in", in->x, 8, 0);
    case deep_scope:
        for (int i = 0; i < 100000; i++)
            deep = deep->scope(deep, "%s", "");
        return deep->linear(deep, "in", in->x, 8, 0);
    case null_scope: deep = g->scope(g, NULL); return deep->linear(deep, "in", in->x, 8, 0);
    case negative_dropout: return g->dropout(g, g->linear(g, "in", in->x, 8, 0), -1);
    case nan_dropout: return g->dropout(g, g->linear(g, "in", in->x, 8, 0), NAN);
    case whole_dropout: return g->dropout(g, g->linear(g, "in", in->x, 8, 0), 1);
    case nan_weight: return g->mul(g, g->linear(g, "in", in->x, 8, 0), g->weight(g, "a", &(dm_shape){2, {1, 8}}, NAN));
    case infinite_weight:
        deep = g->scope(g, "deep");
        return g->mul(g, g->linear(g, "in", in->x, 8, 0), deep->weight(deep, "a", &(dm_shape){2, {1, 8}}, INFINITY));
    case nan_constant:
        deep = g->scope(g, "deep");
        return g->add(g, g->linear(g, "in", in->x, 8, 0),
                      deep->constant(deep, (const float[8]){0, -INFINITY, NAN}, &(dm_shape){2, {1, 8}}));
    case unprintable_name: return g->linear(g, "in\033[31m", in->x, 8, 0);
    case twice: return g->linear(g, "in", g->linear(g, "in", in->x, 8, 0), 8, 0);
    case batch_shape: return g->mul(g, g->linear(g, "in", in->x, 8, 0), g->weight(g, "a", &(dm_shape){1, {N}}, 1));
    case batch_name:
        snprintf(name, sizeof name, "in_%d", (int)N);
        return g->linear(g, name, in->x, 8, 0);
    case batch_count: return N == 1 ? g->linear(g, "more", g->linear(g, "in", in->x, 8, 0), 8, 0)
                                    : g->linear(g, "in", in->x, 8, 0);
    case absent_input: return g->add(g, g->linear(g, "in", in->x, 8, 0), g->silu(g, in->labels));
    case garbage_input: return g->add(g, g->linear(g, "in", in->x, 8, 0), 9999);
    case labels_as_numbers: return g->add(g, g->linear(g, "in", in->x, 8, 0), g->scale(g, in->labels, 1, 0));
    case misfit: return g->add(g, g->linear(g, "in", in->x, 8, 0), g->linear(g, "other", in->x, 5, 0));
    case reshape_null: return g->reshape(g, in->x, NULL);
    case recursive: return g->network(g, 0, in->x, in->noise, in->labels);
    case frozen:
        return g->add(g, g->stop_gradient(g, g->linear(g, "in", in->x, 8, 0)), g->linear(g, "other", in->x, 8, 0));
    case nan_scale: return g->scale(g, g->linear(g, "in", in->x, 8, 0), NAN, 0);
    default: return g->linear(g, "in", in->x, 8, 0);
    }
}

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    switch (wrong(c)) {
    case silent: return DM_EINVAL;
    case no_value: return DM_NONE;
    case garbage: return 9999;
    case input_itself: return in->x;
    case overflows: return deeper(&(volatile int){0});
    case patient: /* at work for longer than a plugin may be silent, with calls of the graph */
        for (const time_t until = time(NULL) + 13; time(NULL) < until;)
            g->shape(g, in->x);
        break;
    case failed_after_all: dm_fail(c, DM_EINVAL, "said, but went on"); break;
    case logs: c->host->log(c, "hello from %s", "build"); break;
    case unused: g->weight(g, "forgotten", &(dm_shape){1, {3}}, 0); break;
    case sums:
        if (c->host->sum(c, NULL, NULL, 0))
            return c->err->code;
        break;
    default: break;
    }
    return g->linear(g, "out", g->silu(g, hidden(c, g, in)), in->out_channels + (wrong(c) == channels), 0);
}

static const dm_network network = {.size = sizeof(dm_network), .build = build};
PLUGIN("wrong_network", .network = &network);
