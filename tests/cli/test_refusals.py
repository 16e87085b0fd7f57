"""What is refused: each kind of bad input gets its exit code, what is wrong and where, all faults at once, and writes nothing."""
import array
import math
import os
import re
import resource
import signal
import struct
import subprocess
import zlib

from cli import DEMIST, DEVICE, WORK, config, demist, moons, path, read_safetensors, run_tests, write_safetensors


def floats(*values):
    return array.array("f", values).tobytes()


def refused(*args, code=2, says=(), at=None, env=None):
    """at: what is in the line of each fault, in order."""
    err = demist(*args, code=code, env=env)[1]
    for part in [says] if isinstance(says, str) else says:
        assert part in err, (part, err)
    if at is not None:
        faults = re.findall(r"^(?!demist:).*: error: .*$", err, re.M)
        assert len(faults) == len(at) and all(place in fault for place, fault in zip(at, faults)), (at, faults)
    return err


def what_is_not_there():
    """Whatever is named, by whatever command, has one exit code where it is not there, and nothing is made."""
    for name in (path("none"), path("none", "below"), DEMIST + "/below"):
        for args in (["train", name], ["check", name], ["schedule", name], ["resume", name], ["sweep", name, "--over", "seed=1,2", "--metric", "loss"],
                     ["sample", name, "--tensors", path("out")], ["sample", name, "--best", "--tensors", path("out")],
                     ["predict", name, "--in", name, "--out", path("out")], ["eval", name, "--metric", "loss"], ["report", name], ["plot", name],
                     ["export", name, "--to", "diffusers", path("out")], ["convert", name, "--to", path("out.safetensors")], ["inspect", name],
                     ["plugins", name + ".so"]):
            refused(*args, says="resolved.yaml" if args[0] == "resume" else name)
    assert os.listdir(WORK) == []


def labels_beyond_the_model():
    demist("train", *moons("two", "data.labels=true", "data.limit=200", "train.steps=2"), "-q")
    loss = ("eval", path("two"), "--metric", "loss", "--count", "8")
    demist(*loss)
    refused(*loss, "data.shape=eight_gaussians", says="the data have 8 classes, the model has 2")
    refused(*loss, "data.labels=false", says="the data have 0 classes, the model has 2")


def faults_have_their_places():
    """What plugins, the data and the device say is told with the rest, each at its key."""
    os.makedirs(path("empty"), exist_ok=True)
    open(path("all.yaml"), "w").write(
        "data: {use: image_folder,\n       folder: empty}\n"
        "schedule: {use: betas,\n           betas: [0.1, 0.2]}\n"
        "network: {use: mlp,\n          depth: 0}\n"
        "objective: {use: simple}\nsampler: {use: ddim, steps: -1}\n"
        "train: {lr: -1}\ndevice: 'no such device'\n")
    err = refused("check", path("all.yaml"), at=["all.yaml:6:18: error: network.depth:", "sampler.steps:", "train.lr",
                                                 "all.yaml:4:19: error: schedule.betas",
                                                 "all.yaml:2:16: error: data.folder: ", "all.yaml:10:9: error: device: "])
    assert "6 errors" in err, err
    for args, place in ((["network.use=unet"], "argument 1: error: network.use: unet: is for images"),
                        (["objective.use=classify"], "argument 1: error: objective.use: classify: needs data with labels"),
                        (["sampler.use=ddpm", "sampler.variance=learned"], "argument 2: error: sampler.variance"),
                        (["data.size=8"], "argument 1: error: data.size"), (["precision=fp16"], "argument 1: error: precision: fp16"), (["device=9:9"], "argument 1: error: device: ")):
        refused("train", config("moons.yaml"), *args, f"output={path('never')}", code=4 if "device=9:9" in args else 2, at=[place])
    for args, place in ((["network.channels=[8,16]"], "error: network.attend has 3 values; channels has 2"),
                        (["network.groups=5"], "argument 1: error: network.groups is 5"),
                        (["data.size=[28, 30]"], "channels: 3 levels"),
                        (["network.time=learned", "network.time_rows=999"], "argument 2: error: network.time_rows is 999"),
                        (["objective.use=hybrid", "schedule.zero_terminal_snr=true"], "objective.predict")):
        refused("check", config("fashion-mnist.yaml"), *args, f"device={DEVICE}", at=[place])
    refused("check", config("fashion-mnist.yaml"), "network.attend=[1]", "network.groups=7", "network.time=learned", "network.time_rows=9",
            "network.class_embed=table", "network.class_rows=3", at=[f"argument {k}: error: network.{v}" for k, v in (
                (1, "attend has 1"), (2, "groups is 7"), (4, "time_rows is 9"), (6, "class_rows is 3"))])
    assert not os.path.exists(path("never"))


def what_a_run_begins_with_is_checked():
    """Its folder, the weights that it starts from, the data that are held out: by check and train alike, at their keys, and with the rest."""
    put("file", b"")
    put("own/log.jsonl", b"{}")
    for where, says in (("/", "root folder"), (path("file"), "not a folder"), (path("file/x/y"), f"'{path('file')}' is not a folder"),
                        (path("own"), "log.jsonl"), (path("x" * 300), "too long"), (path("own/.."), None), (path("a/b/c"), None)):
        if says:
            for command in "check", "train":
                refused(command, *moons("x")[:1], f"output={where}", says=says, at=["argument 1: error: output: "])
        else:
            demist("check", *moons("x"), f"output={where}")
    refused("check", *moons("x"), "output=/", "train.from=none", "data.noise=-1", at=["data.noise", "output: '/'", "train.from: unable to open"])
    write_safetensors(path("other"), {"model.x": ("F32", [1], floats(0))})
    for command in "check", "train":
        refused(command, *moons("x", f"train.from={path('none')}"), at=["argument 7: error: train.from: unable to open"])
        refused(command, *moons("x", f"train.from={path('own')}"), at=["argument 7: error: train.from: "], says="has no checkpoint")
        refused(command, *moons("x", f"train.from={path('file')}"), at=["argument 7: error: train.from: "], code=5)
        refused(command, *moons("x", f"train.from={path('other')}"), at=["argument 7: error: train.from: "], says="in.weight", code=5)
    idx = [config("moons.yaml"), f"device={DEVICE}", "data.use=idx", *UNET,
           f"data.train_images={put('8x8', struct.pack('>4I', 0x803, 4, 8, 8) + bytes(256))}"]
    demist("check", *idx)
    refused("check", *idx, "train.validate_every=1", at=["train.validate_every: needs data with a test split"])
    refused("check", *idx, f"data.test_images={path('file')}", at=["data.test_images: "], says="too short", code=5)
    assert not os.path.exists(path("x")) and not os.path.exists(path("a"))


def trained():
    demist("train", *moons("run", "train.steps=20"))
    demist("train", *moons("next", "train.steps=1", f"train.from={path('run')}"))
    os.rename(path("run"), path("moved"))
    demist("resume", path("next"), "train.steps=2") # needs what it began with no more
    os.rename(path("moved"), path("run"))


def predictions():
    def given(name, says, x=(0.1,) * 4, t=(1, 2), y=None, code=2):
        tensors = {"x": ("F32", [2, 2], floats(*x)), "t": ("F32", [2], floats(*t))}
        if y:
            tensors["y"] = ("I64", [2], struct.pack("<2q", *y))
        write_safetensors(path(name), tensors)
        refused("predict", path("run"), "--in", path(name), "--out", path("o"), "--force", code=code, says=says)

    given("negative", "t[0] is -1", t=(-1, 0))
    given("beyond", "t[1] is 1000", t=(999, 1000))
    given("nan", "t[0] is nan", t=(math.nan, 0))
    given("x", "not finite", x=(0, math.inf, 0, 0))
    given("classes", "no classes", y=(0, 1), code=0)
    assert read_safetensors(path("o"))[0]["out"][1] == [2, 2]


def another_network_is_the_override_s_fault():
    refused("sample", path("run"), "network.width=16", "--tensors", path("none"), says="network.width=16")
    refused("sample", path("run"), "network.use=unet", "--tensors", path("none"), at=["argument 1: error: network.use"])


def noise_is_counted_first():
    write_safetensors(path("z"), {"x": ("F32", [1, 2], floats(0, 0)), "z": ("F32", [2, 1, 2], floats(0, 0, 0, 0))})
    err = refused("sample", path("run"), "sampler.use=ddpm", "sampler.steps=1000", "--noise", path("z"), "--tensors", path("none"), says="need 999")
    assert "sample 1" not in err, err


def names_are_taken_as_they_are():
    out = path("a\nb # c: d")
    demist("train", *moons("x", "train.steps=1"), "output=" + out, "-q")
    assert os.path.exists(os.path.join(out, "checkpoints/step-00000001.safetensors"))
    demist("resume", out, "train.steps=2", "-q")
    refused("check", config("moons.yaml"), "train.lr={1", "train.batch='4'", "train.steps=5 # five", "train.ema=*x",
            at=["argument 1", "argument 4", "argument 3", "argument 2"])


def no_home_is_needed():
    bare = {k: v for k, v in os.environ.items() if k not in ("POCL_CACHE_DIR", "DEMIST_CACHE", "XDG_CACHE_HOME")}
    p = subprocess.run([DEMIST, "devices", "--list"], capture_output=True, text=True,
                       env={**bare, "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "TMPDIR": WORK})
    assert p.stdout == demist("devices", "--list")[0] != "", p
    refused("check", config("moons.yaml"), code=4, says="POCL_CACHE_DIR",
            env={"OCL_ICD_VENDORS": "/etc/OpenCL/vendors/", "POCL_CACHE_DIR": "/proc/none"})


def what_is_no_checkpoint_is_passed_over():
    """A newest checkpoint without demist's metadata, or with NaN, gives way to the one before it."""
    demist("train", *moons("older", "train.steps=20", "train.save_every=10"), "-q")
    newest = path("older/checkpoints/step-00000020.safetensors")
    tensors, meta = read_safetensors(newest)
    write_safetensors(newest, tensors)
    assert "metadata" in demist("sample", path("older"), "--tensors", path("m"))[1]
    meta.pop("crc32")
    bad = dict(tensors)
    key = "ema.0.out.weight"
    bad[key] = (*tensors[key][:2], floats(math.nan) + tensors[key][2][4:])
    write_safetensors(newest, bad, meta)
    err = demist("resume", path("older"), "-q")[1]
    assert key in err and "older one" in err, err
    assert read_safetensors(newest)[0] == tensors


def png(width, height, value=128, cut=0, crc=True):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc else 0)

    rows = zlib.compress(b"".join(b"\0" + bytes([value]) * min(width, 64) for _ in range(min(height, 64))))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return data[:len(data) - cut]


def npy(shape, count, kind="<f4", head=None):
    head = head or f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + b"\0" * count


def put(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    open(path(name), "wb").write(data)
    return path(name)


UNET = ["network.use=unet", "network.channels=[8]", "network.attend=[0]", "network.layers=1", "network.groups=4"]


def damaged_data():
    """Each kind of file that is not what it says, or that no network can use: the file is named, nothing is written."""
    def data(code, says, *overrides):
        err = refused("train", config("moons.yaml"), *overrides, *UNET, f"output={path('no-run')}", "train.steps=1", code=code, says=says)
        assert "error: data." in err and not os.path.exists(path("no-run")), err

    good = png(8, 8)
    for i, (bad, code, says) in enumerate(((good[:30], 5, "bad.png"), (b"", 5, "bad.png"), (png(8, 8, crc=False), 5, "bad.png"),
                                           (png(100000, 100000), 5, "bad.png"), (b"GIF89a" + bytes(50), 5, "bad.png"), (png(10, 8), 2, "data.size"))):
        folder = os.path.dirname(put(f"png{i}/a.png", good))
        put(f"png{i}/bad.png", bad)
        data(code, [says, "bad.png"], "data.use=image_folder", f"data.folder={folder}")
    for bad, code, says in ((npy("(4, 2)", 31), 5, "bytes"), (npy("(4, 2)", 33), 5, "bytes"), (npy("(9223372036854775807, 9)", 8), 5, "of |u1"),
                            (npy("(0, 2)", 0), 2, "0 examples"), (npy("(4, 2)", 64, "<c8"), 5, "npy"), (npy("(4, 2)", 64, "|O"), 5, "npy"),
                            (npy("", 8, head="{" * 200), 5, "npy"), (b"\x93NUMPY\1\0\xff\xff", 5, "npy"), (b"", 5, "too short")):
        data(code, says, "data.use=npy", f"data.file={put('npy/bad.npy', bad)}")


def a_damaged_image_ends_no_training_without_a_checkpoint():
    """What only decoding finds, in the midst of training: the steps so far are kept, and it goes on once the image is whole."""
    for i in range(64):
        put(f"pictures/{i:02}.png", png(8, 8, i))
    broken = bytearray(png(8, 8))
    broken[-20] ^= 0x55  # of the pixels: header and end are sound
    put("pictures/99.png", bytes(broken))
    args = [config("moons.yaml"), "data.use=image_folder", f"data.folder={path('pictures')}", *UNET, f"output={path('pictures-run')}",
            f"device={DEVICE}", "train.steps=70", "train.batch=1"]
    err = refused("train", *args, code=5, says="99.png")
    saved = os.listdir(path("pictures-run/checkpoints"))
    assert len(saved) == 1 and f"step {int(saved[0][5:13])} is saved" in err, (saved, err)
    put("pictures/99.png", png(8, 8))
    demist("train", *args, "--resume", "--data-changed", "-q")


def what_is_too_much_or_nothing_is_refused():
    for command in "devices", "doctor", "selftest", "docs":
        refused(command, "surplus", says="'surplus'")
    for args in (["sample", path("run"), "--tensors"], ["predict", path("run"), "--in", path("x"), "--out"], ["schedule", config("moons.yaml"), "--json"],
                 ["init"], ["report", path("run"), "--no-samples", "--out"]):
        err = refused(*args, "", says=" is empty; give a file")
        assert "sample 1" not in err, err


def a_full_disk_leaves_no_plugin():
    """Neither an empty folder nor half of the files."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    assert "new" in demist("new-plugin", "schedule", "new")[0] and len(os.listdir(path("new"))) == 4
    for kind in "schedule", "network":
        assert "unable to write" in demist("new-plugin", kind, "half", code=6, preexec=limit)[1]
        assert not os.path.exists(path("half"))
    demist("new-plugin", "schedule", "new", code=2)
    assert len(os.listdir(path("new"))) == 4


def damaged_tensors():
    """Headers that lie: refused by every command that reads the file."""
    def header(text, body=b"", n=None):
        text = text.encode()
        return struct.pack("<Q", len(text) if n is None else n) + text + body

    one = '"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}'
    for name, data, says in (
            ("length", header("{}", n=1 << 60), "header"), ("short", b"\1\2", ""), ("json", header("{" * 100), ""),
            ("overlap", header("{" + one + ',"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8)), ""),
            ("hole", header("{" + one + ',"t":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}', bytes(16)), ""),
            ("beyond", header("{" + one + "}", bytes(4)), ""), ("more", header("{" + one + "}", bytes(12)), ""),
            ("twice", header("{" + one + "," + one + "}", bytes(8)), ""),
            ("dtype", header('{"x":{"dtype":"F31","shape":[1,2],"data_offsets":[0,8]}}', bytes(8)), "F31"),
            ("overflow", header('{"x":{"dtype":"F32","shape":[4194305,4194305,211106198978564],"data_offsets":[0,16]}}', bytes(16)), ""),
            ("negative", header('{"x":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}', bytes(8)), "")):
        file = put("tensors/" + name, data)
        for args in (["inspect", file], ["sample", path("run"), "--noise", file, "--tensors", path("none")],
                     ["predict", path("run"), "--in", file, "--out", path("none")], ["sample", file, "--tensors", path("none")]):
            if args[0] != "inspect" or name != "short" and name != "json":
                refused(*args, code=5, says=[name, says])
    assert not os.path.exists(path("none"))


run_tests([what_is_not_there, labels_beyond_the_model, faults_have_their_places, what_a_run_begins_with_is_checked,
           trained, predictions, another_network_is_the_override_s_fault, noise_is_counted_first,
           names_are_taken_as_they_are, no_home_is_needed, what_is_no_checkpoint_is_passed_over,
           damaged_data, a_damaged_image_ends_no_training_without_a_checkpoint,
           what_is_too_much_or_nothing_is_refused, a_full_disk_leaves_no_plugin, damaged_tensors])
