"""What is refused: each kind of bad input gets its exit code, what is wrong and where, all faults at once, and writes nothing."""
import array
import math
import os
import re
import struct

from cli import DEVICE, config, demist, moons, path, read_safetensors, run_tests, write_safetensors


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


run_tests([faults_have_their_places, trained, predictions, another_network_is_the_override_s_fault, noise_is_counted_first])
