"""DEMIST_CPU: what was compiled is disassembled, on the driver of this device; caches are apart."""
import os
import re
import subprocess

from cli import DEVICE, config, demist, moons, path, run_tests

# The flag of /proc/cpuinfo, the widest registers, and those that none may use.
LEVELS = {"avx2": ("avx2", "ymm", "zmm"), "sse": ("sse4_2", "xmm", "[yz]mm")}


def processor(flag):
    text = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    return re.search(rf"^flags\s*:.*\b{flag}\b", text, re.M) is not None


def objects(files):
    """All that is ELF in these files, also where it lies in another file."""
    for file in files:
        data = open(file, "rb").read()
        for m in re.finditer(b"\x7fELF", data):
            yield data[m.start():]


def registers(files):
    """Kinds of vector registers in the code of the files."""
    found, count = set(), 0
    for o in objects(files):
        open(path("object"), "wb").write(o)
        p = subprocess.run(["objdump", "-d", path("object")], capture_output=True, text=True)
        found |= set(re.findall(r"%([xyz]mm)", p.stdout))
        count += "mm" in p.stdout
    assert count > 3, f"{count} objects with vectors in {files}"
    return found


def in_folder(folder):
    return {os.path.join(at, n) for at, _, names in os.walk(folder) for n in names}


def train(held):
    """Files that the training compiled, with one cache folder for all processors."""
    before = in_folder(path("cache"))
    env = {"DEMIST_CPU": held, "DEMIST_CACHE": path("cache"), "POCL_CACHE_DIR": path("cache/pocl"),
           "DEMIST_IMPL": "portable"}
    demist("train", *moons(f"run-{held}", "network.depth=1", "train.steps=1", "train.warmup=0"), "-q", env=env)
    return in_folder(path("cache")) - before


# In one cache folder: what is there for a wider one would otherwise be taken.
def no_wider_register_is_used():
    os.makedirs(path("cache/pocl"))
    for held, (flag, widest, none) in LEVELS.items():
        if not processor(flag):
            _, err = demist("devices", env={"DEMIST_CPU": held}, code=2)
            assert f"DEMIST_CPU is '{held}', which this machine's processor does not have" in err, err
            continue
        new = train(held)
        found = registers(new)
        assert widest in found and not any(re.fullmatch(none, f) for f in found), (held, found)
        mine = {f for f in new if not f.startswith(path("cache/pocl"))}
        assert all(f.startswith(path("cache", held) + os.sep) for f in mine), mine
        out = demist("cache", env={"DEMIST_CPU": held, "DEMIST_CACHE": path("cache")})[0]
        assert out.splitlines()[0] == path("cache", held), out


def no_tile_registers():
    for held in "", "avx512":
        if processor("avx512vl") and processor("amx_bf16"):
            out, _ = demist("check", config("moons.yaml"), f"device={DEVICE}", "network.depth=1", "tune=off",
                            "--explain", env={"DEMIST_CPU": held})
            assert ("bf16x3" in out) == (held == ""), (held, out)
            _, err = demist("check", config("moons.yaml"), f"device={DEVICE}", "network.depth=1", "tune=off",
                            "precision=bf16", env={"DEMIST_CPU": held})
            assert ("bf16 saves memory but no time here" in err) == (held == "avx512"), (held, err)


def what_is_no_processor():
    for wrong in ("AVX2", "amx", "avx512,avx2", "sse "):
        _, err = demist("devices", env={"DEMIST_CPU": wrong}, code=2)
        assert f"DEMIST_CPU is '{wrong}': use avx512, avx2 or sse" in err, err
    demist("devices", env={"DEMIST_CPU": ""})


def the_vector_is_narrower():
    for held, lanes in (("avx2", 8), ("sse", 4)):
        if processor(LEVELS[held][0]):
            out, _ = demist("devices", env={"DEMIST_CPU": held})
            assert f"native float vector of {lanes}," in out, out


if processor("lm"):  # x86
    run_tests([what_is_no_processor, the_vector_is_narrower, no_tile_registers, no_wider_register_is_used])
else:
    _, err = demist("devices", env={"DEMIST_CPU": "avx2"}, code=2)
    assert "which this machine's processor does not have" in err, err
