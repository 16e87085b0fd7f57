/* formula: a schedule without a compiler: alpha_bar, log_snr or beta as an expression of u = t / T, read by muParser.
 * The betas are those between neighbours, as cosine makes them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <muParserDLL.h>
#include <demist/plugin.h>

enum { ALPHA_BAR, LOG_SNR, BETA };
enum { LONGEST = 1000 }; /* characters of a formula */
enum { ROOM = 1 << 20 }; /* a parser needs less; one that has none throws through C, which ends the process */
typedef struct { int32_t of; const char *formula; double max_beta; } cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, of, "alpha_bar", "alpha_bar|log_snr|beta", "what the formula defines; alpha_bar is divided by its "
                                                            "value at u = 0"),
    DM_STRING(cfg, formula, "cos((u + 0.008) / 1.008 * pi / 2)^2",
              "of u, in [0, 1], and T, with muParser's functions (sin, exp, ln, sqrt, min, ...), ^, pi and c ? a : b"),
    DM_REAL(cfg, max_beta, "0.999", 0.5, 1, "", "largest beta allowed near t = T"),
    DM_END,
};

/* muParser's state and the value it read u into. */
typedef struct { muParserHandle_t parser; double u, T; } reader;

/* muParser's message without the position at its end, which counts from 0, and the full stop that some have. */
static void shorten(char *why)
{
    static const char *const places[] = {" found at position ", " at expression position ", " at position "};
    const size_t n = strlen(why);

    if (n && why[n - 1] == '.')
        why[n - 1] = 0;
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        char *at = strstr(why, places[k]);

        if (at && !at[strlen(places[k]) + strspn(at + strlen(places[k]), "0123456789")])
            *at = 0;
    }
}

/* The column, from 1, of what muParser has at this position: one too far where something is missing at the end, for a
 * colon, and for the parenthesis of a function that was given nothing. */
static int column_of(const char *formula, const char *why, int at)
{
    const int end = (int)strlen(formula);

    if (at > end)
        at = end;
    if (at > 0 && (!strncmp(why, "Misplaced colon", 15) ||
                   (!strncmp(why, "Too few parameters", 18) && formula[at] != ')' && formula[at - 1] == ')')))
        at--;
    return at + 1;
}

static dm_status mistake(dm_ctx *c, const reader *r, double u)
{
    const int at = mupGetErrorPos(r->parser);
    char why[512];

    snprintf(why, sizeof why, "%s", mupGetErrorMsg(r->parser));
    if (!strncmp(why, "Internal error", 14)) /* what muParser makes of C++'s bad_alloc */
        return dm_fail(c, DM_ENOMEM, "out of memory for the formula");
    shorten(why);
    return at >= 0 ? dm_fail(c, DM_EINVAL, "formula: column %d: %s",
                             column_of(((const cfg *)c->cfg)->formula, why, at), why)
                   : dm_fail(c, DM_EINVAL, "formula: at u = %g: %s", u, why);
}

/* muParser puts its messages, and the formula's text in them, into 2,048 bytes, whatever their length. */
static dm_status check_text(dm_ctx *c, const char *formula)
{
    const size_t n = strlen(formula);

    if (n > LONGEST)
        return dm_fail(c, DM_EINVAL, "formula: it has %zu characters; %d are the most", n, LONGEST);
    for (const char *p = formula; *p; p++)
        if ((*p < ' ' || *p > '~') && *p != '\t' && *p != '\n')
            return dm_fail(c, DM_EINVAL, "formula: column %d: character 0x%02x; formulas are printable ASCII",
                           (int)(p - formula) + 1, (unsigned)(unsigned char)*p);
    return DM_OK;
}

static dm_status value(dm_ctx *c, reader *r, double u, double *v)
{
    r->u = u;
    *v = mupEval(r->parser);
    if (mupError(r->parser))
        return mistake(c, r, u);
    return isfinite(*v) || ((const cfg *)c->cfg)->of == LOG_SNR
               ? DM_OK : dm_fail(c, DM_EINVAL, "formula: is %g at u = %g", *v, u);
}

/* alpha_bar of u, for the formulas that say it or the log-SNR. */
static dm_status alpha_bar(dm_ctx *c, reader *r, double u, double first, double *v)
{
    const cfg *p = c->cfg;
    dm_status rc;

    if ((rc = value(c, r, u, v)))
        return rc;
    if (p->of == LOG_SNR) {
        if (isnan(*v))
            return dm_fail(c, DM_EINVAL, "formula: the log-SNR is not a number at u = %g", u);
        *v = 1 / (1 + exp(-*v));
    }
    *v /= first;
    if (!(*v >= 0 && *v <= 1))
        return dm_fail(c, DM_EINVAL, "formula: alpha_bar is %g at u = %g; it must lie in [0, 1]", *v, u);
    return DM_OK;
}

static dm_status betas(dm_ctx *c, reader *r, int32_t T, double *beta)
{
    const cfg *p = c->cfg;
    double first = 1, before = 1, now;
    dm_status rc = DM_OK;

    if (p->of == ALPHA_BAR && ((rc = value(c, r, 0, &first)) || !(first > 0)))
        return rc ? rc : dm_fail(c, DM_EINVAL, "formula: alpha_bar is %g at u = 0; it must be above 0", first);
    /* The data themselves are without noise, whatever a log-SNR says of u = 0. */
    for (int32_t i = 0; i < T && !rc; i++) {
        const double u = (i + 1.0) / T;

        if (p->of == BETA) {
            if (!(rc = value(c, r, u, &beta[i])) && !(beta[i] > 0 && beta[i] <= 1))
                rc = dm_fail(c, DM_EINVAL, "formula: beta is %g at u = %g; it must lie in (0, 1]", beta[i], u);
            continue;
        }
        if ((rc = alpha_bar(c, r, u, first, &now)))
            break;
        if (!(now < before))
            return dm_fail(c, DM_EINVAL, "formula: alpha_bar does not fall: %g at u = %g after %g", now, u, before);
        beta[i] = fmin(1 - now / before, p->max_beta);
        before = now;
    }
    return rc;
}

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const char *formula = ((const cfg *)c->cfg)->formula;
    void *room = malloc(ROOM);
    reader r = {.T = T};
    dm_status rc;

    free(room);
    if (check_text(c, formula))
        return c->err->code;
    if (!room || !(r.parser = mupCreate(muBASETYPE_FLOAT)))
        return dm_fail(c, DM_ENOMEM, "out of memory for the formula");
    mupDefineConst(r.parser, "pi", 3.14159265358979323846);
    mupDefineVar(r.parser, "u", &r.u);
    mupDefineVar(r.parser, "T", &r.T);
    mupSetExpr(r.parser, formula);
    rc = mupError(r.parser) ? mistake(c, &r, 0) : betas(c, &r, T, beta);
    mupRelease(r.parser);
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "formula", .version = "1", .license = "Apache-2.0",
    .doc = "alpha_bar, log-SNR or beta as an expression of t / T",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill},
};
