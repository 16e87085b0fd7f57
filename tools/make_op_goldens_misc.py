#!/usr/bin/env python3
"""Writes tests/ops/goldens_misc.h: small values of ops and their gradients as PyTorch computes them in double
precision, from inputs that float32 holds exactly. Run: python tools/make_op_goldens_misc.py > tests/ops/goldens_misc.h"""
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(20240607)
out = []


def values(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float().double()


def emit(name, t):
    v = ", ".join(repr(float(x)) for x in t.detach().reshape(-1))
    lines, line = [], "   "
    for x in v.split(", "):
        if len(line) + len(x) > 116:
            lines.append(line)
            line = "   "
        line += " " + x + ","
    lines.append(line)
    out.append("static const double golden_%s[] = {\n%s\n};" % (name, "\n".join(lines)))


def define(**kw):
    out.append("enum { " + ", ".join("GOLDEN_%s = %d" % (k, v) for k, v in kw.items()) + " };")


def leaf(t):
    return t.clone().requires_grad_(True)


def activations():
    x, dy = leaf(values(37, scale=3)), values(37)
    define(ACT_N=37)
    emit("act_x", x)
    emit("act_dy", dy)
    for name, f in (("silu", F.silu), ("gelu", lambda v: F.gelu(v, approximate="tanh"))):
        y = f(x)
        emit(name, y)
        emit(name + "_dx", torch.autograd.grad(y, x, dy)[0])


def norms():
    N, C, L, G = 2, 6, 7, 3
    x, gamma, beta, dy = leaf(values(N, C, L) + 0.5), leaf(values(C)), leaf(values(C)), values(N, C, L)
    y = F.silu(F.group_norm(x, G, gamma, beta, 1e-5))
    v = x.reshape(N, G, -1)
    define(GN_N=N, GN_C=C, GN_L=L, GN_GROUPS=G)
    for k, t in (("x", x), ("gamma", gamma), ("beta", beta), ("dy", dy), ("y", y)):
        emit("gn_" + k, t)
    emit("gn_stats", torch.stack([v.mean(-1), (v.var(-1, unbiased=False) + 1e-5).rsqrt()], -1))
    for k, t in zip(("dx", "dgamma", "dbeta"), torch.autograd.grad(y, (x, gamma, beta), dy)):
        emit("gn_" + k, t)
    N, C = 5, 19
    x, gamma, beta, dy = leaf(values(N, C) + 0.5), leaf(values(C)), leaf(values(C)), values(N, C)
    y = F.layer_norm(x, (C,), gamma, beta, 1e-5)
    define(LN_N=N, LN_C=C)
    for k, t in (("x", x), ("gamma", gamma), ("beta", beta), ("dy", dy), ("y", y)):
        emit("ln_" + k, t)
    emit("ln_stats", torch.stack([x.mean(-1), (x.var(-1, unbiased=False) + 1e-5).rsqrt()], -1))
    for k, t in zip(("dx", "dgamma", "dbeta"), torch.autograd.grad(y, (x, gamma, beta), dy)):
        emit("ln_" + k, t)


def attention():
    N, L, M, D, H = 2, 5, 9, 12, 3
    q, k, v, dy = leaf(values(N, L, D)), leaf(values(N, M, D)), leaf(values(N, M, D)), values(N, L, D)

    def heads(t):
        return t.reshape(N, -1, H, D // H).transpose(1, 2)

    y = F.scaled_dot_product_attention(heads(q), heads(k), heads(v)).transpose(1, 2).reshape(N, L, D)
    lse = torch.logsumexp(heads(q) @ heads(k).transpose(-1, -2) / (D // H) ** 0.5, -1)
    define(AT_N=N, AT_L=L, AT_M=M, AT_D=D, AT_HEADS=H)
    for n, t in (("q", q), ("k", k), ("v", v), ("dy", dy), ("y", y), ("lse", lse)):
        emit("at_" + n, t)
    for n, t in zip(("dq", "dk", "dv"), torch.autograd.grad(y, (q, k, v), dy)):
        emit("at_" + n, t)


def losses():
    N, K = 4, 7
    z, labels, dy = leaf(values(N, K, scale=4)), torch.tensor([0, 6, 3, 3]), values(N)
    y = F.cross_entropy(z, labels, reduction="none")
    define(CE_N=N, CE_K=K)
    for n, t in (("z", z), ("labels", labels), ("dy", dy), ("y", y)):
        emit("ce_" + n, t)
    emit("ce_dz", torch.autograd.grad(y, z, dy)[0])
    n = 21
    p = [leaf(values(n)) for _ in range(4)]
    dy = values(n)
    P, Q = (torch.distributions.Normal(p[i], (p[i + 1] / 2).exp()) for i in (0, 2))
    y = torch.distributions.kl_divergence(P, Q)
    define(KL_N=n)
    for k, t in (("m1", p[0]), ("lv1", p[1]), ("m2", p[2]), ("lv2", p[3]), ("dy", dy), ("y", y)):
        emit("kl_" + k, t)
    for k, t in zip(("dm1", "dlv1", "dm2", "dlv2"), torch.autograd.grad(y, p, dy)):
        emit("kl_" + k, t)


def optimizer():
    """Three steps of torch.optim.AdamW with clip_grad_norm_, and an average of the weights."""
    n, steps, rate = 23, 3, 0.9
    w = torch.nn.Parameter(values(n))
    opt = torch.optim.AdamW([w], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    ema, norms = w.detach().clone(), []
    define(OPT_N=n, OPT_STEPS=steps)
    emit("opt_w", w)
    grads = values(steps, n, scale=0.3)
    grads[1] *= 0.1
    emit("opt_g", grads)
    for i in range(steps):
        w.grad = grads[i].clone()
        norms.append(torch.nn.utils.clip_grad_norm_([w], 1.0))
        opt.step()
        ema = rate * ema + (1 - rate) * w.detach()
    emit("opt_norms", torch.stack(norms))
    emit("opt_result", w)
    emit("opt_m", opt.state[w]["exp_avg"])
    emit("opt_v", opt.state[w]["exp_avg_sq"])
    emit("opt_ema", ema)


def write():
    print("/* Written by tools/make_op_goldens_misc.py with PyTorch %s. */" % torch.__version__.split("+")[0])
    print("#ifndef DEMIST_TESTS_GOLDENS_MISC_H\n#define DEMIST_TESTS_GOLDENS_MISC_H\n")
    print("\n".join(out))
    print("\n#endif")


for section in sys.argv[1:] or ("activations", "norms", "attention", "losses", "optimizer"):
    globals()[section]()
write()
