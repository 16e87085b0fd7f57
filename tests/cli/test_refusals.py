"""What is refused: each kind of bad input gets its exit code, what is wrong and where, all faults at once, and writes nothing."""
import array
import math
import os
import re
import struct
import subprocess

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


def faults_have_their_places():
    """What plugins, the data and the device say is told with the rest, each at its key."""
    os.makedirs(path("empty"), exist_ok=True)
    open(path("all.yaml"), "w").write(
        "data: {use: image_folder,\n       folder: empty}\n"
        "schedule: {use: betas,\n           betas: [0.1, 0.2]}\n"
        "network: {use: mlp,\n          depth: 0}\n"
        "objective: {use: simple}\nsampler: {use: ddim, steps: 2000}\n"
        "train: {lr: -1}\ndevice: 'no such device'\n")
    err = refused("check", path("all.yaml"), at=["all.yaml:6:18: error: network.depth:", "train.lr", "sampler.steps:",
                                                 "all.yaml:4:19: error: schedule.betas",
                                                 "all.yaml:2:16: error: data.folder: ", "all.yaml:10:9: error: device: "])
    assert "6 errors" in err, err
    for args, place in ((["network.use=unet"], "argument 1: error: network.use: unet: is for images"),
                        (["objective.use=classify"], "argument 1: error: objective.use: classify: needs data with labels"),
                        (["sampler.use=ddpm", "sampler.variance=learned"], "argument 2: error: sampler.variance"),
                        (["data.size=8"], "argument 1: error: data.size"), (["device=9:9"], "argument 1: error: device: ")):
        refused("train", config("moons.yaml"), *args, f"output={path('never')}", code=4 if "device=9:9" in args else 2, at=[place])
    for args, place in ((["network.channels=[8,16]"], "argument 1: error: network.channels has 2 values"),
                        (["network.groups=5"], "fashion-mnist.yaml"), (["data.size=[28, 30]"], "channels: 3 levels"),
                        (["network.time=learned", "network.time_rows=999"], "argument 2: error: network.time_rows is 999"),
                        (["objective.use=hybrid", "schedule.zero_terminal_snr=true"], "objective.predict")):
        refused("check", config("fashion-mnist.yaml"), *args, f"device={DEVICE}", at=[place])
    assert not os.path.exists(path("never"))


def trained():
    demist("train", *moons("run", "train.steps=20"))


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


run_tests([faults_have_their_places, trained, predictions, another_network_is_the_override_s_fault, noise_is_counted_first,
           names_are_taken_as_they_are, no_home_is_needed, what_is_no_checkpoint_is_passed_over])
