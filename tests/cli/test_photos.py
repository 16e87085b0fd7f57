"""Images as people have them: all faults at once, what is left out, what the network will see, and runs of before this was so."""
import os
import shutil
import tarfile
import zlib

from cli import DEVICE, SOURCE, demist, floats, path, read_png, read_safetensors, run_tests

PHOTOS = os.path.join(SOURCE, "tests/unit/data/photos")
IMAGES = os.path.join(SOURCE, "tests/unit/data/images")


def folder(name, *files):
    os.makedirs(path(name), exist_ok=True)
    for f in files:
        shutil.copy(f, path(name))
    return path(name)


def experiment(out, data):
    text = (f"name: tiny\nseed: 3\ndevice: {DEVICE}\noutput: {path(out)}\ndata: {{use: image_folder, size: 8, channels: 3, {data}}}\n"
            "schedule: {use: linear, timesteps: 20}\nnetwork: {use: unet, channels: [8], layers: 1, groups: 4, attend: [0]}\n"
            "objective: {use: simple}\nsampler: {use: ddim, steps: 2}\ntrain: {steps: 2, batch: 4, log_every: 1}\n")
    open(path(out + ".yaml"), "w").write(text)
    return path(out + ".yaml")


def damage(name):
    """A PNG whose header and end are sound: only decoding tells."""
    data = bytearray(open(os.path.join(IMAGES, "rgb.png"), "rb").read())
    data[-20] ^= 0x55
    open(path(name), "wb").write(data)


def faulty(name):
    folder(name, os.path.join(IMAGES, "rgb.png"), os.path.join(IMAGES, "grey.png"), os.path.join(PHOTOS, "cmyk.jpg"), os.path.join(PHOTOS, "alpha.webp"))
    for k in range(3):
        open(path(name, f"cut{k}.png"), "wb").write(open(os.path.join(IMAGES, "rgb.png"), "rb").read()[:60])
        damage(f"{name}/flipped{k}.png")
    for k in range(2):
        open(path(name, f"scan{k}.tiff"), "w").write("II*")
    return path(name)


def all_faults_at_once():
    file = experiment("faulty", f"folder: {faulty('f')}")
    _, err = demist("check", file, code=5)
    assert all(f"cut{k}.png" in err for k in range(3)) and "flipped" not in err and "3 of 10 images cannot be read" in err, err
    assert "not being PNG, JPEG or WebP: 2 .tiff" in err, err
    out, err = demist("check", file, "--data", "--progress", "plain", code=5)
    assert all(f"cut{k}.png" in err and f"flipped{k}.png" in err for k in range(3)), err
    assert "6 of 10 examples cannot be read" in err and "read" in err, err
    assert not os.path.exists(path("faulty"))


def faults_are_skipped_when_said():
    file = experiment("skip", f"on_error: skip, folder: {faulty('f')}")
    out, err = demist("check", file, "--data")
    assert "4 of 10 examples of all splits can be read" in out, out
    _, err = demist("train", file)
    assert "3 of 10 images below" in err and "are left out" in err and "replaced by the next" in err, err
    assert "replaced" in open(path("skip/log.txt")).read()


def a_preview_shows_what_the_network_sees():
    out, _ = demist("inspect", PHOTOS, "data.size=[5, 7]", "data.channels=3", "--preview", path("seen.png"))
    assert "train split: 18 images of 7 x 5 pixels in 3 channels" in out and path("seen.png") in out, out
    assert open(path("seen.png"), "rb").read(4) == b"\x89PNG"
    assert "data.channels" in demist("inspect", PHOTOS, "data.size=8", "--preview", path("no.png"), code=2)[1]
    assert "data.size" in demist("inspect", PHOTOS, "data.channels=3", "--preview", path("no.png"), code=2)[1]
    assert "already exists" in demist("inspect", PHOTOS, "data.size=8", "--preview", path("seen.png"), code=2)[1]
    file = experiment("seen", f"folder: {PHOTOS}, split: 0.3")
    train, test = (int(demist("inspect", file, *more)[0].split("split: ")[1].split()[0]) for more in ([], ["--test"]))
    assert train + test == 18 and test > 1, (train, test)
    folder("round/in", os.path.join(IMAGES, "rgb.png"))
    os.symlink("..", path("round/in/back"))
    out, err = demist("inspect", path("round"))
    assert "train split: 1 images" in out and "1 with no end" in err, "a link to a folder that it lies in is left out: " + err
    folder("c/dog", os.path.join(IMAGES, "rgb.png"))
    folder("c/cat", os.path.join(IMAGES, "rgb.png"))
    os.symlink(".", path("c/and"))  # no class of its own
    assert "class 0: cat\nclass 1: dog\n" in demist("inspect", path("c"), "data.labels=true")[0]
    os.symlink(path("round/in"), path("c/bird"))  # a class, unless links are left out
    for links, classes in (("true", ["bird", "cat", "dog"]), ("false", ["cat", "dog"])):
        out = demist("inspect", path("c"), "data.labels=true", f"data.links={links}")[0]
        assert [x.split(": ")[1] for x in out.splitlines() if x.startswith("class ")] == classes, out


def what_cannot_be_read_says_why():
    """An archive that is compressed as a whole, as most are that are downloaded; nothing at all, with a key."""
    for name, mode in (("all.tar.gz", "w:gz"), ("all.tgz", "w:gz"), ("all.tar.xz", "w:xz"), ("all.tar.bz2", "w:bz2")):
        with tarfile.open(path(name), mode) as f:
            f.add(os.path.join(IMAGES, "rgb.png"), "rgb.png")
        for command in (["inspect", path(name)], ["inspect", path(name), "data.size=8"], ["init", path("i.yaml"), "images", path(name)]):
            err = demist(*command, code=2)[1]
            assert "is compressed as a whole" in err and "unpack it to a .tar file, or to a folder" in err, err
    for more in (["data.size=8"], ["--preview", path("no.png")]):
        assert f"unable to open '{path('none.tar')}'" in demist("inspect", path("none.tar"), *more, code=2)[1]


def strips_are_spaced_by_signal():
    """A strip has the frames of the whole trace whose share of signal grows evenly, not the steps; the report too, with what it was made of."""
    file = experiment("walk", f"folder: {PHOTOS}")
    demist("train", file, "data.channels=1", "-q")
    args = ["sample", path("walk"), "--count", 2, "sampler.steps=20", "schedule.beta_end=0.5"]
    demist(*args, "--tensors", path("end.safetensors"), "--trace", path("all.safetensors"))
    demist(*args, "--out", path("end.png"), "--trace", path("strip.png"))
    shape, x = (f(read_safetensors(path("all.safetensors"))[0]["x"]) for f in (lambda t: t[1], floats))
    assert shape == [21, 2, 1, 8, 8], shape
    width, height, channels, rows = read_png(path("strip.png"))
    columns = (width + 2) // 10
    assert columns == 12 and channels == 1 and height == 18, (width, height)

    def frame(step, image):
        at = (step * 2 + image) * 64
        return [min(255, max(0, round((v + 1) * 127.5))) for v in x[at:at + 64]]

    def column(k, image):
        return [v for y in range(8) for v in rows[10 * image + y][10 * k:10 * k + 8]]

    def apart(a, b):
        return max(abs(v - w) for v, w in zip(a, b))

    chosen = [[min(range(20, -1, -1), key=lambda s: apart(frame(s, image), column(k, image))) for k in range(columns)] for image in range(2)]
    assert all(apart(frame(s, i), column(k, i)) <= 1 for i in range(2) for k, s in enumerate(chosen[i])), chosen
    betas = [1e-4 + (0.5 - 1e-4) * t / 19 for t in range(20)]
    signal = [1.0]
    for b in betas:
        signal.append(signal[-1] * (1 - b) ** 0.5)
    signal.reverse()  # of step i, from noise
    for steps in chosen:
        assert steps[0] == 0 and steps[-1] == 20 and steps == sorted(set(steps)), steps
        even = [signal[0] + (1 - signal[0]) * k / 11 for k in range(12)]
        by_step = [signal[round(k * 20 / 11)] for k in range(12)]
        off = [sum(abs(v - w) for v, w in zip(values, even)) for values in ([signal[s] for s in steps], by_step)]
        assert off[0] < 0.6 * off[1], (steps, off)
    demist("report", path("walk"), "--out", path("walk.html"))
    text = open(path("walk.html")).read()
    assert "trained on 18 images." in text and " parameters, " in text and "signal grows evenly" in text


def a_colour_is_no_comment():
    """#rrggbb as a shell's word is the text that it looks like; in YAML it is a comment, which the message says."""
    file = experiment("colour", f"folder: {PHOTOS}")
    for quote in ("", '"'):
        out = demist("check", file, f"data.background={quote}#ff0000{quote}")[0]
        assert '  background: "#ff0000"' in out, out
    text = open(file).read().replace("objective:", "output: #ff0000\nobjective:")
    open(file, "w").write(text.replace(f"output: {path('colour')}\n", ""))
    assert "quote one that begins with #" in demist("check", file, code=2)[1]
    for name in ("%x", "@x", ",x", "?x", "`x"):
        assert f"there is no '{path(name)}'" in demist("check", file, "output=x", f"data.folder={name}", code=2)[1]


def a_run_stays_one():
    """Whatever else lies in its folder: here what it was exported as, which is sampled in another way, and some program's config.json."""
    run = path("own")
    demist("train", experiment("own", f"folder: {PHOTOS}"), "-q")
    sample = ["sample", run, "--count", 2, "--deterministic", "--force", "--tensors"]
    demist(*sample, path("before.safetensors"))
    demist("export", run, "--to", "diffusers", run, "--force")
    demist(*sample, path("after.safetensors"))
    assert read_safetensors(path("before.safetensors"))[0] == read_safetensors(path("after.safetensors"))[0]
    assert "tiny, step 2" in demist("info", run)[0]
    open(path("own/config.json"), "w").write("{}")
    assert "tiny, step 2" in demist("info", run)[0]
    os.remove(path("own/resolved.yaml"))  # then it is one of diffusers' folders
    assert "imported" in demist("info", run)[0]


def runs_of_before_keep_their_bits():
    """Without the keys for it, in what a run has kept, nothing is turned, blended or read that was not then."""
    file = experiment("new", f"folder: {folder('mixed', *(os.path.join(PHOTOS, f) for f in ('turn6.jpg', 'rgba.png', 'alpha.webp')))}")
    was = ["data.background=none", "data.orient=false", "data.webp=false"]
    demist("train", file, *was, "-q")
    demist("train", file, *was, f"output={path('ref')}", "train.steps=4", "-q")
    resolved = open(path("new/resolved.yaml")).read()
    for key in ("background", "orient", "webp", "split", "on_error"):
        line = next(x for x in resolved.splitlines(True) if x.startswith(f"  {key}:"))
        resolved = resolved.replace(line, "")
    open(path("new/resolved.yaml"), "w").write(resolved)
    demist("resume", path("new"), "train.steps=4", "-q")
    last = "checkpoints/step-00000004.safetensors"
    assert read_safetensors(path("new", last))[0] == read_safetensors(path("ref", last))[0]
    text = open(path("new/resolved.yaml")).read()
    assert "  background: none\n" in text and "  orient: false\n" in text and "  webp: false\n" in text, text
    # The same file as an experiment of its own; a new file has today's defaults.
    open(path("resolved.yaml"), "w").write(resolved)
    assert "background: none" in demist("check", path("resolved.yaml"))[0]
    open(path("mine.yaml"), "w").write(resolved)
    assert "background: white" in demist("check", path("mine.yaml"))[0]
    _, err = demist("train", file, "train.steps=6", f"output={path('new')}", "--resume", code=2)
    assert "background: none" in err, err


run_tests([all_faults_at_once, faults_are_skipped_when_said, a_preview_shows_what_the_network_sees, what_cannot_be_read_says_why,
           strips_are_spaced_by_signal, a_colour_is_no_comment, a_run_stays_one, runs_of_before_keep_their_bits])
