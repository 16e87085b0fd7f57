"""The likelihood by the probability-flow ODE against the density of a mixture of Gaussians, which the network
exact_gaussians predicts for; Hutchinson's estimate against the exact divergence; pixels, whose dequantization is drawn
again here; the variational bound of continuous data against the true likelihood."""
import array
import json
import math
import random
import struct

from cli import DEVICE, demist, path, read_safetensors, run_tests

SEED, N = 7, 40
MEANS, DEVIATIONS, WEIGHTS = [(-1.0, 0.3), (0.8, 0.9), (0.2, -1.1)], [0.3, 0.15, 0.5], [2, 3, 5]


def doubles(tensor):
    a = array.array("d")
    a.frombytes(tensor[2])
    return list(a)


def log_density(y, means, deviations, weights, s):
    """ln of the mixture's density at y, noised by s."""
    terms = []
    for m, d, w in zip(means, deviations, weights):
        v = d * d + s * s
        terms.append(math.log(w / sum(weights)) - sum((a - b) ** 2 for a, b in zip(y, m)) / v / 2 - len(y) / 2 * math.log(2 * math.pi * v))
    top = max(terms)
    return top + math.log(sum(math.exp(t - top) for t in terms))


def points(file, n, rng):
    """n points of the mixture for training and n to test, as npy f4[2n,2], every other one to test."""
    rows = []
    for _ in range(2 * n):
        (k,) = rng.choices(range(3), WEIGHTS)
        rows.append([rng.gauss(m, DEVIATIONS[k]) for m in MEANS[k]])
    flat = array.array("f", [v for r in rows for v in r])
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, 2), }}"
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    open(file, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + flat.tobytes())
    return [flat[2 * i:2 * i + 2] for i in range(len(rows))]


def flat(rows):
    return "[" + ", ".join(str(v) for r in rows for v in r) + "]"


def train(name, data, network, *lines):
    text = (f"name: {name}\nseed: {SEED}\ndevice: {DEVICE}\noutput: {path(name)}\n{data}\n{network}\n" + "\n".join(lines) +
            "\ntrain: {steps: 1, batch: 4, ema: []}\n")
    open(path(name + ".yaml"), "w").write(text)
    demist("train", path(name + ".yaml"))


def ode(run, *args):
    out, _ = demist("eval", path(run), "--metric", "nll", "--ode", "--json", path("ode.json"), "--save", path("ode.safetensors"), "--force", *args)
    return doubles(read_safetensors(path("ode.safetensors"))[0]["bits_per_dim"]), json.load(open(path("ode.json"))), out


def mean_and_error(v):
    m = sum(v) / len(v)
    return m, math.sqrt(sum((x - m) ** 2 for x in v) / (len(v) - 1) / len(v))


MIXTURE = f"network: {{use: exact_gaussians, means: {flat(MEANS)}, deviations: {DEVIATIONS}, weights: {WEIGHTS}}}"
RUNS = {"linear": ("schedule: {use: linear}", "objective: {use: simple}", "sampler: {use: ddim}", "grid: {use: log_snr}"),
        "cosine": ("schedule: {use: cosine}", "objective: {use: simple, predict: v}", "sampler: {use: ddim, steps: 80}", "grid: {use: log_snr}"),
        "edm": ("schedule: {use: edm}", "objective: {use: edm}", "sampler: {use: heun}", "grid: {use: karras}"),
        "flow": ("schedule: {use: flow}", "objective: {use: flow}", "sampler: {use: heun, steps: 100}")}


def equals_the_density_of_a_mixture():
    tests = [p for i, p in enumerate(points(path("points.npy"), N, random.Random(1))) if i % 2 == 1]
    for name, lines in RUNS.items():
        train(name, f"data: {{use: npy, file: {path('points.npy')}, test_every: 2}}", MIXTURE, *lines)
        got, r, out = ode(name)
        assert r["probes"] == 0 and r["density"] and not r["dequantized"] and r["count"] == N == len(got), r
        assert "exact divergence" in out and "bits a dimension of the density" in out, out
        off = [bits + log_density(y, MEANS, DEVIATIONS, WEIGHTS, r["least"]) / 2 / math.log(2) for y, bits in zip(tests, got)]
        print(f"{name}: {r['steps']} steps from {r['least']:.3g}: off by {sum(off) / N:.1e} bits a dimension, an example by {max(map(abs, off)):.1e}")
        # linear and edm begin where some signal is left, so that the model's own mixture is a little another one
        assert abs(sum(off) / N) < 1e-3 and max(map(abs, off)) < (1e-3 if name in ("cosine", "flow") else 1e-2), name
        m, e = mean_and_error(got)
        assert abs(r["bits_per_dim"]["mean"] - m) < 1e-9 and abs(r["bits_per_dim"]["error"] - e) < 1e-9, r


def hutchinson_is_without_bias():
    exact, _, _ = ode("linear")
    for probes in (1, 8):
        got, r, out = ode("linear", "--probes", probes)
        assert r["probes"] == probes and r["evaluations"] == 4 * r["steps"] * probes and f"{probes} probe" in out, r
        m, e = mean_and_error([a - b for a, b in zip(got, exact)])
        print(f"{probes} probes: {m:.2e} +- {e:.1e}")
        assert 0 < abs(m) < 3 * e, (m, e)


def batches_and_seeds():
    rows = [ode("linear", f"sampler.batch={b}", "--probes", 2, "deterministic=true", f"seed={s}")[0] for b, s in ((0, 1), (7, 1), (0, 2))]
    assert max(abs(a - b) for a, b in zip(*rows[:2])) < 1e-5 and rows[0] != rows[2]


def philox(key, c):
    k = list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def pixels_are_dequantized():
    """Of 8 bits: the density of the pixels with noise of a level's width, times that width."""
    side, n, rng = 4, 24, random.Random(3)
    D = side * side
    images = [[min(255, max(0, round(127.5 * (1 + rng.gauss(rng.choice((-0.4, 0.5)), 0.3))))) for _ in range(D)] for _ in range(n)]
    open(path("pixels"), "wb").write(struct.pack(">IIII", 0x803, n, side, side) + bytes(v for i in images for v in i))
    train("pixels_run", f"data: {{use: idx, train_images: {path('pixels')}, test_images: {path('pixels')}}}",
          "network: {use: exact_gaussians, means: [-0.4, 0.5], deviations: [0.3, 0.4]}", "schedule: {use: cosine}", "objective: {use: simple, predict: v}",
          "sampler: {use: ddim, steps: 60}", "grid: {use: log_snr}")
    got, r, out = ode("pixels_run", "--steps", 160)
    assert r["dequantized"] and not r["density"] and r["probes"] == 0, r
    assert "of 256 levels, dequantized by uniform noise" in out, out
    for i, (image, bits) in enumerate(zip(images, got)):
        y = []
        for k, v in enumerate(image):
            u = ((philox((SEED, 0), [10 << 24 | 1, 0, k // 4, i])[k % 4] >> 9) + 0.5) / 8388608
            y.append(v / 127.5 - 1 + (u - 0.5) / 127.5)
        want = -log_density(y, [[-0.4] * D, [0.5] * D], [0.3, 0.4], [1, 1], r["least"]) / D / math.log(2) + math.log2(127.5)
        assert abs(bits - want) < 1e-3, (i, bits, want)
    estimate = ode("pixels_run", "--steps", 160, "--probes", 1)[0]
    m, e = mean_and_error([a - b for a, b in zip(estimate, got)])
    assert 0 < abs(m) < 3 * e, (m, e)


def noise_left(schedule, T):
    """1 - alpha_bar of the first two steps, from the formulas."""
    if schedule == "cosine":
        curve = lambda t: math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2
        return 1 - curve(1) / curve(0), 1 - curve(2) / curve(0)
    b1, b2 = 0.1 / T, 0.1 / T + 19.9 / T / (T - 1)
    return b1, 1 - (1 - b1) * (1 - b2)


def bounds_are_bounds():
    """Of a density, by the chain of a perfect network: not below the truth but by chance, and closing on it as T grows,
    but for the decoder, whose variance is that of the posterior from t = 2 to 1 where the truth has about that of x_1:
    for v of V, (V / v - 1 - ln(V / v)) / 2. With fixed_small each of the first steps has such a share for any T."""
    n = 6000
    tests = [p for i, p in enumerate(points(path("many.npy"), n, random.Random(2))) if i % 2 == 1]
    truth = [-log_density(y, MEANS, DEVIATIONS, WEIGHTS, 0) / 2 / math.log(2) for y in tests]
    for schedule, counts in (("cosine", (16, 256)), ("linear, per_1000: true", (25, 400))):
        gaps = []
        for T in counts:
            name = f"bound_{T}_{schedule[:3]}"
            train(name, f"data: {{use: npy, file: {path('many.npy')}, test_every: 2}}", MIXTURE, f"schedule: {{use: {schedule}, timesteps: {T}}}",
                  "objective: {use: simple, predict: v}", "sampler: {use: ddpm, steps: 4, variance: fixed_large, batch: 2048}")
            out, _ = demist("eval", path(name), "--metric", "nll", "--save", path("terms.safetensors"), "--json", path("nll.json"), "--force")
            assert "bits a dimension of the density" in out and json.load(open(path("nll.json")))["density"], out
            terms = doubles(read_safetensors(path("terms.safetensors"))[0]["terms"])
            m, e = mean_and_error([sum(terms[i * (T + 1):(i + 1) * (T + 1)]) - t for i, t in enumerate(truth)])
            one, two = noise_left(schedule[:6], T)
            ratio = two / (1 - (1 - two) / (1 - one))
            decoder = (ratio - 1 - math.log(ratio)) / 2 / math.log(2)
            print(f"{schedule}, T = {T}: {m:.4f} +- {e:.4f} above the truth; {decoder:.4f} of it the decoder's")
            assert m > -3 * e, (schedule, T, m, e)
            gaps.append((m - decoder, e))
        assert gaps[0][0] > 0.1 and abs(gaps[1][0]) < 3 * gaps[1][1] + 0.01, gaps


def what_cannot_be_is_said():
    for args, says in ((("--metric", "loss", "--ode"), "are for --metric nll"), (("--metric", "nll", "--probes", 3), "--probes is for --metric nll --ode"),
                       (("--metric", "nll", "--ode", "--plot", path("p.png")), "--ode has none"),
                       (("--metric", "nll", "--ode", "--count", N + 1), f"the test split has {N}"),
                       (("--metric", "nll", "--ode", "--steps", 1, "grid.use=uniform", "schedule.use=flow"), "no step between two noise levels")):
        err = demist("eval", path("flow"), *args, code=2)[1]
        assert says in err, (args, err)


run_tests([equals_the_density_of_a_mixture, hutchinson_is_without_bias, batches_and_seeds, pixels_are_dequantized, bounds_are_bounds, what_cannot_be_is_said])
