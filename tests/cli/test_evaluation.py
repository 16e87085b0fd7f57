"""Evaluation: a classifier's accuracy, its features and their hash, and the quality of samples, against plain Python."""
import array
import hashlib
import json
import math
import os
import random
import signal
import struct
import subprocess
import time

from cli import DEMIST, DEVICE, WORK, demist, floats, moons, path, read_safetensors, run_tests, write_safetensors

SIDE, TRAIN, TEST, CLASSES = 8, 240, 90, 3


# Three kinds of 8 x 8 images: bright on the left, bright on top, a bright spot; with noise.
def image(rng, kind):
    y0, x0 = rng.randrange(SIDE - 3), rng.randrange(SIDE - 3)
    light = [lambda y, x: x < 4, lambda y, x: y < 4, lambda y, x: 0 <= y - y0 < 3 and 0 <= x - x0 < 3][kind]
    return [min(255, (160 if light(y, x) else 20) + rng.randrange(80)) for y in range(SIDE) for x in range(SIDE)]


def make_data():
    rng = random.Random(4)
    for split, n in (("train", TRAIN), ("test", TEST)):
        labels = [i % CLASSES for i in range(n)]
        pixels = [p for k in labels for p in image(rng, k)]
        open(path(split + "-images"), "wb").write(struct.pack(">IIII", 0x803, n, SIDE, SIDE) + bytes(pixels))
        open(path(split + "-labels"), "wb").write(struct.pack(">II", 0x801, n) + bytes(labels))


DATA = ("data: {{use: idx, classes: 3, train_images: {0}/train-images, train_labels: {0}/train-labels, test_images: {0}/test-images, "
        "test_labels: {0}/test-labels}}\n").format(WORK)


def write_experiment(name, text):
    with open(path(name + ".yaml"), "w") as f:
        f.write(f"name: {name}\nseed: 3\ndevice: {DEVICE}\noutput: {path(name)}\n" + DATA + text)
    return path(name + ".yaml")


def test_pixels():
    raw = open(path("test-images"), "rb").read()[16:]
    return [[b / 127.5 - 1 for b in raw[i * SIDE * SIDE:(i + 1) * SIDE * SIDE]] for i in range(TEST)]


def save_images(name, images):
    write_safetensors(path(name), {"x": ("F32", [len(images), 1, SIDE, SIDE], array.array("f", [v for x in images for v in x]).tobytes())})
    return path(name)


def report(*args, code=0):
    out, err = demist("eval", *args, "--json", path("report.json"), "--force", code=code)
    return json.load(open(path("report.json"))), out, err


def a_classifier_learns():
    make_data()
    write_experiment("kinds", "network: {use: classifier, channels: [4, 8], groups: 2, features: 6, dropout: 0.1}\nobjective: {use: classify}\n"
                     "train: {steps: 150, batch: 24, lr: 1.0e-2, warmup: 5, decay: cosine, ema: 0.9, log_every: 50}\n")
    err = demist("train", path("kinds.yaml"))[1]
    assert "demist eval" in err, err
    r, out, _ = report(path("kinds"), "--metric", "accuracy")
    assert r["accuracy"] > 0.9 and r["count"] == TEST and r["step"] == 150, r
    assert f"{r['accuracy']:.4f}" in out
    # A report and a comparison say that there are no samples, and have all else.
    demist("report", path("kinds"), "--out", path("kinds.html"))
    demist("compare", path("kinds"), path("kinds"), "--out", path("both.html"))
    for name in ("kinds.html", "both.html"):
        page = open(path(name)).read()
        assert "it is a classifier, not a diffusion model" in page and f"{r['accuracy']:.4g}" in page, name
    # Again by way of the network's outputs.
    images = test_pixels()
    save_images("test.safetensors", images)
    write_safetensors(path("in.safetensors"), {**read_safetensors(path("test.safetensors"))[0], "t": ("F32", [TEST], bytes(4 * TEST))})
    demist("predict", path("kinds"), "--in", path("in.safetensors"), "--out", path("logits.safetensors"))
    (logits,) = read_safetensors(path("logits.safetensors"))[0].values()
    assert logits[1] == [TEST, CLASSES], logits[1]
    rows = [list(floats(logits)[i * CLASSES:(i + 1) * CLASSES]) for i in range(TEST)]
    assert r["correct"] == sum(row.index(max(row)) == i % CLASSES for i, row in enumerate(rows))
    loss = sum(math.log(sum(math.exp(v - row[i % CLASSES]) for v in row)) for i, row in enumerate(rows)) / TEST
    assert abs(r["cross_entropy"] - loss) < 1e-4 * (1 + loss), (r, loss)


# ---- the classifier in plain Python ----------------------------------------------------------------

def conv(x, w, b, stride):
    n, m, out = len(x), len(x[0]), []
    for o in range(len(b)):
        rows = []
        for y in range(0, n, stride):
            row = []
            for z in range(0, m, stride):
                s = b[o]
                for c in range(len(x[0][0])):
                    for i in range(3):
                        for j in range(3):
                            if 0 <= y + i - 1 < n and 0 <= z + j - 1 < m:
                                s += w[((o * len(x[0][0]) + c) * 3 + i) * 3 + j] * x[y + i - 1][z + j - 1][c]
                row.append(s)
            rows.append(row)
        out.append(rows)
    return [[[out[o][y][z] for o in range(len(b))] for z in range(len(out[0][0]))] for y in range(len(out[0]))]


def silu(v):
    return v / (1 + math.exp(-v))


def norm(x, w, b, groups):
    channels, size = len(w), len(w) // groups
    y = [[list(p) for p in row] for row in x]
    for g in range(groups):
        part = range(g * size, (g + 1) * size)
        values = [p[c] for row in x for p in row for c in part]
        mean = sum(values) / len(values)
        sd = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-5)
        for row in y:
            for p in row:
                for c in part:
                    p[c] = silu((p[c] - mean) / sd * w[c] + b[c])
    assert len(y[0][0]) == channels
    return y


def plain_features(weights, pixels, early=False):
    get = lambda key: list(floats(weights["ema.0." + key]))
    layer = lambda x, key, stride: conv(x, get(key + ".weight"), get(key + ".bias"), stride)
    normed = lambda x, key: norm(x, get(key + ".weight"), get(key + ".bias"), 2)
    x = [[[pixels[y * SIDE + z]] for z in range(SIDE)] for y in range(SIDE)]
    x = normed(layer(x, "levels.0.conv", 1), "levels.0.norm")
    if early:  # what levels.1.conv reads, as its mean over pixels
        return [sum(p[c] for row in x for p in row) / 64 for c in range(4)]
    x = layer(x, "levels.1.conv", 2)
    h = layer(normed(x, "levels.1.blocks.0.norm1"), "levels.1.blocks.0.conv1", 1)
    h = layer(normed(h, "levels.1.blocks.0.norm2"), "levels.1.blocks.0.conv2", 1)
    x = normed([[[a + b for a, b in zip(p, q)] for p, q in zip(r, s)] for r, s in zip(x, h)], "levels.1.norm")
    mean = [sum(p[c] for row in x for p in row) / 16 for c in range(8)]
    w, b = get("features.weight"), get("features.bias")
    return [silu(b[o] + sum(w[o * 8 + c] * mean[c] for c in range(8))) for o in range(6)]


def rows_of(tensor):
    v, (n, d) = floats(tensor), tensor[1]
    return [list(v[i * d:(i + 1) * d]) for i in range(n)]


def covered(inner, outer, k):
    gap = lambda a, b: sum((x - y) ** 2 for x, y in zip(a, b))
    radii = [sorted(gap(a, b) for b in outer)[k] for a in outer]
    return sum(any(gap(a, b) <= r for b, r in zip(outer, radii)) for a in inner) / len(inner)


def last_weights():
    return read_safetensors(path("kinds/checkpoints", sorted(os.listdir(path("kinds/checkpoints")))[-1]))[0]


def quality_of_given_images():
    file = save_images("test.safetensors", test_pixels())
    r, out, _ = report(path("kinds"), "--metric", "quality", "--features", path("kinds"), "--images", file, "--save", path("f.safetensors"))
    weights = last_weights()
    sets = {k: rows_of(v) for k, v in read_safetensors(path("f.safetensors"))[0].items()}
    assert {k: (len(v), len(v[0])) for k, v in sets.items()} == {"train": (TRAIN, 6), "images": (TEST, 6), "test": (TEST, 6), "noise": (TEST, 6)}
    for i in (0, 1, 2, 50):
        want = plain_features(weights, test_pixels()[i])
        assert all(abs(a - b) < 1e-4 * (1 + abs(b)) for a, b in zip(sets["images"][i], want)), (sets["images"][i], want)
    h = hashlib.sha256()
    for key in sorted(k[6:] for k in weights if k.startswith("ema.0.")):
        h.update(key.encode() + b"\0" + weights["ema.0." + key][2])
    assert r["features"]["sha256"] == h.hexdigest() and r["features"]["layer"] == "out" and r["features"]["count"] == 6, r
    assert h.hexdigest()[:16] in out
    for row, name in (("images", "images"), ("floor", "test"), ("ceiling", "noise")):
        real = sets["train"][:TEST]
        assert abs(r[row]["precision"] - covered(sets[name], real, 3)) < 1e-9, (row, r[row])
        assert abs(r[row]["recall"] - covered(real, sets[name], 3)) < 1e-9, (row, r[row])
        mean = lambda s: [sum(c) / len(s) for c in zip(*s)]
        means = sum((a - b) ** 2 for a, b in zip(mean(sets["train"]), mean(sets[name])))
        assert abs(r[row]["frechet_means"] - means) < 1e-6 * (1 + means)
    # The given images are the test images: but for their order, the floor.
    assert all(abs(a - b) < 1e-4 for x, y in zip(sorted(sets["images"]), sorted(sets["test"])) for a, b in zip(x, y))
    assert abs(r["images"]["frechet"] - r["floor"]["frechet"]) < 1e-4 < r["floor"]["frechet"] < r["ceiling"]["frechet"]
    assert r["ceiling"]["kid"] > r["floor"]["kid"] + 3 * r["ceiling"]["kid_error"], r


def quality_of_samples():
    write_experiment("model", "schedule: {use: linear, timesteps: 100}\nnetwork: {use: unet, channels: [8, 8], attend: [0, 0], layers: 1, groups: 4}\n"
                     "objective: {use: simple}\nsampler: {use: ddim, steps: 5}\ntrain: {steps: 40, batch: 24, lr: 1.0e-3, ema: 0.9, log_every: 20}\n")
    demist("train", path("model.yaml"))
    r, out, err = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--count", 40, "--save", path("s.safetensors"), "--force")
    assert r["samples"]["count"] == r["floor"]["count"] == 40 and r["train_count"] == TRAIN
    assert "steps=5" in r["sampling"] and "checkpoint=40" in r["sampling"], r
    # The same samples, drawn by the other command.
    demist("sample", path("model"), "--count", 40, "--tensors", path("drawn.safetensors"))
    again = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--images", path("drawn.safetensors"))[0]
    for k in ("frechet", "kid", "precision", "recall"):
        assert abs(again["images"][k] - r["samples"][k]) < 1e-4 * (1 + abs(r["samples"][k])), (k, again, r)
    # As PNG files their values are whole pixels: nearly the same.
    demist("sample", path("model"), "--count", 40, "--out", path("drawn/%03d.png"))
    png = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--images", path("drawn"), "--count", 40)[0]
    assert abs(png["images"]["frechet_means"] - r["samples"]["frechet_means"]) < 0.05 * (1 + r["samples"]["frechet_means"]), (png, r)
    # Another layer, of another network: a mean over pixels.
    other = report(path("model"), "--metric", "quality", "--features", path("model"), "--count", 40, "--images", path("drawn.safetensors"))[0]
    assert other["features"]["layer"] == "conv_out" and other["features"]["count"] == 8, other
    named = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--layer", "levels.1.conv", "--images", path("test.safetensors"),
                   "--save", path("early.safetensors"))[0]
    assert named["features"]["count"] == 4 and named["features"]["layer"] == "levels.1.conv", named
    rows = rows_of(read_safetensors(path("early.safetensors"))[0]["images"])
    for i in (0, 40):
        want = plain_features(last_weights(), test_pixels()[i], early=True)
        assert all(abs(a - b) < 1e-4 * (1 + abs(b)) for a, b in zip(rows[i], want)), (rows[i], want)


# A network whose last layers are convolutions of other kinds.
KINDS = r"""
#include <demist/plugin.h>
static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const dm_conv k = {3, 1, {1, 1}};
    dm_val x = g->silu(g, g->conv(g, "first", in->x, 8, k, 0));
    (void)c;
    x = g->silu(g, g->conv_grouped(g, "grouped", x, 8, k, 4, 0));
    x = g->silu(g, g->conv_transposed(g, "transposed", x, 6, k, 0));
    return g->conv_transposed(g, "last", x, in->out_channels, k, 0);
}
const dm_plugin dm_plugin_entry = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "kinds_of_layers", .version = "1",
    .license = "Apache-2.0", .doc = "layers", .network = &(const dm_network){.size = sizeof(dm_network), .build = build}};
"""


def layers_of_every_kind():
    with open(path("kinds_of_layers.c"), "w") as f:
        f.write(KINDS)
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-I",
                    os.path.join(os.environ["DEMIST_SOURCE"], "core/api"), path("kinds_of_layers.c"), "-o", path("kinds_of_layers.so")],
                   check=True)
    write_experiment("layers", f"plugin_path: {path('.')}\nschedule: {{use: linear, timesteps: 100}}\nnetwork: {{use: kinds_of_layers}}\n"
                     "objective: {use: simple}\nsampler: {use: ddim, steps: 2}\ntrain: {steps: 2, batch: 8}\n")
    demist("train", path("layers.yaml"))
    given = ("--metric", "quality", "--features", path("layers"), "--images", save_images("few.safetensors", test_pixels()[:20]))
    for layer, named, count in ((None, "last", 6), ("last", "last", 6), ("transposed", "transposed", 8), ("grouped", "grouped", 8)):
        r = report(path("layers"), *given, *(("--layer", layer) if layer else ()))[0]
        assert (r["features"]["layer"], r["features"]["count"]) == (named, count), (layer, r["features"])
    err = demist("eval", path("layers"), *given, "--layer", "grouping", code=2)[1]
    assert "no layer 'grouping'; did you mean 'grouped'?" in err, err


def quality_by_class():
    """A model that is told the class: each class as a data set of its own gives the same, and the classifier's share."""
    write_experiment("asked", "schedule: {use: linear, timesteps: 100}\nnetwork: {use: unet, channels: [8, 8], attend: [0, 0], layers: 1, groups: 4, class_embed: table}\n"
                     "objective: {use: simple}\nsampler: {use: ddim, steps: 5}\ntrain: {steps: 60, batch: 24, lr: 1.0e-2, ema: 0.9, log_every: 20}\n")
    demist("train", path("asked.yaml"))
    n, q = 40, ("--metric", "quality", "--features", path("kinds"))
    plain, shares, _ = report(path("asked"), *q, "--count", n)
    r, out, err = report(path("asked"), *q, "--count", n, "--by-class", "--save", path("s.safetensors"), "--force")
    assert r["samples"] == plain["samples"] and r["floor"] == plain["floor"], (r, plain)
    assert "test" in out.split("ceiling")[-1] and "class share" in out and "class share" in shares, (out, shares)
    # The classes that the classifier takes the same samples for.
    demist("sample", path("asked"), "--count", n, "--tensors", path("asked.safetensors"), "--force")
    drawn = read_safetensors(path("asked.safetensors"))[0]["x"]
    write_safetensors(path("in.safetensors"), {"x": drawn, "t": ("F32", [n], bytes(4 * n))})
    demist("predict", path("kinds"), "--in", path("in.safetensors"), "--out", path("taken.safetensors"), "--force")
    (logits,) = read_safetensors(path("taken.safetensors"))[0].values()
    right = [row.index(max(row)) == i % CLASSES for i, row in enumerate(rows_of(logits))]
    p = sum(right) / n
    assert abs(r["samples"]["class_share"] - p) < 1e-12 and f"{p:.4f}" in out, (r["samples"], p)
    assert abs(r["samples"]["class_share_error"] - math.sqrt(p * (1 - p) / n)) < 1e-12
    pixels, raw = floats(drawn), open(path("test-images"), "rb").read()[16:]
    size = SIDE * SIDE
    for k, row in enumerate(r["classes"]):
        mine = [i for i in range(n) if i % CLASSES == k]
        assert (row["class"], row["count"], row["test_count"]) == (k, len(mine), TEST // CLASSES), row
        assert abs(row["class_share"] - sum(right[i] for i in mine) / len(mine)) < 1e-12, row
        assert plain["classes"][k] == {x: row[x] for x in ("class", "count", "class_share")}, plain["classes"]
        save_images("mine.safetensors", [pixels[i * size:(i + 1) * size] for i in mine])
        real = b"".join(raw[i * size:(i + 1) * size] for i in range(k, TEST, CLASSES))
        open(path("real"), "wb").write(struct.pack(">IIII", 0x803, TEST // CLASSES, SIDE, SIDE) + real)
        open(path("real-labels"), "wb").write(struct.pack(">II", 0x801, TEST // CLASSES) + bytes([k] * (TEST // CLASSES)))
        alone = report(path("asked"), *q, "--images", path("mine.safetensors"), "--save", path("alone.safetensors"), "--force",
                       *(f"data.{name}={path('real')}{labels}" for s in ("train", "test") for name, labels in ((s + "_images", ""), (s + "_labels", "-labels"))))[0]["images"]
        for x in ("frechet", "frechet_means", "precision", "recall", "kid_size"):
            assert abs(row[x] - alone[x]) < 1e-5 * (1 + abs(alone[x])), (x, row, alone)
        assert abs(row["kid"] - alone["kid"]) < 3 * (row["kid_error"] + alone["kid_error"]), (row, alone)
        sets = {name: rows_of(v) for name, v in read_safetensors(path("alone.safetensors"))[0].items()}
        few = sets["train"][:len(mine)]  # in the order of the data set, which is another one by class
        assert abs(alone["precision"] - covered(sets["images"], few, 3)) < 1e-9
    # By another network's features, without a classifier; by one of other classes; of a model that is told none.
    r, out, _ = report(path("asked"), *q[:3], path("model"), "--count", 12, "--by-class")
    assert "class_share" not in r["samples"] and "class_share" not in r["classes"][0] and r["classes"][2]["recall"] <= 1, r
    assert "class share" not in out, out
    assert "classes" not in report(path("model"), *q, "--count", 12)[0]
    err = report(path("asked"), *q, "--count", 12, "--by-class")[2]
    assert "4 samples of a class for 6 features: their covariance has rank 3 at most" in err, err
    write_experiment("more", "network: {use: classifier, channels: [4, 8], groups: 2, features: 6}\nobjective: {use: classify}\ntrain: {steps: 1, batch: 4, warmup: 0}\n")
    demist("train", path("more.yaml"), "data.classes=5")
    r, _, err = report(path("asked"), *q[:3], path("more"), "--count", 12)
    assert "tells 5 classes apart, this model has 3" in err and "classes" not in r, err
    demist("train", path("more.yaml"), "data.class_names=top, left, spot", "--overwrite")
    demist("train", path("asked.yaml"), "data.class_names=left, top, spot", "train.steps=1", f"output={path('named')}")
    r, _, err = report(path("named"), *q[:3], path("more"), "--count", 12)
    assert "no class share" in err and "class 0 is 'left'" in err and "classes" not in r, err
    r, out, _ = report(path("named"), *q, "--count", 12, "--by-class")
    assert [c["name"] for c in r["classes"]] == ["left", "top", "spot"] and "  spot\n" in out, r


def by_class_refuses():
    q = ("--metric", "quality", "--features", path("kinds"), "--by-class")
    labels = open(path("test-labels"), "rb").read()
    demist("train", *moons("moons", "data.limit=100", "train.steps=2"))
    for name, take in (("two", lambda k: min(k, 1)), ("few", lambda k: k)):
        new = [take(k) for k in labels[8:]]
        if name == "few":
            new = [2 if i in (2, 5, 8) else k % 2 for i, k in enumerate(new)]
        open(path(name), "wb").write(labels[:8] + bytes(new))
    for args, says in (
            ((path("model"), *q), "the network of this model reads no classes (network.class_embed: table trains one that does)"),
            ((path("moons"), *q), "this model was trained on data without classes"),
            ((path("asked"), *q, "--images", path("drawn.safetensors")), "--by-class is for samples"),
            ((path("asked"), "--metric", "accuracy", "--by-class"), "--by-class are for --metric quality"),
            ((path("asked"), *q, "data.test_images=", "data.test_labels="), "quality by class compares with the test images of each class"),
            ((path("asked"), *q, "data.train_labels=", "data.test_labels="), "quality by class: the test images have no labels"),
            ((path("asked"), *q, "data.classes=7"), "the data have 7 classes, the model has 3"),
            ((path("asked"), *q, f"data.test_labels={path('two')}"), "needs 4 test images of each class at least; of class 2 there are 0"),
            ((path("asked"), *q, f"data.test_labels={path('few')}"), "needs 4 test images of each class at least; of class 2 there are 3"),
            ((path("asked"), *q, "--count", "11"), "needs 4 samples of each class at least; of class 2 there are 3")):
        out, err = demist("eval", *args, "--json", path("never.json"), code=2)
        assert says in err and not out and not os.path.exists(path("never.json")), (args, err)


def refuses():
    q = (path("model"), "--metric", "quality", "--features", path("kinds"))
    for args, code, says in (
            (("eval",), 2, "give a run"), (("eval", path("kinds")), 2, "give --metric"),
            (("eval", path("kinds"), "--metric", "beauty"), 2, "--metric is 'beauty'; it must be quality, nll, loss or accuracy"),
            (("eval", path("model"), "--metric", "quality"), 2, "--features"),
            (("eval", path("kinds"), "--metric", "accuracy", "--count", "5"), 2, "--count"),
            (("eval", path("model"), "--metric", "accuracy"), 2, "not a classifier"),
            (("eval", path("kinds"), "--metric", "quality", "--features", path("kinds")), 2, "nothing to sample"),
            (("eval", path("model"), "--metric", "quality", "--features", path("nowhere")), 2, "nowhere"),
            (("eval", *q, "--layer", "levels.1.con"), 2, "did you mean 'levels.1.conv'"),
            (("eval", *q, "--images", path("gone.npy")), 2, "gone.npy"),
            (("eval", *q, "--images", path("drawn.safetensors"), "--count", "41"), 2, "cannot measure 41 images; only 40"),
            (("eval", *q, "--count", "3"), 2, "--count"),
            (("eval", *q, "data.train_images=/nowhere"), 2, "/nowhere"),
            (("eval", path("kinds"), "--metric", "accuracy", "data.test_images="), 2, "test"),
            (("eval", *q, "--json", path("report.json")), 2, "report.json")):
        err = demist(*args, code=code)[1]
        assert says in err, (args, err)
    err = demist("check", path("kinds.yaml"), "train.sample_every=5", code=2)[1]
    assert "there is nothing to sample" in err, err
    err = demist("check", path("model.yaml"), "network={use: classifier}", code=2)[1]
    assert "network 'classifier' returns rank 2" in err, err
    err = demist("sample", path("kinds"), "--out", path("x.png"), code=2)[1]
    assert "not a diffusion model" in err, err
    images = test_pixels()
    images[7][9] = float("nan")
    err = demist("eval", *q, "--images", save_images("nan.safetensors", images), code=2)[1]
    assert "image 7" in err and "NaN at element 9" in err, err
    write_safetensors(path("small.safetensors"), {"x": ("F32", [10, 1, 7, 7], bytes(4 * 490))})
    err = demist("eval", *q, "--images", path("small.safetensors"), code=2)[1]
    assert "10 x 1 x 7 x 7" in err and "1 x 8 x 8" in err, err
    err = demist("eval", *q, "data.size=16", code=2)[1]
    assert "1 x 16 x 16" in err, err


def few_images_are_warned_of():
    err = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--images", path("drawn.safetensors"), "--count", 5)[2]
    assert "rank 4 at most instead of 6" in err, err
    err = report(path("model"), "--metric", "quality", "--features", path("kinds"), "--images", path("drawn.safetensors"), "data.test_images=")[2]
    assert "no floor" in err and json.load(open(path("report.json")))["floor"] is None, err


def stopped():
    p = subprocess.Popen([DEMIST, "eval", path("model"), "--metric", "quality", "--features", path("kinds"), "--count", "100000", "sampler.steps=100"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=WORK)
    time.sleep(2)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and out == "", (p.returncode, out, err)


run_tests([a_classifier_learns, quality_of_given_images, quality_of_samples, layers_of_every_kind, quality_by_class, by_class_refuses, refuses, few_images_are_warned_of, stopped])
