/* The optimizer over flat arrays f32[n]: global norm of the gradient in stages of fixed order, then
 * AdamW (Loshchilov & Hutter 2019, algorithm 2, with the corrections of Adam) and running averages.
 * scalars f32[16] change from step to step; state f32[4] = norm before clipping, clip factor, 1 once a norm or the
 * losses' sum was not finite, that step (its bits are an int).
 * Oracle tests/ops/optimizer.c (PyTorch's AdamW); 1e-6. */
#include "vec.clh"

enum { DECAY, BETA1, REST1, BETA2, REST2, RATE, ROOT, EPS, CLIP, EMA, STEP = EMA + 4, LOSS };
enum { NORM, FACTOR, BAD, BAD_STEP };

/* part[i] = sum of squares of `chunk` (a multiple of W) neighbours. */
kernel void squares(global const float *g, global float *part, int n, int chunk)
{
    const size_t id = get_global_id(0), from = id * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);
    VF total = 0.0f;

    if (from >= to)
        return;
    for (size_t i = from; i < to;) {
        const size_t fold = min(to, i + 64 * W);
        VF s = 0.0f;

        for (; i < fold; i += W) {
            const VF v = load(g + i, to - i);

            s = fma(v, v, s);
        }
        total += s;
    }
    part[id] = lanes_sum(total);
}

/* out[i] = sum of `each` neighbours of part[0..n). */
kernel void sums(global const float *part, global float *out, int n, int each)
{
    const size_t id = get_global_id(0), from = id * (size_t)each, to = min(from + (size_t)each, (size_t)n);
    float s = 0.0f;

    if (from >= to)
        return;
    for (size_t i = from; i < to; i++)
        s += part[i];
    out[id] = s;
}

/* One item: the norm from n sums, and what follows from it and from the sum of losses f32[1] (null: none). A loss may
 * be NaN and its gradient finite: that of a logarithm below 0 is. */
kernel void judge(global const float *part, global const float *scalars, global const float *loss, global float *state,
                  int n)
{
    float s = 0.0f, norm;

    if (get_global_id(0))
        return;
    for (int i = 0; i < n; i++)
        s += part[i];
    norm = sqrt(s);
    state[NORM] = norm;
    state[FACTOR] = scalars[CLIP] > 0.0f ? fmin(1.0f, scalars[CLIP] / (norm + 1e-6f)) : 1.0f;
    if (!(isfinite(norm) && isfinite(scalars[LOSS]) && (!loss || isfinite(loss[0]))) && state[BAD] == 0.0f) {
        state[BAD] = 1.0f;
        ((global int *)state)[BAD_STEP] = ((global const int *)scalars)[STEP];
    }
}

static inline void average(global float *ema, size_t i, size_t left, VF w, float rest)
{
    const VF e = load(ema + i, left);

    store(fma((VF)(rest), w - e, e), ema + i, left);
}

/* w, m, v and up to 4 averages (null: none) in one pass; g := 0 unless keeps_g. Nothing but g changes once state[BAD]
 * is set. */
kernel void adamw(global float *w, global float *g, global float *m, global float *v, global float *ema0,
                  global float *ema1, global float *ema2, global float *ema3, global const float *scalars,
                  global const float *state, int n, int chunk, int keeps_g)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);
    const float factor = state[FACTOR], decay = scalars[DECAY], beta1 = scalars[BETA1], rest1 = scalars[REST1];
    const float beta2 = scalars[BETA2], rest2 = scalars[REST2], rate = scalars[RATE], root = scalars[ROOT],
                eps = scalars[EPS];
    const int bad = state[BAD] != 0.0f;

    for (size_t i = from; i < to; i += W) {
        const size_t left = to - i;

        if (!bad) {
            const VF d = factor * load(g + i, left);
            const VF a = fma((VF)(beta1), load(m + i, left), rest1 * d),
                     b = fma((VF)(beta2), load(v + i, left), rest2 * d * d);
            const VF p = decay * load(w + i, left) - rate * a / fma(sqrt(b), (VF)(root), (VF)(eps));

            store(a, m + i, left);
            store(b, v + i, left);
            store(p, w + i, left);
            if (ema0)
                average(ema0, i, left, p, scalars[EMA]);
            if (ema1)
                average(ema1, i, left, p, scalars[EMA + 1]);
            if (ema2)
                average(ema2, i, left, p, scalars[EMA + 2]);
            if (ema3)
                average(ema3, i, left, p, scalars[EMA + 3]);
        }
        if (!keeps_g)
            store((VF)(0.0f), g + i, left);
    }
}
