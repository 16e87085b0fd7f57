"""Experiments to begin with: each template checks and trains, and a folder of images says what it needs."""
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib

from cli import DEMIST, DEVICE, SOURCE, demist, path, run_tests


def picture(name, width, height, colour=True):
    """A PNG, each pixel another."""
    channels = 3 if colour else 1
    rows = b"".join(b"\0" + bytes((7 * x + 13 * y) % 256 for x in range(width * channels)) for y in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    open(path(name), "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2 if colour else 0, 0, 0, 0)) +
                                 chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def folder(name, sizes, colour=True):
    for i, (width, height) in enumerate(sizes):
        picture(f"{name}/{'ab'[i % 2]}/{i}.png", width, height, colour)
    return path(name)


def said(file, section, key):
    """The value of a key, as the file has it."""
    text = open(path(file)).read()
    lines = text.split(f"\n{section}:")[1].split("\n\n")[0] if section else text.split("\n\n")[0]
    return re.search(rf"^ *{key}: (.*?)  #", lines, re.M).group(1)


def checks(file, *more):
    assert "# parameters: " in demist("check", path(file), f"device={DEVICE}", "train.batch=2", *more)[0]


def checks_and_trains(file, *more):
    checks(file, *more)
    out = path(file[:-5] + ".run")
    demist("train", path(file), f"device={DEVICE}", f"output={out}", "train.steps=2", "train.batch=2", "train.log_every=1", "train.sample_every=0",
           "-q", *more)
    assert os.path.exists(os.path.join(out, "checkpoints/step-00000002.safetensors"))


# The paper's network in few channels, so that a test does not take long.
THIN = {"base": ["network.channels=[8, 8, 8, 8]", "network.groups=8"]}


def each_template():
    """Under the template's name where none is said; with a folder, and without, where the folder is the one key that is left."""
    photos = folder("photos", [(40, 30), (30, 40), (33, 35), (50, 32)])
    for template in "small", "base", "points", "classes":
        assert demist("init", "--template", template)[0] == f"{template}.yaml\n"
        assert said(f"{template}.yaml", "", "name") == template
        if template != "points":
            assert "data.folder: is missing" in demist("check", path(f"{template}.yaml"), code=2)[1]
        checks_and_trains(f"{template}.yaml", *THIN.get(template, []), *([] if template == "points" else [f"data.folder={photos}"]))
    for template in "small", "base", "classes":
        demist("init", path(f"of-{template}.yaml"), "images", photos, "--template", template)
    checks_and_trains("of-classes.yaml")
    assert said("of-classes.yaml", "data", "labels") == "true" and said("of-classes.yaml", "guidance", "use") == "cfg"
    assert said("of-small.yaml", "network", "channels") == "[32, 64, 64, 64]" and said("of-base.yaml", "network", "attend") == "[0, 1, 0, 0]"
    assert said("of-base.yaml", "network", "channels") == said("base.yaml", "network", "channels") == "[128, 256, 256, 256]"


def what_a_folder_says():
    """Sizes, channels, levels: of the folder, above the data, and on standard error."""
    for name, sizes, colour, size, crop, channels, levels in (
            ("grey", [(28, 28)] * 3, False, "[28]", "none", "1", 3), ("wide", [(48, 24)] * 2, True, "[24, 48]", "none", "3", 3),
            ("odd", [(31, 31)] * 2, True, "[32]", "center", "3", 4), ("large", [(200, 150), (300, 180)], True, "[64]", "center", "3", 4),
            ("tiny", [(3, 2)], True, "[8]", "center", "3", 2), ("mixed", [(20, 20), (21, 21), (90, 80)], False, "[24]", "center", "1", 3)):
        out, err = demist("init", "images", folder(name, sizes, colour) + "/")
        file = f"{name}.yaml"
        assert out == file + "\n" and said(file, "data", "folder") == path(name) + "/", out
        found = said(file, "data", "size"), said(file, "data", "crop"), said(file, "data", "channels"), said(file, "network", "channels").count(",") + 1
        assert found == (size, crop, channels, levels), (name, found)
        widths, heights = zip(*sizes)
        span = f"{min(widths)} x {min(heights)}" + (f" to {max(widths)} x {max(heights)}" if len(set(sizes)) > 1 else "")
        about = f"{len(sizes)} image{'s' if len(sizes) > 1 else ''} of {span} pixels in {'colour' if colour else 'grey'}"
        assert about in err and f"data.size is {size}" in err and f"what it learns from: {about}" in open(path(file)).read(), (about, err)
        if levels == 2 or "," in size:
            checks(file)
    assert "2 classes" in demist("init", path("n/classes.yaml"), "images", "large", "--template", "classes")[1]
    # A relative folder is found from where the file lies.
    assert said("n/classes.yaml", "data", "folder") == path("large")
    demist("init", "beside.yaml", "images", "large")
    assert said("beside.yaml", "data", "folder") == "large"
    assert said("beside.yaml", "data", "on_error") == "stop"


def images_that_cannot_be_read():
    folder("cut", [(40, 40)] * 3)
    data = open(path("cut/a/0.png"), "rb").read()
    open(path("cut/a/0.png"), "wb").write(data[:20])
    err = demist("init", "images", "cut")[1]
    assert "left out" in err and "0.png" in err and "2 images of 40 x 40" in err, err
    assert said("cut.yaml", "data", "on_error") == "skip"
    checks("cut.yaml")
    for i in "b/1", "a/2":
        open(path(f"cut/{i}.png"), "wb").write(data[:20])
    assert "none of the 3 images" in demist("init", "none.yaml", "images", "cut", code=5)[1]
    assert not os.path.exists(path("none.yaml"))


def archives():
    """Images in a zip or tar file, one that unpacks itself too, as those of a folder."""
    for i in range(3):
        picture(f"loose/{'ab'[i % 2]}/{i}.png", 12, 10)
    whole = demist("inspect", "loose")[0].replace("loose", "X")
    with zipfile.ZipFile(path("packed.zip"), "w", zipfile.ZIP_DEFLATED) as z, tarfile.open(path("packed.tar"), "w") as t:
        for f in "a/0.png", "b/1.png", "a/2.png":
            z.write(path("loose", f), f)
            t.add(path("loose", f), f)
    plain, program = open(path("packed.zip"), "rb").read(), b"#!/bin/sh\nexec unzip $0\n"
    open(path("self.zip"), "wb").write(program + plain)
    open(path("told.zip"), "wb").write(program)
    with zipfile.ZipFile(path("told.zip"), "a") as z:
        for f in "a/0.png", "b/1.png", "a/2.png":
            z.write(path("loose", f), f)
    for name in "packed.zip", "packed.tar", "self.zip", "told.zip":
        assert demist("inspect", name)[0].replace(name, "X").split("\n")[0] == whole.split("\n")[0], name
        demist("inspect", name, "data.size=8", "--preview", path(name + ".png"))
        err = demist("init", name + ".yaml", "images", name, "--template", "classes")[1]
        assert "3 images of 12 x 10 pixels" in err and "2 classes" in err, err
        assert said(name + ".yaml", "data", "folder") == name
        demist("check", name + ".yaml", f"device={DEVICE}")
    open(path("no.zip"), "wb").write(program + plain[:-30])
    assert "the directory at its end is missing" in demist("inspect", "no.zip", code=5)[1]


def faults():
    os.makedirs(path("empty"), exist_ok=True)
    picture("flat/1.png", 8, 8)
    open(path("flat.txt"), "w").close()
    open(path("there.yaml"), "w").close()
    for args, says in ((["images", "nowhere"], "there is no folder 'nowhere'"), (["images", "empty"], "has 0 images"),
                       (["images", "flat.txt"], "'flat.txt' is not a folder, nor a .zip or .tar file"), (["images", "flat", "--template", "classes"], "has no subfolders"),
                       (["--template", "smal"], "it must be small, base, points or classes; did you mean 'small'?"),
                       (["images", "flat", "--template", "points"], "the template points is without images"),
                       (["flat"], "'flat' is a folder; demist init images flat makes"), (["there.yaml"], "already exists; use --force"),
                       (["x.yaml", "image", "flat"], "did you mean 'images'?"), (["x.yaml", "--from", "flat", "--template", "small"], "exclude each other"),
                       (["images", "flat", "more"], "unexpected argument 'more'"), ([], "give a file")):
        err = demist("init", *args, code=2)[1]
        assert says in err, (args, err)
        assert not [x for x in os.listdir(path()) if x in ("nowhere.yaml", "empty.yaml", "flat.yaml", "x.yaml", "smal.yaml")], args
    demist("init", "there.yaml", "-f")
    assert said("there.yaml", "data", "use") == "toy2d"
    os.makedirs(os.fsencode(path()) + b"/b\xe4r")
    for command in (["init", "images"], ["inspect"]):
        p = subprocess.run([DEMIST, *command, b"b\xe4r"], capture_output=True, cwd=path())
        assert p.returncode == 2 and b"is not UTF-8" in p.stderr, p.stderr
    if os.getuid():
        os.chmod(path("empty"), 0)
        assert "Permission denied" in demist("init", "images", "empty", code=2)[1]
        os.chmod(path("empty"), 0o755)


def names_are_text_alone():
    """Nothing of a name is a terminal's or a YAML file's own."""
    picture("esc\x1b[31m/1.png", 16, 16)
    err = demist("init", "esc.yaml", "images", "esc\x1b[31m")[1]
    assert "\x1b" not in err and "1 image of 16 x 16" in err, err
    shutil.copytree(os.path.join(SOURCE, "tests/parity/data/diffusers/plain"), path("as\nseed: 7"))
    demist("init", "from.yaml", "--from", path("as\nseed: 7"))
    assert "\nseed: 7" not in open(path("from.yaml")).read()


def names():
    """An experiment's name is made of any file's or folder's; a folder of any name is found again."""
    for name, file, key in (("my photos.v2", "my-photos.yaml", "my-photos"), ('a"b: #c', "a-b---c.yaml", "a-b---c"), ("ünï", "n--.yaml", "n--"),
                            ("-", "run.yaml", "run")):
        picture(f"{name}/1.png", 16, 16)
        out = demist("init", "images", "./" + name if name == "-" else name)[0].strip()
        assert out == file and said(file, "", "name") == key, (name, out)
        assert "train split: 1 images" in demist("inspect", "./" + out)[0], name


def completion():
    for words, offered in (([""], {"images"}), (["a.yaml", ""], {"images"}), (["images", ""], {":folders"}), (["a.yaml", "images", ""], {":folders"}),
                           (["--template", ""], {"small", "base", "points", "classes"})):
        lines = {x.split("\t")[0] for x in demist("complete", "--", "init", *words)[0].splitlines()}
        assert offered <= lines, (words, lines)


if __name__ == "__main__":
    run_tests([archives, each_template, what_a_folder_says, images_that_cannot_be_read, faults, names, names_are_text_alone, completion])
