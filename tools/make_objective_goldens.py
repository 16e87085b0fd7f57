#!/usr/bin/env python3
"""Writes tests/parity/data/objectives.txt (a name and an objective each) and objectives.safetensors: for each, the losses
of one batch and the gradient of their mean with respect to every weight of a small perceptron, by PyTorch in double
precision from the formulas of the papers. Needs torch, scipy."""
import math
import os

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.stats import norm

from make_selftest_values import PURPOSE_NOISE, PURPOSE_TIME, Mlp, normals, philox, set_weights, start_value, uniform

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data")
T, N, D, SEED, LEVELS, S = 8, 16, 2, 7, 256, 0.008

curve = lambda t: math.cos((t + S) / (1 + S) * math.pi / 2) ** 2
betas = np.array([min(1 - curve((i + 1) / T) / curve(i / T), 0.999) for i in range(T)])
alpha_bar = np.concatenate([[1], np.cumprod(1 - betas)])  # of t in 0..T
x0 = torch.tensor([start_value("data", i) * 2 for i in range(N * D)]).float().double().reshape(N, D)
noise = torch.tensor([normals(SEED, PURPOSE_NOISE, 0, i, D) for i in range(N)])
u = [uniform(philox((SEED, 0), (PURPOSE_TIME << 24, 0, 0, i))[0]) for i in range(N)]
column = lambda v: torch.tensor(np.asarray(v, dtype=float))[:, None]


def drawn():
    t = np.array([min(int(1 + math.floor(v * T)), T) for v in u])
    return t, column(np.sqrt(alpha_bar[t])), column(np.sqrt(1 - alpha_bar[t]))


def target_and_x0(predict, out, x, a, s):
    """What the output should be, and the data that it stands for."""
    return {"eps": (noise, (x - s * out) / a), "x0": (x0, out), "v": (a * noise - s * x0, a * x - s * out)}[predict]


def weight(weighting, predict, snr, gamma=5, p2_gamma=1, k=1):
    """Each paper's weight of the error of x0; then of what is predicted."""
    of_x0 = {"none": snr if predict == "eps" else 1 if predict == "x0" else snr + 1, "min_snr": np.minimum(snr, gamma),
             "p2": snr / (k + snr) ** p2_gamma, "snr": snr, "truncated_snr": np.maximum(snr, 1), "snr_plus_1": snr + 1}[weighting]
    return of_x0 / {"eps": snr, "x0": 1, "v": snr + 1}[predict]


def simple(predict, weighting="none", **more):
    def losses(net):
        t, a, s = drawn()
        x = a * x0 + s * noise
        out = net(x, torch.tensor(t - 1.0))
        snr = (alpha_bar / np.maximum(1 - alpha_bar, 1e-300))[t]
        return ((out - target_and_x0(predict, out, x, a, s)[0]) ** 2).mean(1) * torch.tensor(weight(weighting, predict, snr, **more))
    return 2, losses


def bound(net, predict, variance, detach):
    """L_simple, and T times the drawn term of the bound, in bits a dimension."""
    t, a, s = drawn()
    x = a * x0 + s * noise
    out = net(x, torch.tensor(t - 1.0))
    first, second = out[:, :D], out[:, D:]
    target, _ = target_and_x0(predict, first, x, a, s)
    _, guess = target_and_x0(predict, first.detach() if detach else first, x, a, s)
    beta, before, now = betas[t - 1], alpha_bar[t - 1], alpha_bar[t]
    posterior = beta * (1 - before) / (1 - now)
    log_q = np.log(np.where(t > 1, posterior, betas[1] * (1 - alpha_bar[1]) / (1 - alpha_bar[2])))
    c_x0, c_x = column(np.sqrt(before) * beta / (1 - now)), column(np.sqrt(1 - beta) * (1 - before) / (1 - now))
    true, mean = c_x0 * x0 + c_x * x, c_x0 * guess + c_x * x
    lv = {"range": lambda: (second + 1) / 2 * column(np.log(beta)) + (1 - second) / 2 * column(log_q), "log": lambda: second,
          "fixed_small": lambda: column(log_q) + 0 * x0,
          "fixed_large": lambda: column(np.where(t > 1, np.log(beta), log_q)) + 0 * x0}[variance]()
    kl = 0.5 * (lv - column(log_q) - 1 + (column(log_q) - lv).exp() + (true - mean) ** 2 * (-lv).exp())
    half, sd = 1 / (LEVELS - 1), (0.5 * lv).exp()
    upper = torch.special.log_ndtr((x0 + half - mean) / sd)
    lower = torch.special.log_ndtr((x0 - half - mean) / sd)
    flip = x0 > mean  # the smaller tail
    up, low = torch.where(flip, torch.special.log_ndtr(-(x0 - half - mean) / sd), upper), torch.where(flip, torch.special.log_ndtr(-(x0 + half - mean) / sd), lower)
    inside = up + torch.log1p(-(low - up).exp().clamp(max=1 - 1e-15))
    nll = -torch.where(x0 < -1 + half, upper, torch.where(x0 > 1 - half, torch.special.log_ndtr(-(x0 - half - mean) / sd), inside))
    term = torch.where(torch.tensor(t == 1)[:, None], nll, kl).mean(1) / math.log(2)
    return ((first - target) ** 2).mean(1), T * term


def hybrid(predict, variance, weight_of_bound=0.001):
    def losses(net):
        mse, term = bound(net, predict, variance, True)
        return mse + weight_of_bound * term
    return 4, losses


def vlb(predict, variance):
    return 4 if variance in ("range", "log") else 2, lambda net: bound(net, predict, variance, False)[1]


def edm(data, mean, deviation):
    def losses(net):
        ends = [0.5 * math.log((1 - alpha_bar[t]) / alpha_bar[t]) for t in (T,)]
        s = column(np.exp(np.minimum([mean + deviation * norm.ppf(v) for v in u], ends[0])))
        y = x0 + s * noise
        skip, out, scale = data**2 / (s**2 + data**2), s * data / (s**2 + data**2).sqrt(), 1 / (s**2 + data**2).sqrt()
        guess = skip * y + out * net(scale * y, s[:, 0].log() / 4)
        return ((s**2 + data**2) / (s * data) ** 2 * (guess - x0) ** 2).mean(1)
    return 2, losses


cases = {f"simple_{p}_{w}": (f"use: simple, predict: {p}, weighting: {w}", simple(p, w))
         for p in ("eps", "x0", "v") for w in ("none", "min_snr", "p2", "snr", "truncated_snr", "snr_plus_1")}
cases["simple_gammas"] = ("use: simple, predict: v, weighting: min_snr, min_snr_gamma: 2", simple("v", "min_snr", gamma=2))
cases["simple_p2"] = ("use: simple, weighting: p2, p2_gamma: 0.5, p2_k: 3", simple("eps", "p2", p2_gamma=0.5, k=3))
for p in ("eps", "x0", "v"):
    cases[f"hybrid_{p}"] = (f"use: hybrid, predict: {p}", hybrid(p, "range"))
    for variance in ("range", "fixed_small", "fixed_large"):
        cases[f"vlb_{p}_{variance}"] = (f"use: vlb, predict: {p}, variance: {variance}", vlb(p, variance))
cases["hybrid_log"] = ("use: hybrid, variance: log, lambda: 0.5", hybrid("eps", "log", 0.5))
cases["vlb_log"] = ("use: vlb, variance: log, predict: x0", vlb("x0", "log"))
cases["edm"] = ("use: edm", edm(0.5, -1.2, 1.2))
cases["edm_other"] = ("use: edm, sigma_data: 0.8, mean: 0.5, deviation: 2", edm(0.8, 0.5, 2))

out = {}
with open(os.path.join(DATA, "objectives.txt"), "w") as f:
    for name, (text, (outputs, losses)) in cases.items():
        model = Mlp(8, 1)
        model.out = torch.nn.Linear(8, outputs)
        model.double()
        set_weights(model)
        each = losses(model)
        each.mean().backward()
        f.write(f"{name} {text}\n")
        out[f"{name}.losses"] = each.detach().float()
        for key, p in model.named_parameters():
            out[f"{name}.{key}"] = p.grad.float().contiguous()
save_file(out, os.path.join(DATA, "objectives.safetensors"))
