"""demist edit: images redrawn from a part of their noise, holes filled, noise found again, two images mixed."""
import os
import struct

from cli import DEVICE, demist, floats, path, read_safetensors, run_tests, write_safetensors

SIDE, COUNT = 8, 48


def image(i):
    """A bright half, left or right, of one of a few shades."""
    return [min(255, 100 + 20 * (i % 6)) if (p % SIDE < SIDE // 2) == (i % 2 == 0) else 20 + 3 * (i % 5) for p in range(SIDE * SIDE)]


def write_data():
    with open(path("x"), "wb") as f:
        f.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", COUNT, SIDE, SIDE) + bytes(v for i in range(COUNT) for v in image(i)))
    with open(path("exp.yaml"), "w") as f:
        f.write(f"""name: edit
device: {DEVICE}
tune: off
data: {{use: idx, train_images: {path("x")}}}
schedule: {{use: cosine, timesteps: 100}}
network: {{use: unet, channels: [16], layers: 1, groups: 4, attend: [0], dropout: 0}}
objective: {{use: simple, predict: v}}
sampler: {{use: ddim, steps: 20}}
train: {{steps: 300, batch: 16, log_every: 50, lr: 0.005, ema: 0.95}}
""")
    tensor("two.safetensors", [2, 1, SIDE, SIDE], [v / 127.5 - 1 for i in (0, 3) for v in image(i)])
    tensor("one.safetensors", [1, 1, SIDE, SIDE], [v / 127.5 - 1 for v in image(3)])
    tensor("zero.safetensors", [1, 1, SIDE, SIDE], [v / 127.5 - 1 for v in image(0)])
    tensor("top.safetensors", [1, 1, SIDE, SIDE], [1] * (SIDE * SIDE // 2) + [0] * (SIDE * SIDE // 2))


def tensor(file, shape, values):
    write_safetensors(path(file), {"x": ("F32", shape, struct.pack(f"<{len(values)}f", *values))})


def images_of(file):
    x = read_safetensors(path(file))[0]["x"]
    values = list(floats(x))
    size = len(values) // x[1][0]
    return [values[i * size:(i + 1) * size] for i in range(x[1][0])]


def edited(run, *more, file="o.safetensors"):
    err = demist("edit", path(run), *more, "--tensors", path(file), "--force", "--deterministic")[1]
    return images_of(file), err


def distance(a, b):
    return (sum((p - q) ** 2 for p, q in zip(a, b)) / len(a)) ** 0.5


def strength_says_how_much():
    write_data()
    demist("train", path("exp.yaml"), f"output={path('run')}")
    two = images_of("two.safetensors")
    assert edited("run", "--in", path("two.safetensors"), "--strength", 0)[0] == two, "strength 0 gives the images back"
    demist("sample", path("run"), "--count", 2, "--tensors", path("s.safetensors"), "--deterministic")
    assert edited("run", "--in", path("two.safetensors"), "--strength", 1)[0] == images_of("s.safetensors"), "1 begins at pure noise"
    far = [sum(distance(a, b) for a, b in zip(two, edited("run", "--in", path("two.safetensors"), "--strength", s)[0])) for s in (0.1, 0.5, 1)]
    assert 0 < far[0] < far[1] < far[2], far
    assert edited("run", "--in", path("two.safetensors"))[0] == edited("run", "--in", path("two.safetensors"), "--strength", 0.6)[0]


def images_do_not_depend_on_their_batch():
    both = edited("run", "--in", path("two.safetensors"), "sampler.eta=1")[0]
    assert edited("run", "--in", path("two.safetensors"), "sampler.eta=1", "sampler.batch=2")[0] == both
    variants = edited("run", "--in", path("one.safetensors"), "--count", 3, "sampler.eta=1")[0]
    assert len(variants) == 3 and variants[1] == both[1] and variants[0] != variants[2]
    for sampler in ("ddpm", "dpmpp", "heun", "unipc", "pndm", "sa", "adaptive"):
        out = edited("run", "--in", path("two.safetensors"), "--strength", 0.5, f"sampler.use={sampler}")[0]
        assert all(distance(a, b) < 0.8 for a, b in zip(out, images_of("two.safetensors"))), sampler


def what_a_mask_leaves_stays():
    two = images_of("two.safetensors")
    for sampler in ("ddim", "dpmpp", "ddpm"):
        out = edited("run", "--in", path("two.safetensors"), "--mask", path("top.safetensors"), f"sampler.use={sampler}")[0]
        for a, b in zip(out, two):
            assert a[SIDE * SIDE // 2:] == b[SIDE * SIDE // 2:] and a[:SIDE * SIDE // 2] != b[:SIDE * SIDE // 2], sampler
    demist("train", path("exp.yaml"), f"output={path('holes')}", "condition.derive=[mask]")
    assert "condition   mask, image 2 x 8 x 8" in demist("info", path("holes"))[0]
    out = edited("holes", "--in", path("two.safetensors"), "--mask", path("top.safetensors"))[0]
    for a, b in zip(out, two):
        assert a[SIDE * SIDE // 2:] == b[SIDE * SIDE // 2:], "what is known stays"
        assert distance(a[:SIDE * SIDE // 2], b[:SIDE * SIDE // 2]) < 0.35, "the other half tells what is missing"


def jumps_bring_both_parts_together():
    """A model that knows nothing of holes draws what fits the row that stays."""
    args = ("--in", path("two.safetensors"), "--mask", path("top.safetensors"), "sampler.eta=1")
    two, half = images_of("two.safetensors"), SIDE * SIDE // 2
    plain, once = edited("run", *args)[0], edited("run", *args, "--jumps", "5,1")[0]
    assert plain == once, "taken once, nothing changes"
    jumped = edited("run", *args, "--jumps", "5,4")[0]
    three = edited("run", "--in", path("one.safetensors"), *args[2:], "--count", 3, "--jumps", "5,4")[0]
    assert three[1] == jumped[1] and three[0] != three[2], "an image does not depend on its batch"
    for a, b in zip(jumped, two):
        assert a[half:] == b[half:] and a[:half] != b[:half]
    tensor("most.safetensors", [1, 1, SIDE, SIDE], [1] * (SIDE * (SIDE - 1)) + [0] * SIDE)
    off = {}
    for jumps in ("7,1", "7,6"):
        off[jumps] = 0
        for k, file in enumerate(("zero.safetensors", "one.safetensors")):
            out = edited("run", "--in", path(file), "--mask", path("most.safetensors"), "sampler.eta=1", "--count", 8, "--jumps", jumps)[0]
            off[jumps] += sum(distance(x[:-SIDE], two[k][:-SIDE]) for x in out) / 16
    print("what is drawn to fit a row, root mean square off the image of that row:", off)
    assert off["7,6"] < 0.5 * off["7,1"], off
    strip = ("--strip", path("jumps.safetensors"))
    edited("run", *args, "--jumps", "7,2", *strip)
    assert read_safetensors(path("jumps.safetensors"))[0]["x"][1][0] == 41, "the strip has every step as often as it was taken"
    for sampler in ("ddpm", "dpmpp", "heun", "unipc", "pndm", "deis", "lms", "sa", "restart"):
        out = edited("run", *args[:4], "--jumps", "7,2", f"sampler.use={sampler}")[0]
        assert all(a[half:] == b[half:] for a, b in zip(out, two)), sampler


def there_and_back():
    """An image's noise gives it again; between two lie images that begin and end with them."""
    eta = ("sampler.use=ddim", "sampler.eta=0", "sampler.steps=50")
    err = demist("edit", path("run"), "--in", path("two.safetensors"), "--invert", "--tensors", path("noise.safetensors"), *eta)[1]
    error = float(err.split("root mean square error ")[1].split()[0])
    assert error < 0.12, err
    demist("sample", path("run"), "--noise", path("noise.safetensors"), "--tensors", path("back.safetensors"), *eta)
    two = images_of("two.safetensors")
    assert all(distance(a, b) < 0.15 for a, b in zip(two, images_of("back.safetensors")))
    out = edited("run", "--in", path("zero.safetensors"), "--mix", path("one.safetensors"), "--frames", 5, *eta)[0]
    assert len(out) == 5 and distance(out[0], two[0]) < 0.15 and distance(out[4], two[1]) < 0.15
    assert distance(out[2], two[0]) > distance(out[0], two[0])
    edited("run", "--in", path("zero.safetensors"), "--mix", path("one.safetensors"), "--frames", 5, "--strip", path("mix.safetensors"), *eta)
    name, shape = read_safetensors(path("mix.safetensors"))[0]["x"][:2]
    assert shape == [51, 5, 1, SIDE, SIDE], "the strip shows how the five images were drawn"


def wide_steps_invert():
    """lms, whose higher orders would blow up over steps that widen, stays near the walk of many steps."""
    with open(path("exact.yaml"), "w") as f:
        f.write(f"""name: exact
device: {DEVICE}
tune: off
data: {{use: toy2d, shape: moons}}
schedule: {{use: linear, timesteps: 1000}}
network: {{use: exact_gaussians, means: [-1, 0, 1, 0], deviations: [0.3, 0.3]}}
objective: {{use: simple, predict: eps}}
sampler: {{use: ddim, clip: off}}
train: {{steps: 1, batch: 8, ema: []}}
""")
    tensor("points.safetensors", [4, 2], [1.1, 0.2, -0.8, -0.3, -1.2, 0.1, 0.7, 0.4])
    for schedule in "linear", "cosine":
        demist("train", path("exact.yaml"), f"output={path(schedule)}", f"schedule.use={schedule}")

        def noise(*more):
            return [v for x in edited(schedule, "--in", path("points.safetensors"), "--invert", *more)[0] for v in x]

        truth = noise("sampler.steps=500")
        for grid, steps in ("uniform", 10), ("uniform", 40), ("log_snr", 10), ("log_snr", 20), ("karras", 20):
            off = [distance(noise(f"grid.use={grid}", f"sampler.steps={steps}", f"sampler.use={s}"), truth) for s in ("ddim", "lms")]
            assert off[1] < 2 * off[0] + 0.01, (schedule, grid, steps, off)


def seams(image, h, w, factor, tile, overlap):
    """The mean step between neighbouring pixels of a row where a tile begins or ends, and one pixel beside."""
    count = 1 + -(-(w // factor - tile) // (tile - overlap))
    begins = [factor * (((w // factor - tile) * i + (count - 1) // 2) // (count - 1)) for i in range(count)]
    step = lambda x: sum(abs(image[y * w + x] - image[y * w + x - 1]) for y in range(h)) / h
    at = sorted({b for b in begins if b} | {b + factor * tile for b in begins if b + factor * tile < w})
    beside = [x for b in at for x in (b - 1, b + 1) if x not in at]
    return sum(map(step, at)) / len(at), sum(map(step, beside)) / len(beside)


def larger_images_have_no_seams():
    """A model of 4 x 4 to 8 x 8, of stripes and bright spots at any place, on images of 20 x 12: tiles cannot be told from within."""
    many = 256
    with open(path("u"), "wb") as f:
        f.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", many, SIDE, SIDE))
        for i in range(many):
            f.write(bytes(min(255, 40 + 10 * (i % 7) + (90 if (x + y + i) % 6 < 3 else 0) + (11 * x + 5 * y * y + i) % 13)
                          for y in range(SIDE) for x in range(SIDE)))
    demist("train", path("exp.yaml"), f"output={path('up')}", f"data.train_images={path('u')}", "condition.derive=[downscale]",
           "condition.factor=2", "train.drop_condition=0.1", "train.save_every=100")
    h, w = 12, 20
    whole = lambda i: [(40 + 10 * (i % 7) + (90 if (x + y + i) % 6 < 3 else 0) + (11 * x + 5 * y * y + i) % 13) / 127.5 - 1
                       for y in range(2 * h) for x in range(2 * w)]
    small = lambda x: [sum(x[(2 * r + a) * 2 * w + 2 * c + b] for a in (0, 1) for b in (0, 1)) / 4 for r in range(h) for c in range(w)]
    count = 6
    tensor("small.safetensors", [count, 1, h, w], [v for i in range(count) for v in small(whole(i))])
    up = lambda *more: edited("up", "--in", path("small.safetensors"), "--upscale", *more, "sampler.eta=1")[0]
    out = up()
    assert len(out) == count and len(out[0]) == 4 * h * w
    three = up("sampler.batch=3")
    assert max(abs(a - b) for p, q in zip(three, out) for a, b in zip(p, q)) < 1e-4, "however many tiles at once"
    for overlap in (2, 1):
        images = out if overlap == 2 else up("--overlap", 1)
        pairs = [seams(x, 2 * h, 2 * w, 2, 4, overlap) for x in images]
        at, beside = (sum(p[k] for p in pairs) / count for k in (0, 1))
        truth = [seams(whole(i), 2 * h, 2 * w, 2, 4, overlap) for i in range(count)]
        print(f"overlap {overlap}: mean step at seams {at:.4f}, beside {beside:.4f}; in the true images",
              [round(sum(t[k] for t in truth) / count, 4) for k in (0, 1)])
        assert at < 1.1 * beside, (overlap, at, beside)
    back = [distance(small(x), small(whole(i))) for i, x in enumerate(out)]
    print("made small again, root mean square off the small image:", back)
    assert max(back) < 0.1, back
    same = images_of("small.safetensors")
    tensor("tile.safetensors", [1, 1, 4, 4], [same[0][r * w + c] for r in range(4) for c in range(4)])
    one = edited("up", "--in", path("tile.safetensors"), "--upscale")[0]
    demist("sample", path("up"), "--condition", f"downscale={path('tile.safetensors')}", "--count", 1, "--tensors", path("t.safetensors"), "--deterministic")
    assert max(abs(a - b) for a, b in zip(one[0], images_of("t.safetensors")[0])) < 1e-4, "an image of one tile is a sample"
    far = lambda p, q: max(abs(a - b) for x, y in zip(p, q) for a, b in zip(x, y))
    checkpoint = path("up/checkpoints/step-00000100.safetensors")
    for guidance in (("guidance.use=cfg", "guidance.scale=3"), ("guidance.use=autoguidance", f"guidance.guide={checkpoint}")):
        demist("sample", path("up"), "--condition", f"downscale={path('tile.safetensors')}", "--count", 1, "--tensors", path("t.safetensors"),
               "--deterministic", "--force", *guidance)
        one = edited("up", "--in", path("tile.safetensors"), "--upscale", *guidance)[0]
        assert far(one, images_of("t.safetensors")) < 1e-4, "guided as a sample is"
    assert far(up("guidance.use=cfg", "guidance.scale=1"), out) < 1e-4 < far(up("guidance.use=cfg", "guidance.scale=3"), out)
    assert far(up("guidance.use=autoguidance", f"guidance.guide={path('up')}"), out) < 1e-4, "a guide that says the same"
    refuse("--in", path("small.safetensors"), "--upscale", says="this one takes nothing")
    for args, says in ((("--overlap", 4), "it must be 1 to 3"), (("--strength", "0.5"), "--upscale takes only"), (("--count", 2), "--upscale takes only"),
                       (("guidance.use=autoguidance",), "guidance.guide"), (("sampler.steps=-1",), "sampler.steps")):
        err = demist("edit", path("up"), "--in", path("small.safetensors"), "--upscale", *args, "--tensors", path("no.safetensors"), code=2)[1]
        assert says in err, err
    tensor("tiny.safetensors", [1, 1, 3, 9], [0] * 27)
    assert "this model enlarges 4 x 4 and above" in demist("edit", path("up"), "--in", path("tiny.safetensors"), "--upscale", "--tensors",
                                                            path("no.safetensors"), code=2)[1]
    refuse("--in", path("two.safetensors"), "--overlap", 2, says="--overlap is for --upscale")


def pictures_in_and_out():
    demist("sample", path("run"), "--count", 1, "--out", path("a.png"))
    demist("edit", path("run"), "--in", path("a.png"), "--strength", 0.4, "--out", path("b.png"), "--strip", path("strip.png"))
    for file, width in (("b.png", SIDE), ("strip.png", None)):
        with open(path(file), "rb") as f:
            assert width in (None, struct.unpack(">I", f.read()[16:20])[0])
    edited("run", "--in", path("two.safetensors"), "--strength", 0, "--strip", path("still.safetensors"))
    assert images_of("still.safetensors")[0] == [v for image in images_of("two.safetensors") for v in image], "no step, one frame"
    demist("edit", path("run"), "--in", path("a.png"), "--count", 2, "--out", path("many/%02d.png"))
    assert sorted(os.listdir(path("many"))) == ["00.png", "01.png"]


def refuse(*more, says):
    err = demist("edit", path("run"), *more, "--tensors", path("no.safetensors"), code=2)[1]
    assert says in err, err
    assert not os.path.exists(path("no.safetensors"))


def refuses():
    two = ("--in", path("two.safetensors"))
    refuse(says="give the images with --in")
    refuse(*two, "--strength", "1.5", says="it must be a number from 0 to 1")
    refuse(*two, "--strength", "nan", says="it must be a number from 0 to 1")
    refuse(*two, "--invert", "--strength", "0.5", says="takes neither --mask nor --strength")
    refuse(*two, "--invert", "sampler.eta=1", says="fresh noise cannot be inverted")
    refuse(*two, "--invert", "sampler.use=ddpm", says="does not go from data to noise")
    refuse(*two, "--mix", path("one.safetensors"), says="--mix is of two images")
    refuse(*two, "--count", 3, says="3 images were requested; the images are 2")
    tensor("wide.safetensors", [1, 1, SIDE, SIDE + 1], [0] * (SIDE * (SIDE + 1)))
    refuse("--in", path("wide.safetensors"), says="9 x 8 pixels; this model's images have 8 x 8")
    refuse(*two, "--mask", path("wide.safetensors"), says="9 x 8 pixels")
    tensor("nan.safetensors", [1, 1, SIDE, SIDE], [float("nan")] * SIDE * SIDE)
    refuse("--in", path("nan.safetensors"), says="is not finite")
    tensor("two_high.safetensors", [1, 1, SIDE, SIDE], [2] * SIDE * SIDE)
    refuse(*two, "--mask", path("two_high.safetensors"), says="it must be from 0 to 1")
    for none in ("none.png", "none.npy", "none/"):
        err = demist("edit", path("run"), "--in", path(none), "--tensors", path("no.safetensors"), code=2)[1]
        assert f"unable to open '{path(none)}'" in err and "data:" not in err, "no experiment that nobody wrote: " + err
    tensor("three.safetensors", [3, 1, SIDE, SIDE], [1] * (3 * SIDE * SIDE))
    for model in ("run", "holes"):
        err = demist("edit", path(model), *two, "--mask", path("three.safetensors"), "--tensors", path("no.safetensors"), code=2)[1]
        assert "2 images and 3 masks do not match; give one mask, or one for each image" in err, err
    assert len(edited("holes", "--in", path("one.safetensors"), "--mask", path("three.safetensors"))[0]) == 3
    refuse(*two, "--frames", 3, says="--frames is for --mix")
    top = ("--mask", path("top.safetensors"))
    refuse(*two, "--jumps", "5,2", says="--jumps is for --mask")
    for wrong in ("5", "5,", "0,2", "5,-1", "a,b", "5,2,3", "5.5,2"):
        refuse(*two, *top, "--jumps", wrong, says="it must be two whole numbers of 1 or above")
    refuse(*two, *top, "--jumps", "5,99999999999", says="5 steps, 99999999999 times")
    refuse(*two, *top, "--jumps", "21,2", says="jumps of 21 steps, 2 times, do not fit this walk of 20 steps")
    refuse(*two, *top, "--jumps", "5,2", "sampler.use=adaptive", says="sampler 'adaptive' chooses its own points")


run_tests([strength_says_how_much, images_do_not_depend_on_their_batch, what_a_mask_leaves_stays, jumps_bring_both_parts_together,
           there_and_back, wide_steps_invert, larger_images_have_no_seams, pictures_in_and_out, refuses])
