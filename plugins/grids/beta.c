/* beta: t by the quantiles of a Beta distribution, more steps at both ends (Lee et al. 2024). */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double alpha, beta; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, alpha, "0.6", 0.05, 20, "", "of the distribution; below 1: more steps near the data"),
    DM_REAL(cfg, beta, "0.6", 0.05, 20, "", "of the distribution; below 1: more steps near the noise"),
    DM_END,
};

/* The regularised incomplete beta function, by Lentz's continued fraction. */
static double distribution(double a, double b, double x)
{
    double c = 1, d, f;

    if (x <= 0 || x >= 1)
        return x > 0;
    if (x > (a + 1) / (a + b + 2))
        return 1 - distribution(b, a, 1 - x);
    d = 1 / (1 - (a + b) * x / (a + 1));
    f = d;
    for (int m = 1; m < 1000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step;

        d = 1 / (1 + even * d);
        c = 1 + even / c;
        f *= c * d;
        d = 1 / (1 + odd * d);
        c = 1 + odd / c;
        step = c * d;
        f *= step;
        if (fabs(step - 1) < 1e-16)
            break;
    }
    return exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) * f / a;
}

static double quantile(double a, double b, double p)
{
    double low = 0, high = 1;

    if (p <= 0 || p >= 1)
        return p > 0;
    for (int i = 0; i < 100; i++) {
        const double x = (low + high) / 2;

        if (distribution(a, b, x) < p)
            low = x;
        else
            high = x;
    }
    return (low + high) / 2;
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;

    (void)log_snr;
    for (int32_t i = 0; i < n; i++) {
        const int32_t parts = s->least.sigma > 0 ? n - 1 : n;

        const double u = parts ? quantile(p->alpha, p->beta, 1 - (double)i / parts) : 1;

        at[i] = s->least.t + u * (s->most.t - s->least.t);
    }
    at[n] = -1;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "beta", .version = "1", .license = "Apache-2.0",
    .doc = "quantiles of a Beta distribution in t (Lee et al. 2024)", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
