#!/usr/bin/env python3
"""Writes tools/demist/selftest/values.c: what `demist selftest` expects.

Each op's results come from PyTorch in double precision, its gradients from autograd; the losses of 20 training steps from
PyTorch in double precision too, with demist's random numbers (Philox 4x32-10) and the same starting weights. Needs torch,
numpy, diffusers."""
import io
import math
import os
import textwrap

import numpy as np
import torch
import torch.nn.functional as tf
from diffusers import UNet2DModel

torch.set_default_dtype(torch.float64)
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "demist/selftest/values.c")
rng = np.random.default_rng(1)
cases = []


def rand(*shape, scale=1.0):
    return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64))


def last(x):
    """N,C,H,W as stored."""
    return x.permute(0, 2, 3, 1).contiguous()


def case(name, kind, ins, outs, attr="", ints=()):
    cases.append((name, kind, ins, outs, attr, ints))


def grads(y, dy, *xs):
    return torch.autograd.grad((y * dy).sum(), xs)


def leaf(x):
    return x.clone().requires_grad_(True)


def convolutions():
    for n, c, h, o, k, stride, lo, hi in ((2, 8, 4, 32, 3, 1, 1, 1), (1, 3, 6, 5, 3, 2, 0, 1), (1, 32, 3, 16, 1, 1, 0, 0)):
        x, w, b, temb = leaf(rand(n, c, h, h)), leaf(rand(o, c, k, k, scale=0.2)), leaf(rand(o)), leaf(rand(n, o))
        y = tf.conv2d(tf.pad(x, (lo, hi, lo, hi)), w, b, stride)
        res = rand(*y.shape)
        dy = rand(*y.shape)
        dx, dw = grads(y, dy, x, w)
        a = f".a.conv = {{{k}, {stride}, {{{lo}, {hi}}}}}"
        case("conv2d", "CONV2D", [last(x), w, b, temb, last(res)], [last(y + temb[:, :, None, None] + res)], a)
        case("conv2d_dx", "CONV2D_DX", [last(dy), w], [last(dx)], a)
        case("conv2d_dw", "CONV2D_DW", [last(x), last(dy)], [dw], a)


def products():
    x, w, b = rand(5, 16), rand(32, 16), rand(32)
    dy = rand(5, 32)
    mm = lambda ta, tb, m, n, k: f".a.mm = {{{ta}, {tb}, false, false, 1, {m}, {n}, {k}}}"
    case("matmul", "MATMUL", [x, w, b], [x @ w.T + b], mm("false", "true", 5, 32, 16))
    case("matmul", "MATMUL", [dy, w, None], [dy @ w], mm("false", "false", 5, 16, 32))
    case("matmul", "MATMUL", [dy, x, None], [dy.T @ x], mm("true", "false", 32, 16, 5))
    r = rand(3, 7, 5)
    case("reduce", "REDUCE", [r], [0.5 * r.sum(1)], ".a.reduce = {3, 7, 5, 0.5}")


def elementwise():
    x, y, row, dy = rand(2, 3, 4, 5), rand(2, 3, 4, 5), rand(2), rand(2, 3, 4, 5)
    same = ".a.bcast = {{1, 1, 1, 120}, {0, 0, 0, 1}, {0, 0, 0, 1}}"
    example = ".a.bcast = {{1, 1, 2, 60}, {0, 0, 60, 1}, {0, 0, 1, 0}}"
    case("add", "ADD", [x, y], [x + y], same)
    case("mul", "MUL", [x, y], [x * y], same)
    case("mul", "MUL", [x, row], [x * row[:, None, None, None]], example)
    case("broadcast", "BROADCAST", [row], [row[:, None].expand(2, 60)], ".a.bcast = {{1, 1, 2, 60}, {0, 0, 1, 0}, {0, 0, 0, 0}}")
    case("scale", "SCALE", [x], [x * 1.5 - 0.25], ".a.scale = {1.5, -0.25}")
    for name, kind, f in (("silu", "SILU", tf.silu), ("gelu", "GELU", lambda v: tf.gelu(v, approximate="tanh"))):
        v = leaf(x)
        case(name, kind, [x], [f(v)])
        case(name + "_dx", kind + "_DX", [dy, x], list(grads(f(v), dy, v)))


def norms():
    n, c, h, groups = 2, 8, 3, 4
    x, gamma, beta, dy = leaf(rand(n, c, h, h)), leaf(1 + 0.1 * rand(c)), leaf(rand(c)), rand(n, c, h, h)
    y = tf.silu(tf.group_norm(x, groups, gamma, beta, 1e-5))
    v = x.detach().reshape(n, groups, -1)
    stats = torch.stack([v.mean(-1), 1 / torch.sqrt(v.var(-1, unbiased=False) + 1e-5)], -1)
    dx, dgamma, dbeta = grads(y, dy, x, gamma, beta)
    a = f".a.norm = {{{n}, {c}, {h * h}, {groups}, 1e-5, true, true}}"
    case("group_norm", "GROUP_NORM", [last(x), gamma, beta, None, None], [last(y), stats], a)
    case("group_norm_dx", "GROUP_NORM_DX", [last(dy), last(x), gamma, beta, stats, None, None], [last(dx), dgamma, dbeta, None, None], a)
    x, gamma, beta, dy = leaf(rand(5, 12)), leaf(1 + 0.1 * rand(12)), leaf(rand(12)), rand(5, 12)
    y = tf.layer_norm(x, (12,), gamma, beta, 1e-5)
    stats = torch.stack([x.mean(-1), 1 / torch.sqrt(x.var(-1, unbiased=False) + 1e-5)], -1)
    dx, dgamma, dbeta = grads(y, dy, x, gamma, beta)
    a = ".a.norm = {5, 12, 1, 1, 1e-5, true, false}"
    case("layer_norm", "LAYER_NORM", [x, gamma, beta], [y, stats], a)
    case("layer_norm_dx", "LAYER_NORM_DX", [dy, x, gamma, stats], [dx, dgamma, dbeta], a)


def attention():
    n, l, m, d, heads = 1, 5, 7, 8, 2
    q, k, v, dy = leaf(rand(n, l, d)), leaf(rand(n, m, d)), leaf(rand(n, m, d)), rand(n, l, d)
    split = lambda x: x.reshape(n, -1, heads, d // heads).transpose(1, 2)
    s = split(q) @ split(k).transpose(2, 3) / math.sqrt(d // heads)
    y = (s.softmax(-1) @ split(v)).transpose(1, 2).reshape(n, l, d)
    lse = s.logsumexp(-1)
    a = f".a.attn = {{{heads}}}"
    case("attention", "ATTENTION", [q, k, v], [y, lse], a)
    case("attention_dx", "ATTENTION_DX", [dy, q, k, v, y, lse], list(grads(y, dy, q, k, v)), a)


def shapes():
    x, y = rand(3, 4), rand(3, 6)
    case("concat", "CONCAT", [x, y], [torch.cat([x, y], 1)], ".a.concat = {3, 4, 6}")
    case("slice", "SLICE", [y], [y[:, 2:5]], ".a.slice = {3, 6, 2, 3}")
    case("pad", "PAD", [y[:, 2:5]], [tf.pad(y[:, 2:5], (2, 1))], ".a.slice = {3, 6, 2, 3}")
    p = rand(2, 3, 4)
    case("permute", "PERMUTE", [p], [p.permute(2, 0, 1)], ".a.perm = {{2, 0, 1}}")
    u = leaf(rand(1, 3, 4, 4))
    up, pool = tf.interpolate(u, scale_factor=2, mode="nearest"), tf.avg_pool2d(u, 2)
    dup, dpool = rand(*up.shape), rand(*pool.shape)
    case("upsample", "UPSAMPLE", [last(u)], [last(up)], ".a.factor = {2}")
    case("upsample_dx", "UPSAMPLE_DX", [last(dup)], [last(grads(up, dup, u)[0])], ".a.factor = {2}")
    case("avg_pool", "AVG_POOL", [last(u)], [last(pool)], ".a.factor = {2}")
    case("avg_pool_dx", "AVG_POOL_DX", [last(dpool)], [last(grads(pool, dpool, u)[0])], ".a.factor = {2}")


def embeddings():
    t, freq = torch.tensor([0.0, 3.0, 999.0]), torch.tensor(np.exp(-math.log(10000) * np.arange(4) / 4).astype(np.float32)).double()
    e = t[:, None] * freq
    case("time_embed", "TIME_EMBED", [t, freq], [torch.cat([e.sin(), e.cos()], 1)], ".a.embed = {false}")
    i, w, dy = torch.tensor([2.0, 0.0, 2.0]), rand(4, 5), rand(3, 5)
    dw = torch.zeros(4, 5).index_add(0, i.long(), dy)
    case("embedding", "EMBEDDING", [i, w], [w[i.long()]], "", (0,))
    case("embedding_dw", "EMBEDDING_DW", [i, dy], [dw], "", (0,))


def losses():
    z, label, dy = leaf(rand(4, 6)), torch.tensor([0.0, 5.0, 2.0, 2.0]), rand(4)
    ce = tf.cross_entropy(z, label.long(), reduction="none")
    case("cross_entropy", "CROSS_ENTROPY", [z, label], [ce], "", (1,))
    case("cross_entropy_dx", "CROSS_ENTROPY_DX", [dy, z, label], list(grads(ce, dy, z)), "", (2,))
    m1, l1, m2, l2 = (leaf(rand(10, scale=0.7)) for _ in range(4))
    kl = 0.5 * (l2 - l1 - 1 + (l1 - l2).exp() + (m1 - m2) ** 2 * (-l2).exp())
    dy = rand(10)
    case("gaussian_kl", "GAUSSIAN_KL", [m1, l1, m2, l2], [kl])
    case("gaussian_kl_dx", "GAUSSIAN_KL_DX", [dy, m1, l1, m2, l2], list(grads(kl, dy, m1, l1, m2, l2)))
    levels = 16
    x = torch.tensor([-1.0, 1.0] + [-1 + 2 * k / (levels - 1) for k in (1, 4, 7, 8, 11, 14)])
    x = torch.from_numpy(x.numpy().astype(np.float32).astype(np.float64))
    mean, lv, dy = leaf(x + rand(8, scale=0.2)), leaf(rand(8, scale=0.5) - 2), rand(8)
    half, sd = 1 / (levels - 1), (0.5 * lv).exp()
    cdf = lambda v: 0.5 * torch.erfc(-v / math.sqrt(2))
    low = torch.where(x < -1 + half, torch.zeros(8), cdf((x - half - mean) / sd))
    high = torch.where(x > 1 - half, torch.ones(8), cdf((x + half - mean) / sd))
    nll = -(high - low).log()
    case("discretized_nll", "DISCRETIZED_NLL", [x, mean, lv], [nll], f".a.levels = {{{levels}}}")
    case("discretized_nll_dx", "DISCRETIZED_NLL_DX", [dy, x, mean, lv], list(grads(nll, dy, mean, lv)), f".a.levels = {{{levels}}}")


def functions():
    """Elementwise ones of one value and of two; where a slope jumps, no value lies."""
    x, dy = rand(2, 3, 4), rand(2, 3, 4)
    above = x.abs() + 0.1
    for name, f, at in (("exp", torch.exp, x), ("log", torch.log, above), ("sqrt", torch.sqrt, above), ("rsqrt", torch.rsqrt, above),
                        ("sigmoid", torch.sigmoid, x), ("tanh", torch.tanh, x), ("sin", torch.sin, x), ("cos", torch.cos, x),
                        ("square", torch.square, x), ("abs", torch.abs, x), ("relu", torch.relu, x), ("clamp", lambda v: v.clamp(-0.5, 0.75), x)):
        at = at.float().double()
        v, a = leaf(at), ".a.clamp = {-0.5, 0.75}" if name == "clamp" else ""
        y = f(v)
        case(name, name.upper(), [at], [y], a)
        case(name + "_dx", name.upper() + "_DX", [dy, at], list(grads(y, dy, v)), a)
    a, b = rand(2, 3, 4), rand(2, 3, 4)
    b[0] = a[0]
    same = ".a.bcast = {{1, 1, 1, 24}, {0, 0, 0, 1}, {0, 0, 0, 1}}"
    for name, y in (("sub", a - b), ("maximum", torch.maximum(a, b)), ("minimum", torch.minimum(a, b)), ("step", torch.heaviside(a - b, torch.tensor(0.5)))):
        case(name, name.upper(), [a, b], [y], same)
    case("div", "DIV", [a, above.float().double()], [a / above.float().double()], same)


def along_axes():
    x, dy = leaf(rand(3, 7, 5)), rand(3, 5)
    y = x.amax(1)
    case("reduce_max", "REDUCE_MAX", [x], [y], ".a.reduce = {3, 7, 5, 1}")
    case("reduce_max_dx", "REDUCE_MAX_DX", [dy, x, y], list(grads(y, dy, x)), ".a.reduce = {3, 7, 5, 1}")
    y, dy = x.softmax(1), rand(3, 7, 5)
    y_given = y.detach().float().double()
    case("softmax", "SOFTMAX", [x], [y], ".a.reduce = {3, 7, 5, 1}")
    case("softmax_dx", "SOFTMAX_DX", [dy, y_given], [y_given * (dy - (dy * y_given).sum(1, keepdim=True))], ".a.reduce = {3, 7, 5, 1}")
    x, gamma, dy = leaf(rand(5, 12)), leaf(1 + 0.1 * rand(12)), rand(5, 12)
    y, r = tf.rms_norm(x, (12,), gamma, 1e-5), (x.square().mean(-1) + 1e-5).rsqrt()
    dx, dgamma = grads(y, dy, x, gamma)
    a = ".a.norm = {5, 12, 1, 1, 1e-5, true, false}"
    case("rms_norm", "RMS_NORM", [x, gamma], [y, r], a)
    case("rms_norm_dx", "RMS_NORM_DX", [dy, x, gamma, r], [dx, dgamma], a)
    x, i, dy = leaf(rand(2, 4, 3)), torch.tensor([3.0, 0.0, 3.0]), rand(2, 3, 3)
    y = x[:, i.long()]
    case("gather", "GATHER", [x, i], [y], ".a.gather = {2, 4, 3, 3}", (1,))
    case("gather_dx", "GATHER_DX", [dy, i], list(grads(y, dy, x)), ".a.gather = {2, 4, 3, 3}", (1,))


def images():
    x, w, b = leaf(rand(2, 4, 5, 5)), leaf(rand(6, 2, 3, 3, scale=0.3)), rand(6)
    y = tf.conv2d(x, w, b, 2, 1, groups=2)
    dy = rand(*y.shape)
    dx, dw = grads(y, dy, x, w)
    a = ".a.grouped = {{3, 2, {1, 1}}, 2}"
    case("conv2d_grouped", "GROUPED_CONV2D", [last(x), w, b], [last(y)], a)
    case("conv2d_grouped_dx", "GROUPED_CONV2D_DX", [last(dy), w], [last(dx)], a)
    case("conv2d_grouped_dw", "GROUPED_CONV2D_DW", [last(x), last(dy)], [dw], a)
    n, l, heads, half = 2, 3, 2, 2
    x, angle = rand(n, l, heads * 2 * half), rand(l, half)
    p, q = x.reshape(n, l, heads, 2, half).unbind(3)
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    case("rope", "ROPE", [x, angle], [torch.stack([p * c - q * s, q * c + p * s], 3).reshape(n, l, -1)], f".a.rope = {{{heads}, false}}")
    x = leaf(rand(1, 2, 4, 3))
    y = tf.interpolate(x, (5, 7), mode="bilinear", align_corners=False)
    dy = rand(*y.shape)
    case("resize", "RESIZE", [last(x)], [last(y)])
    case("resize_dx", "RESIZE_DX", [last(dy)], [last(grads(y, dy, x)[0])])


def philox(key, ctr):
    c, k = [int(v) for v in ctr], [int(v) for v in key]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(x):
    return ((x >> 9) + 0.5) / 8388608


def normals(seed, purpose, step, index, count):
    out = []
    for block in range((count + 3) // 4):
        u = [uniform(x) for x in philox((seed, 0), (purpose << 24, step, block, index))]
        for a, b in ((u[0], u[1]), (u[2], u[3])):
            r = math.sqrt(-2 * math.log(a))
            out += [r * math.cos(2 * math.pi * b), r * math.sin(2 * math.pi * b)]
    return out[:count]


PURPOSE_TIME, PURPOSE_NOISE = 4, 5


def start_value(key, i):
    """As the program sets each weight: a golden-ratio sequence, the same on every machine."""
    v = math.fmod((i + 1) * 0.6180339887498949 + len(key) * 0.7548776662466927, 1.0) - 0.5
    return v


def set_weights(model):
    with torch.no_grad():
        for key, p in model.named_parameters():
            v = torch.tensor([start_value(key, i) for i in range(p.numel())]).reshape(p.shape)
            if p.dim() > 1:
                v = 2 * v / math.sqrt(p[0].numel())
            else:
                v = (1 if "norm" in key and key.endswith("weight") else 0) + 0.2 * v
            p.copy_(v.float().double())


class Mlp(torch.nn.Module):
    """The plugin mlp, width 16, depth 2."""

    def __init__(self, width=16, depth=2):
        super().__init__()
        lin = torch.nn.Linear
        self.width, self.inp, self.out, self.norm = width, lin(2, width), lin(width, 2), torch.nn.LayerNorm(width)
        self.time = torch.nn.ModuleDict({"linear_1": lin(width, width), "linear_2": lin(width, width)})
        self.blocks = torch.nn.ModuleList(torch.nn.ModuleDict({"norm": torch.nn.LayerNorm(width), "linear_1": lin(width, width), "time": lin(width, width),
                                                               "linear_2": lin(width, width)}) for _ in range(depth))

    def named_parameters(self, *a, **k):
        return [(n.replace("inp.", "in."), p) for n, p in super().named_parameters(*a, **k)]

    def forward(self, x, t):
        e = t[:, None] * torch.tensor(np.exp(-math.log(10000) * np.arange(self.width // 2) / (self.width // 2)).astype(np.float32)).double()
        e = torch.cat([e.sin(), e.cos()], 1)
        e = tf.silu(self.time["linear_2"](tf.silu(self.time["linear_1"](e))))
        x = self.inp(x)
        for b in self.blocks:
            x = x + b["linear_2"](tf.silu(b["linear_1"](tf.silu(b["norm"](x))) + b["time"](e)))
        return self.out(tf.silu(self.norm(x)))


class UNet(torch.nn.Module):
    """The plugin unet: channels [8, 16], attention at the second level, one block, 4 groups."""

    def __init__(self):
        super().__init__()
        self.net = UNet2DModel(in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, norm_eps=1e-6,
                               down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                               attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1)

    def named_parameters(self, *a, **k):
        return self.net.named_parameters(*a, **k)

    def forward(self, x, t):
        return self.net(x, t).sample


def loss_of(model, shape, step, batch=4):
    """The loss of a step, from demist's random numbers; x0 is a fixed pattern."""
    T, seed, count = 1000, 7, int(np.prod(shape))
    x0 = torch.tensor([start_value("data", step * batch * count + i) * 2 for i in range(batch * count)]).float().double().reshape(batch, *shape)
    t = [min(int(uniform(philox((seed, 0), (PURPOSE_TIME << 24, step, 0, i))[0]) * T), T - 1) for i in range(batch)]
    noise = torch.tensor([normals(seed, PURPOSE_NOISE, step, i, count) for i in range(batch)]).reshape(batch, *shape)
    ab = torch.tensor(np.cumprod(1 - np.linspace(1e-4, 0.02, T))[t]).reshape(batch, *[1] * len(shape))
    return ((model(ab.sqrt() * x0 + (1 - ab).sqrt() * noise, torch.tensor(t).double()) - noise) ** 2).mean()


def train(model, shape, steps=20):
    """AdamW with clipping, as demist's trainer does it."""
    set_weights(model)
    optimizer, out = torch.optim.AdamW([p for _, p in model.named_parameters()], 1e-3, (0.9, 0.999), 1e-8, weight_decay=0.01), []
    for step in range(steps):
        loss = loss_of(model, shape, step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in model.named_parameters()], 1.0)
        optimizer.step()
        out.append(loss.item())
    return out


def number(v):
    return np.format_float_scientific(np.float32(v), unique=True, trim="0").replace("e+0", "e").replace("e-0", "e-") + "f"


def wrapped(line):
    indent = line[:len(line) - len(line.lstrip())] + "    "
    return textwrap.fill(line, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def write():
    with io.StringIO() as f:
        f.write("/* Made by tools/make_selftest_values.py: expected results of each op, and losses of training. */\n#include \"selftest/selftest.h\"\n\n")
        rows, arrays = [], {}
        for i, (name, kind, ins, outs, attr, ints) in enumerate(cases):
            row = {"in": [], "out": [], "iv": [], "ov": []}
            for side, values in (("in", ins), ("out", outs)):
                for j, v in enumerate(values):
                    if v is None:
                        row[side].append("{.rank = -1}")
                        row[side[0] + "v"].append("NULL")
                        continue
                    a = v.detach().numpy()
                    data = ", ".join(number(x) for x in a.reshape(-1))
                    if data not in arrays:
                        arrays[data] = f"{side}_{i}_{j}"
                        f.write(f"static const float {side}_{i}_{j}[] = {{{data}}};\n")
                    dtype = "DM_DT_I32" if side == "in" and j in ints else "DM_DT_F32"
                    row[side].append(f"{{{dtype}, {a.ndim}, {{{', '.join(map(str, a.shape))}}}}}")
                    row[side[0] + "v"].append(arrays[data])
            rows.append(f"    {{\"{name}\", {{.kind = DM_OP_{kind}, .n_in = {len(ins)}, .n_out = {len(outs)}, .in = {{{', '.join(row['in'])}}}, "
                        f".out = {{{', '.join(row['out'])}}}{', ' + attr if attr else ''}}}, {{{', '.join(row['iv'])}}}, {{{', '.join(row['ov'])}}}}},\n")
        f.write("\nconst selftest_op selftest_ops[] = {\n" + "".join(rows) + "};\n")
        f.write(f"const int selftest_n_ops = {len(rows)};\n\n")
        for name, model, shape in (("mlp", Mlp(), (2,)), ("unet", UNet(), (1, 8, 8))):
            f.write(f"const double selftest_{name}_losses[SELFTEST_STEPS] = {{{', '.join(repr(v) for v in train(model, shape))}}};\n")
        with open(OUT, "w") as out:
            out.write("".join(wrapped(line) + "\n" for line in f.getvalue().splitlines()))


if __name__ == "__main__":
    for f in (convolutions, products, elementwise, norms, attention, shapes, embeddings, losses, functions, along_axes, images):
        f()
    write()
