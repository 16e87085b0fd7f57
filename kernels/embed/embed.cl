/* Embeddings of times and of indices.
 * Oracle tests/ops/embed.c; time_embed 1e-6, embedding exact, embedding_dw 2e-6. */

/* y f32[N,dim]: sin(t freq) then cos(t freq), or cos first; column dim - 1 is 0 if dim is odd. t f32[N],
 * freq f32[dim/2]. The product's rounding is put back, so that a large t costs nothing. Items: N dim/2. */
kernel void time_embed(global const float *t, global const float *freq, global float *y, int N, int dim, int flip)
{
    const int half_dim = dim / 2, n = get_global_id(0) / half_dim, i = get_global_id(0) % half_dim;

    if (n < N) {
        const float a = t[n] * freq[i], rest = fma(t[n], freq[i], -a), s = sin(a), c = cos(a);
        global float *row = y + (size_t)n * dim;

        row[flip ? half_dim + i : i] = fma(rest, c, s);
        row[flip ? i : half_dim + i] = fma(-rest, s, c);
        if (dim % 2 && i == 0)
            row[dim - 1] = 0.0f;
    }
}

/* y[n] = w[i[n]], zeros where i[n] is outside [0, rows). Items: N dim. */
kernel void embedding(global const int *index, global const float *w, global float *y, int N, int rows, int dim)
{
    const size_t id = get_global_id(0), n = id / dim;

    if (n < N) {
        const int r = index[n];

        y[id] = r >= 0 && r < rows ? w[(size_t)r * dim + id % dim] : 0.0f;
    }
}

/* dw[r] (+)= sum over n with i[n] = r of dy[n]. Items: rows dim. */
kernel void embedding_dw(global const int *index, global const float *dy, global float *dw, int N, int rows, int dim,
                         int accum)
{
    const size_t id = get_global_id(0);
    const int r = id / dim;
    float s = 0.0f;

    if (r >= rows)
        return;
    for (int n = 0; n < N; n++)
        if (index[n] == r)
            s += dy[(size_t)n * dim + id % dim];
    dw[id] = accum ? dw[id] + s : s;
}
