/* demist eval --metric nll. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "run/plot.h"
#include "format/safetensors.h"

static void print_mean(const char *name, const dm_mean *m, const char *what)
{
    if (isfinite(m->error))
        printf("%-14s %10.5f +- %.5f  %s\n", name, m->mean, m->error, what);
    else /* of one image there is none */
        printf("%-14s %10.5f             %s\n", name, m->mean, what);
}

static void print(const dm_nll *n)
{
    char what[200];

    snprintf(what, sizeof what, "bits a dimension%s, %lld test images, %d steps of '%s', %s variance",
             n->levels ? "" : " of the density", (long long)n->count, (int)n->steps, n->sampler,
             n->learned ? "learned" : "fixed");
    print_mean("bound", &n->total, what);
    print_mean("  L_T", &n->prior, "what is left of the image at the noisiest step");
    print_mean("  L_1..L_T-1", &n->rate, "the steps between");
    print_mean("  L_0", &n->decoder, "the decoder");
}

static json_t *mean(const dm_mean *m)
{
    return json_pack("{s:o, s:o}", "mean", eval_number(m->mean), "error", eval_number(m->error));
}

static json_t *json(const dm_nll *n)
{
    json_t *all =
        json_pack("{s:I, s:I, s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:[]}", "step", (json_int_t)n->step, "count",
                  (json_int_t)n->count, "steps", (int)n->steps, "sampler", n->sampler, "variance",
                  n->learned ? "learned" : "fixed", "density", n->levels == 0, "bits_per_dim", mean(&n->total), "L_T",
                  mean(&n->prior),
                  "L_between", mean(&n->rate), "L_0", mean(&n->decoder), "seconds", eval_number(n->seconds), "terms");

    for (int32_t k = 0; k < n->steps && all; k++)
        if (json_array_append_new(json_object_get(all, "terms"),
                                  json_pack("{s:o, s:o, s:o}", "t", eval_number(n->t[k]), "mean",
                                            eval_number(n->terms[k].mean), "error", eval_number(n->terms[k].error)))) {
            json_decref(all);
            return NULL;
        }
    return all;
}

dm_status eval_plot_terms(const char *path, const double *t, const double *terms, int64_t n, dm_err *err)
{
    double *sums = calloc((size_t)n, sizeof *sums), so_far = 0;
    const dm_series term = {"", t, terms, n, false}, sum = {"", t, sums, n, false};
    const dm_panel panels[] = {{"terms of the bound", "t", "bits a dimension", true, true, &term, 1},
                               {"their sum up to t", "t", "bits a dimension", true, false, &sum, 1}};
    dm_status rc;

    if (!sums)
        return dm_error(err, DM_ENOMEM, "out of memory for a plot");
    for (int64_t k = 0; k < n; k++)
        sums[k] = so_far += isfinite(terms[k]) ? terms[k] : 0;
    rc = dm_plot(path, panels, 2, err);
    free(sums);
    return rc;
}

static dm_status plot(const char *path, const dm_nll *n, dm_err *err)
{
    double *terms = calloc((size_t)n->steps, sizeof *terms);
    dm_status rc;

    if (!terms)
        return dm_error(err, DM_ENOMEM, "out of memory for a plot");
    for (int32_t k = 0; k < n->steps; k++)
        terms[k] = n->terms[k].mean;
    rc = eval_plot_terms(path, n->t, terms, n->steps, err);
    free(terms);
    return rc;
}

static dm_status save(const char *path, const dm_nll *n, dm_err *err)
{
    const dm_st_source t[] = {
        {.name = "terms", .type = DM_ST_F64, .shape = {2, {n->count, n->steps + 1}}, .data = n->each},
        {.name = "t", .type = DM_ST_F64, .shape = {1, {n->steps}}, .data = n->t}};

    return dm_st_write(path, t, 2, (dm_st_pair[]){{"columns", "L_0, L_{t-1} of each t, L_T; bits a dimension"}}, 1,
                       err);
}

/* ---- by the probability-flow ODE ---- */

static void print_ode(const dm_ode_nll *n)
{
    char what[200], divergence[64] = "exact divergence", data[64] = " of the density";

    if (n->levels)
        snprintf(data, sizeof data, " of %d levels, dequantized by uniform noise", (int)n->levels);
    if (n->probes)
        snprintf(divergence, sizeof divergence, "divergence by %d probe%s", (int)n->probes, n->probes > 1 ? "s" : "");
    snprintf(what, sizeof what, "bits a dimension%s, %lld test examples", data, (long long)n->count);
    print_mean("ODE", &n->total, what);
    printf("%d steps to noise from sigma / alpha = %.4g, %s, %lld evaluations of a batch\n", (int)n->steps, n->least,
           divergence, (long long)n->evaluations);
}

static json_t *ode_json(const dm_ode_nll *n)
{
    return json_pack("{s:I, s:I, s:b, s:i, s:i, s:b, s:b, s:o, s:I, s:o, s:o}", "step", (json_int_t)n->step, "count",
                     (json_int_t)n->count, "ode", true, "steps", (int)n->steps, "probes", (int)n->probes,
                     "dequantized", n->levels > 0, "density", n->levels == 0, "least", eval_number(n->least),
                     "evaluations", (json_int_t)n->evaluations, "bits_per_dim", mean(&n->total), "seconds",
                     eval_number(n->seconds));
}

static dm_status run_ode(const eval_request *r, json_t **report, dm_err *err)
{
    const dm_ode_nll_options o = {.size = sizeof o,
                                  .overrides = r->overrides,
                                  .n_overrides = r->n_overrides,
                                  .raw = r->raw,
                                  .count = r->count,
                                  .steps = (int32_t)r->steps,
                                  .probes = (int32_t)r->probes,
                                  .each = r->save != NULL,
                                  .callbacks = r->callbacks, .ranks = r->ranks};
    dm_ode_nll n = {.size = sizeof n};
    dm_status rc = dm_eval_ode_nll(r->run, &o, &n, err);

    if (rc)
        return rc;
    if (!r->silent)
        print_ode(&n);
    if (r->save && !r->silent) {
        const dm_st_source t = {.name = "bits_per_dim", .type = DM_ST_F64, .shape = {1, {n.count}}, .data = n.each};

        rc = dm_st_write(r->save, &t, 1, NULL, 0, err);
    }
    if (!rc && !(*report = ode_json(&n)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the report");
    dm_ode_nll_free(&n);
    return rc;
}

/* ---- by the bound ---- */

static dm_status run_bound(const eval_request *r, json_t **report, dm_err *err)
{
    const dm_nll_options o = {.size = sizeof o,
                              .overrides = r->overrides,
                              .n_overrides = r->n_overrides,
                              .raw = r->raw,
                              .count = r->count,
                              .steps = (int32_t)r->steps,
                              .each = r->save != NULL,
                              .callbacks = r->callbacks, .ranks = r->ranks};
    dm_nll n = {.size = sizeof n};
    dm_status rc = dm_eval_nll(r->run, &o, &n, err);

    if (rc)
        return rc;
    if (!r->silent) {
        print(&n);
        if (!r->save || !(rc = save(r->save, &n, err)))
            rc = r->plot ? plot(r->plot, &n, err) : DM_OK;
    }
    if (!rc && !(*report = json(&n)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the report");
    dm_nll_free(&n);
    return rc;
}

static dm_status run(const eval_request *r, json_t **report, dm_err *err)
{
    return r->ode ? run_ode(r, report, err) : run_bound(r, report, err);
}

static const eval_column columns[] = {{"bits_per_dim", "bits_per_dim.mean"},
                                      {"error", "bits_per_dim.error"},
                                      {"L_T", "L_T.mean"},
                                      {"L_between", "L_between.mean"},
                                      {"L_0", "L_0.mean"},
                                      {NULL, NULL}};

const eval_metric eval_nll = {.name = "nll", .columns = columns, .run = run, .nll = true};
