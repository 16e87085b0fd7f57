"""What surrounds the program: editors' marks, locales, little stack, files of other machines and programs, settings that name nothing."""
import json
import os
import re
import resource
import shutil
import struct
import subprocess

from cli import DEMIST, DEVICE, SOURCE, config, demist, moons, path, read_safetensors, run_tests

BOM = b"\xef\xbb\xbf"
MODEL = os.path.join(SOURCE, "tests/parity/data/diffusers/plain")


def model(name, **changes):
    shutil.copytree(MODEL, path(name))
    c = json.load(open(path(name, "config.json"))) | changes
    json.dump(c, open(path(name, "config.json"), "w"))
    return path(name)


def a_mark_before_the_text():
    open(path("bom.yaml"), "wb").write(BOM + open(config("moons.yaml"), "rb").read())
    demist("check", path("bom.yaml"), f"device={DEVICE}")
    open(path("bad.yaml"), "wb").write(BOM + b"nam: x\n")
    assert "bad.yaml:1:1: error: nam: unknown key" in demist("check", path("bad.yaml"), code=2)[1]
    open(path("part.yaml"), "wb").write(BOM + b"include: bom.yaml\ntrain: {steps: 7}\n")
    assert "  steps: 7 " in demist("check", path("part.yaml"), f"device={DEVICE}")[0]
    m = model("marked")
    data = open(os.path.join(m, "config.json"), "rb").read()
    open(os.path.join(m, "config.json"), "wb").write(BOM + data)
    demist("sample", m, f"device={DEVICE}", "sampler.steps=1", "--out", path("marked.png"))


def a_turkish_locale():
    os.makedirs(path("locales"))
    names = [x.split(" ", 1)[1] for x in demist("devices", "--list")[0].splitlines()]
    word = next((w for n in names for w in re.findall(r"[A-Za-z]*I[A-Za-z]*", n)), None)
    for charset in ("UTF-8", "ISO-8859-9"):
        name = f"tr_TR.{charset}"
        if subprocess.run(["localedef", "-i", "tr_TR", "-f", charset, path("locales", name)], capture_output=True).returncode or not word:
            print("SKIP a_turkish_locale: no localedef, or no device with an I in its name")
            return
        env = {"LC_ALL": name, "LOCPATH": path("locales")}
        select = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in word)
        out, _ = demist("check", config("moons.yaml"), f"device={select}", env=env)
        assert "# device:" in out and "lr: 0.003 " in out, out


def little_stack():
    def limit():
        resource.setrlimit(resource.RLIMIT_STACK, (64 << 10, 64 << 10))

    args = moons("stack", "train.steps=2")
    for command in (["check", *args], ["train", *args, "-q"], ["sample", path("stack"), "--out", path("stack.png"), "-q"],
                    ["devices", "--list"], ["doctor"], ["inspect", path("stack/checkpoints/step-00000002.safetensors")]):
        demist(*command, preexec=limit)


def a_plugin_of_another_machine():
    folder = os.path.join(os.path.dirname(DEMIST), "plugins", "schedules")
    if not os.path.exists(os.path.join(folder, "linear.so")):
        folder = next(r for r, _, f in os.walk(os.path.dirname(DEMIST)) if "linear.so" in f)
    so = bytearray(open(os.path.join(folder, "linear.so"), "rb").read())
    ours = so[18]
    so[18] = 183 if ours != 183 else 62  # AArch64, or x86-64
    os.makedirs(path("foreign/schedules"), mode=0o755)
    open(path("foreign/schedules/linear.so"), "wb").write(so)
    os.chmod(path("foreign/schedules/linear.so"), 0o755)
    _, err = demist("check", config("moons.yaml"), f"plugin_path={path('foreign')}", code=None)
    assert "is a shared object for " + ("AArch64" if ours != 183 else "x86-64") in err, err
    assert "cannot open shared object" not in err, err


def pointers_of_git_lfs():
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456789\n"
    m = model("lfs")
    for f in ("diffusion_pytorch_model.safetensors", "config.json"):
        keep = open(os.path.join(m, f), "rb").read()
        open(os.path.join(m, f), "wb").write(pointer)
        _, err = demist("sample", m, "--out", path("lfs.png"), code=5)
        assert "git-lfs" in err and "git lfs pull" in err and f in err, err
        open(os.path.join(m, f), "wb").write(keep)
    open(path("x.safetensors"), "wb").write(pointer)
    assert "git lfs pull" in demist("inspect", path("x.safetensors"), code=5)[1]
    for begin, says in ((b"name: moons\nseed: 1\n" * 9, "it is text"), (b"PK\3\4" + bytes(99), "zip archive, as .npz and PyTorch's .pt"),
                        (bytes([255] * 99), "a header of")):
        open(path("y.safetensors"), "wb").write(begin)
        assert says in demist("sample", path("y.safetensors"), "--out", path("y.png"), code=5)[1]
    for name, use in (("x.npy", ["data.use=npy", f"data.file={path('x.npy')}"]),
                      ("x.idx", ["data.use=idx", f"data.train_images={path('x.idx')}"])):
        open(path(name), "wb").write(pointer)
        _, err = demist("check", config("moons.yaml"), *use, code=5)
        assert "git-lfs" in err and name in err, err
    open(path("lfs.yaml"), "wb").write(pointer)
    assert "git lfs pull" in demist("check", path("lfs.yaml"), code=2)[1]
    os.makedirs(path("pointed/schedules"), mode=0o755)
    open(path("pointed/schedules/linear.so"), "wb").write(pointer)
    assert "git lfs pull" in demist("check", config("moons.yaml"), f"plugin_path={path('pointed')}", code=3)[1]


def a_size_that_is_not_said():
    m = model("unsized", sample_size=None)
    _, err = demist("sample", m, "--out", path("u.png"), code=2)
    assert "sample_size" in err and "write" in err, err
    _, err = demist("sample", m, "data.size=16", "--out", path("u.png"), code=2)
    assert "has no data section" in err, err


def damaged_choices_say_what_to_do():
    args = moons("chosen", "train.decay=constant")
    demist("train", *args, "train.steps=2", "-q")
    for text, says in (("{", "is not JSON"), ("{}", "micro_batch")):
        open(path("chosen/choices.json"), "w").write(text)
        _, err = demist("resume", path("chosen"), "train.steps=4", code=5)
        assert "choices.json" in err and says in err and "remove it" in err, err
    os.remove(path("chosen/choices.json"))
    demist("resume", path("chosen"), "train.steps=4", "-q")
    assert os.path.exists(path("chosen/choices.json"))


def drivers_named_nowhere():
    env = {"OCL_ICD_VENDORS": path("nothing")}
    for command in (["check", config("moons.yaml")], ["doctor"]):
        out, err = demist(*command, code=4, env=env)
        assert "OCL_ICD_VENDORS is set" in out + err and "apt-get install pocl" not in out + err, (out, err)


def settings_of_the_environment():
    """A value that means nothing is told, not passed over."""
    for name, value, says in (("DEMIST_KERNELS", path("nothing"), "no folder of kernel sources"), ("DEMIST_KERNELS", config("moons.yaml"), "DEMIST_KERNELS"),
                              ("DEMIST_TUNE", "maybe", "must be off, auto or on"), ("DEMIST_REPLAY", "maybe", "must be on or off")):
        err = demist("check", config("moons.yaml"), f"device={DEVICE}", code=2, env={name: value})[1]
        assert says in err and (value in err or "DEMIST" in err), err
    err = demist("check", config("moons.yaml"), f"device={DEVICE}", env={"DEMIST_LOG": "loud"})[1]
    assert "warning: DEMIST_LOG is 'loud'; it must be error, warning, info or debug" in err, err


def channels_are_drawn_side_by_side():
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 2, 8, 8), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    open(path("two.npy"), "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(range(256)) * 2)
    unet = ["network.use=unet", "network.channels=[8]", "network.attend=[0]", "network.layers=1", "network.groups=4"]
    demist("train", config("moons.yaml"), "data.use=npy", f"data.file={path('two.npy')}", *unet, f"device={DEVICE}", "train.steps=1",
           "train.batch=4", "train.warmup=0", "train.sample_every=1", "train.sample_count=1", f"output={path('two')}", "-q")
    _, err = demist("sample", path("two"), "sampler.steps=1", "--out", path("two.png"))
    assert "the 2 channels of each image are drawn in grey, side by side" in err, err
    for file in (path("two.png"), path("two/samples/step-00000001.png")):
        assert struct.unpack(">2I", open(file, "rb").read(24)[16:]) == (16, 8), file
    out, _ = demist("inspect", path("two/resolved.yaml"), "--preview", path("seen.png"), "--count", 1)
    assert "2 channels, drawn in grey, side by side" in out, out
    os.makedirs(path("ldm/vqvae"))
    for f in ("unet", "scheduler"):
        os.makedirs(path("ldm", f))
    for f in os.listdir(MODEL):
        shutil.copy(os.path.join(MODEL, f), path("ldm/scheduler" if "scheduler" in f else "ldm/unet"))
    open(path("ldm/model_index.json"), "w").write('{"_class_name": "LDMPipeline"}')
    open(path("ldm/vqvae/config.json"), "w").write("{}")
    for folder in ("ldm", "ldm/unet"):
        _, err = demist("sample", path(folder), f"device={DEVICE}", "sampler.steps=1", "--out", path("latents.png"), code=2)
        assert "latents" in err and "--tensors" in err and "vqvae" in err, err
        assert not os.path.exists(path("latents.png"))
        demist("sample", path(folder), f"device={DEVICE}", "sampler.steps=1", "--tensors", path("latents.safetensors"), "--force")
    assert read_safetensors(path("latents.safetensors"))[0]["x"][1][0] == 1


run_tests([a_mark_before_the_text, a_turkish_locale, little_stack, a_plugin_of_another_machine, pointers_of_git_lfs,
           a_size_that_is_not_said, damaged_choices_say_what_to_do, drivers_named_nowhere, settings_of_the_environment,
           channels_are_drawn_side_by_side])
