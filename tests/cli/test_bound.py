"""Bits a dimension: every term of every image again in plain Python's double precision, from the network's output that
`demist predict` gives for the same noise; standard errors, respaced chains, fixed and learned variances; the loss on held-out data, and the best checkpoint; bad input."""
import array
import json
import math
import os
import random
import struct

from cli import DEVICE, WORK, demist, floats, path, read_safetensors, run_tests, write_safetensors

SIDE, TRAIN, TEST, T, SEED = 8, 64, 10, 12, 5
D = SIDE * SIDE


def make():
    rng = random.Random(4)
    for split, n in (("train", TRAIN), ("test", TEST)):
        # Black and white at the ends of the range, where bins are open, and grey between.
        pixels = [rng.choice((0, 255, rng.randrange(256))) for _ in range(n * D)]
        open(path(split), "wb").write(struct.pack(">IIII", 0x803, n, SIDE, SIDE) + bytes(pixels))
    for name, objective in (("eps", "use: simple"), ("v", "use: simple, predict: v"), ("range", "use: hybrid"),
                            ("log", "use: hybrid, variance: log, predict: x0")):
        with open(path(name + ".yaml"), "w") as f:
            f.write(f"name: {name}\nseed: {SEED}\ndevice: {DEVICE}\noutput: {path(name)}\ndata: {{use: idx, train_images: {path('train')}, test_images: "
                    f"{path('test')}}}\nschedule: {{use: cosine, timesteps: {T}}}\nobjective: {{{objective}}}\nsampler: {{use: ddpm, steps: 4}}\n"
                    "network: {use: unet, channels: [8, 16], layers: 1, groups: 4, attend: [0, 0]}\n"
                    "train: {steps: 12, batch: 16, lr: 2.0e-3, ema: 0.9, log_every: 6}\n")
        demist("train", path(name + ".yaml"))


# ---- the bound, from the formulas ---------------------------------------------------------------------

def alpha_bars():
    curve = lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    bars = [1.0]
    for i in range(T):
        bars.append(bars[-1] * (1 - min(1 - curve((i + 1) / T) / curve(i / T), 0.999)))
    return bars


def philox(key, c):
    k = list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def noise(t, image, purpose=10):
    """As docs/design.md numbers it: of bounds purpose 10, step t."""
    out = []
    for block in range(D // 4):
        u = [((w >> 9) + 0.5) / 8388608 for w in philox((SEED, 0), [purpose << 24, t, block, image])]
        for a, b in ((u[0], u[1]), (u[2], u[3])):
            r = math.sqrt(-2 * math.log(a))
            out += [r * math.cos(2 * math.pi * b), r * math.sin(2 * math.pi * b)]
    return out


def log_mass(x, mean, sd):
    """Bins of 256 levels; the edges at the ends of the range open. By the upper tail, mirrored where x is below the mean."""
    a, b = (x - 1 / 255 - mean) / sd, (x + 1 / 255 - mean) / sd
    a, b = -math.inf if x < -0.999 else a, math.inf if x > 0.999 else b
    if b < -a:
        a, b = -b, -a
    return math.log(0.5 * (math.erfc(a / math.sqrt(2)) - math.erfc(b / math.sqrt(2))))


def outputs_of(run, inputs, times):
    """The network's output for each of the inputs, as `demist predict` gives it."""
    write_safetensors(path("in.safetensors"), {"x": ("F32", [len(inputs), 1, SIDE, SIDE], b"".join(x.tobytes() for x in inputs)),
                                               "t": ("F32", [len(inputs)], array.array("f", times).tobytes())})
    demist("predict", run, "--in", path("in.safetensors"), "--out", path("out.safetensors"), "--force")
    (tensor,) = read_safetensors(path("out.safetensors"))[0].values()
    F, size = floats(tensor), tensor[1][1] * D
    return [F[i * size:(i + 1) * size] for i in range(len(inputs))]


def terms_of(run, grid, variance, images, predict, clip=1):
    """[image][step from the data on], then L_T; grid: t, the least first."""
    bars = alpha_bars()
    pairs = [(t, i) for t in grid for i in range(len(images))]
    inputs = [array.array("f", [math.sqrt(bars[t]) * v + math.sqrt(1 - bars[t]) * e for v, e in zip(images[i], noise(t, i))]) for t, i in pairs]
    outputs = outputs_of(run, inputs, [t - 1 for t, _ in pairs])
    rows = [[] for _ in images]
    for (t, i), x, F in zip(pairs, inputs, outputs):
        k = grid.index(t)
        A, B = bars[t], bars[grid[k - 1]] if k else 1.0
        a, s = math.sqrt(A), math.sqrt(1 - A)
        beta = 1 - A / B
        small = beta * (1 - B) / (1 - A)
        if not k:  # the posterior of the step before: t + 1 -> t
            small = (1 - bars[t + 1] / A) * (1 - A) / (1 - bars[t + 1])
        c0, cx = math.sqrt(B) * beta / (1 - A), math.sqrt(A / B) * (1 - B) / (1 - A)
        total = 0
        for p in range(D):
            f, v = F[p], F[D + p] if len(F) > D else 0
            guess = {"eps": (x[p] - s * f) / a, "x0": f, "v": a * x[p] - s * f}[predict]
            guess = max(-clip, min(clip, guess)) if clip else guess
            lv = {"fixed_small": math.log(small), "fixed_large": math.log(beta if k else small), "log": v,
                  "range": (v + 1) / 2 * math.log(beta) + (1 - v) / 2 * math.log(small)}[variance]
            true, mean = c0 * images[i][p] + cx * x[p], c0 * guess + cx * x[p]
            if k:
                total += 0.5 * (lv - math.log(small) - 1 + small / math.exp(lv) + (true - mean) ** 2 / math.exp(lv))
            else:
                total -= log_mass(images[i][p], mean, math.exp(lv / 2))
        rows[i].append(total / D / math.log(2))
    last = bars[grid[-1]]
    for row, image in zip(rows, images):
        row.append(sum(0.5 * (last * v * v - last - math.log(1 - last)) for v in image) / D / math.log(2))
    return rows


def test_images():
    raw = open(path("test"), "rb").read()[16:]
    return [[b / 127.5 - 1 for b in raw[i * D:(i + 1) * D]] for i in range(TEST)]


def nll(run, *args, code=0):
    out, err = demist("eval", path(run), "--metric", "nll", "--json", path("nll.json"), "--force", *args, code=code)
    return json.load(open(path("nll.json"))) if not code else None, out, err


def doubles(tensor):
    a = array.array("d")
    a.frombytes(tensor[2])
    return a


def saved(steps, count):
    t = read_safetensors(path("terms.safetensors"))[0]
    assert t["terms"][:2] == ("F64", [count, steps + 1]) and t["t"][:2] == ("F64", [steps]), t
    v = doubles(t["terms"])
    return [v[i * (steps + 1):(i + 1) * (steps + 1)] for i in range(count)], [int(x) for x in doubles(t["t"])]


def check(run, variance, predict, *args, grid=range(1, T + 1), count=TEST, clip=1):
    grid = list(grid)
    r, out, _ = nll(run, *args, "--save", path("terms.safetensors"), "--force")
    rows, t = saved(len(grid), count)
    want = terms_of(path(run), grid, variance, test_images()[:count], predict, clip)
    assert t == grid and r["count"] == count and r["steps"] == len(grid), (t, r)
    for i, (got, row) in enumerate(zip(rows, want)):
        for k, (a, b) in enumerate(zip(got, row)):
            assert abs(a - b) < 1e-4, (run, args, i, k, a, b)
    totals = [sum(row) for row in rows]
    mean = sum(totals) / count
    error = math.sqrt(sum((v - mean) ** 2 for v in totals) / (count - 1) / count)
    assert abs(r["bits_per_dim"]["mean"] - mean) < 1e-9 and abs(r["bits_per_dim"]["error"] - error) < 1e-9, r
    assert abs(r["L_T"]["mean"] + r["L_between"]["mean"] + r["L_0"]["mean"] - mean) < 1e-9
    for k, term in enumerate(r["terms"]):
        assert term["t"] == grid[k] and abs(term["mean"] - sum(row[k] for row in rows) / count) < 1e-9, term
    assert f"{mean:.5f}" in out, out
    return r


def fixed_variances():
    make()
    assert check("eps", "fixed_small", "eps")["variance"] == "fixed"
    check("eps", "fixed_large", "eps", "sampler.variance=fixed_large")
    check("v", "fixed_small", "v", "sampler.clip=off", clip=0)
    check("v", "fixed_small", "v", "sampler.use=ddim", "sampler.eta=1")


def learned_variances():
    assert check("range", "range", "eps")["variance"] == "learned"
    check("log", "log", "x0")
    check("range", "fixed_large", "eps", "sampler.variance=fixed_large")


def respaced_chains():
    check("range", "range", "eps", "--steps", 4, grid=(3, 6, 9, 12))
    check("range", "range", "eps", "--steps", 4, "sampler.spacing=leading", grid=(1, 4, 7, 10))
    check("eps", "fixed_small", "eps", "--steps", 3, "sampler.spacing=linspace", "--count", 3, grid=(1, 7, 12), count=3)


def all_steps_keep_the_grid():
    """Where no number is given there are T steps, or the grid's own count, and they lie where the grid says."""
    check("eps", "fixed_small", "eps", "--count", 3, "sampler.spacing=leading", "sampler.offset=1", count=3)
    check("eps", "fixed_small", "eps", "--count", 3, "sampler.at=[11, 6, 0]", grid=(1, 7, 12), count=3)
    nll("eps", "--count", 2, "grid.use=log_snr", "--save", path("terms.safetensors"), "--force")
    t = doubles(read_safetensors(path("terms.safetensors"))[0]["t"])
    assert len(t) == T and t[0] == 1 and t[-1] == T and any(x != int(x) for x in t), t


def batches_change_nothing():
    rows = []
    for batch in (0, 3):
        nll("range", f"sampler.batch={batch}", "deterministic=true", "--save", path("terms.safetensors"), "--force")
        rows.append(saved(T, TEST)[0])
    assert max(abs(a - b) for x, y in zip(*rows) for a, b in zip(x, y)) < 1e-5


def plots_and_reports():
    out, _ = demist("eval", path("range"), "--metric", "nll", "--count", 2, "--steps", 4, "--plot", path("terms.png"))
    assert open(path("terms.png"), "rb").read(8) == b"\x89PNG\r\n\x1a\n" and "learned variance" in out
    assert os.path.exists(path("range/eval/nll.json"))


def loss(run, *args):
    return json.loads((demist("eval", run, "--metric", "loss", "--json", path("loss.json"), "--force", *args), open(path("loss.json")).read())[1])


def held_out_loss():
    """Image i of band b at its own t with its own noise, by plain Python from the outputs of `demist predict`."""
    bars, images = alpha_bars(), test_images()
    pairs = [(min(1 + int((b + math.fmod(0.5 + 0.6180339887498949 * i, 1)) / 4 * T), T), b, i) for b in range(4) for i in range(TEST)]
    z = [noise(0xFFFFFFFF - b, i, purpose=5) for _, b, i in pairs]
    inputs = [array.array("f", [math.sqrt(bars[t]) * v + math.sqrt(1 - bars[t]) * e for v, e in zip(images[i], zs)]) for (t, _, i), zs in zip(pairs, z)]
    outputs = outputs_of(path("eps"), inputs, [t - 1 for t, _, _ in pairs])
    bands = [[], [], [], []]
    for (_, b, _), F, zs in zip(pairs, outputs, z):
        bands[b].append(sum((f - e) ** 2 for f, e in zip(F, zs)) / D)
    r = loss(path("eps"))
    (row,) = r["weights"]
    assert row["weights"] == "ema.0" and row["rate"] == 0.9 and r["count"] == TEST, r
    for got, want in zip(row["bands"], bands):
        assert abs(got["loss"] - sum(want) / TEST) < 1e-4, (row, want)
    assert abs(row["loss"] - sum(map(sum, bands)) / 4 / TEST) < 1e-4
    assert [b["from"] for b in row["bands"]] == [1, 4, 7, 10], row
    rows = loss(path("eps"), "--weights", "all", "--count", 4)["weights"]
    assert [x["weights"] for x in rows] == ["raw", "ema.0"] and rows[0]["loss"] != rows[1]["loss"], rows
    assert loss(path("eps"), "--raw", "--count", 4)["loss"] == rows[0]["loss"]


def best_checkpoint():
    """The loss on held-out data is in the log, what made the least one is kept, a stopped run does the same."""
    args = ["train.steps=24", "train.validate_every=3", "train.validate_count=6", "train.save_every=8", "train.lr=0.05", "train.ema=[0.5, 0.9]"]
    runs = {}
    for name, stops in (("valid", (24,)), ("valid_again", (10, 24))):
        demist("train", path("eps.yaml"), f"output={path(name)}", *args, f"train.steps={stops[0]}")
        if len(stops) > 1:
            demist("resume", path(name), "train.steps=24")
        lines = [json.loads(x) for x in open(path(name, "log.jsonl"))]
        runs[name] = {x["step"]: x for x in lines if "val_loss" in x and (x["step"] % 3 == 0)}
    assert list(runs["valid"]) == list(range(3, 25, 3)) and runs["valid"] == runs["valid_again"], runs
    least = min(runs["valid"].values(), key=lambda x: x["val_loss"])
    tensors, meta = read_safetensors(path("valid/checkpoints/best.safetensors"))
    assert int(meta["step"]) == least["step"] and abs(float(meta["val_loss"]) / least["val_loss"] - 1) < 1e-7, (meta["step"], least)
    assert tensors == read_safetensors(path("valid_again/checkpoints/best.safetensors"))[0]
    for x in runs["valid"].values():
        assert abs(sum(x[f"val_band_{k}"] for k in (1, 2, 3, 4)) / 4 - x["val_loss"]) < 1e-6 * x["val_loss"]
    last = loss(path("valid"), "--count", 6)
    assert abs(last["loss"] / runs["valid"][24]["val_loss"] - 1) < 1e-5
    best = loss(path("valid"), "--count", 6, "--best")
    assert best["step"] == least["step"] and abs(best["loss"] / least["val_loss"] - 1) < 1e-5
    rows = loss(path("valid"), "--weights", "all")["weights"]
    assert [x["rate"] for x in rows] == [None, 0.5, 0.9]
    err = demist("sample", path("valid"), "--best", "--out", path("best.png"))[1]
    assert f"checkpoint={least['step']})" in err, err
    assert os.path.getsize(path("valid/plots/loss.png")) > 1000
    demist("train", path("eps.yaml"), f"output={path('valid')}", "train.steps=2", "--overwrite")
    assert not os.path.exists(path("valid/checkpoints/best.safetensors"))
    for command in ("eval", path("valid"), "--metric", "loss"), ("sample", path("valid"), "--out", path("none.png")):
        err = demist(*command, "--best", code=2)[1]
        assert "--best: " in err and "train.validate_every" in err, err
    err = demist("train", path("eps.yaml"), f"output={path('none')}", "train.validate_every=3", "data.test_images=", code=2)[1]
    assert "argument 2: error: train.validate_every: needs data with a test split" in err, err


def what_is_wrong_is_said():
    for args, code, says in (
            (("sampler.variance=learned",), 2, "no learned variance"),
            (("sampler.use=ddim",), 2, "one that has it: sampler.use=ddpm"),
            (("sampler.clip=dynamic",), 2, "sampler.clip=auto or off"),
            (("sampler.last=first",), 2, "must be data"),
            (("--count", "11"), 2, "the test split has 10"),
            (("--steps", "13"), 2, "13 is more than the schedule's 12 timesteps"),
            (("--steps", "5", "sampler.at=[9, 3]"), 2, "has 2 steps, not 5"),
            (("data.test_images=",), 2, "test split"),
            (("--features", path("eps")), 2, "for --metric quality")):
        err = nll("eps", *args, code=code)[2]
        assert says in err, (args, err)
    # An infinite output: which image, which t.
    weights, meta = read_safetensors(path("eps/checkpoints/step-00000012.safetensors"))
    key = "ema.0.conv_out.bias"
    weights[key] = (*weights[key][:2], array.array("f", [math.inf] * len(floats(weights[key]))).tobytes())
    write_safetensors_with(path("bad.safetensors"), weights, {k: v for k, v in meta.items() if k != "crc32"})
    err = demist("eval", path("bad.safetensors"), "--metric", "nll", "allow_nan=true", code=7)[1]
    assert f"image 0 of the test split at t = {T}" in err, err


def write_safetensors_with(file, tensors, meta):
    header, at = {"__metadata__": meta}, 0
    for k, (dtype, shape, b) in tensors.items():
        header[k] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(b)]}
        at += len(b)
    h = json.dumps(header).encode()
    with open(file, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + b"".join(t[2] for t in tensors.values()))


run_tests([fixed_variances, learned_variances, respaced_chains, all_steps_keep_the_grid, batches_change_nothing, plots_and_reports, held_out_loss, best_checkpoint, what_is_wrong_is_said])
