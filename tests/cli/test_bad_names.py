"""Names that are no names of anything: too long, links in a circle, below a file, folders for files, empty. Wherever one is
given it is bad input, exit code 2, told with the name, and nothing is made."""
import os
import subprocess

from cli import DEMIST, DEVICE, SOURCE, WORK, demist, moons, path, run_tests, write_npy, write_safetensors

RUN, DATA, PLACE, IMAGES = path("run"), path("data.npy"), path("place.safetensors"), os.path.join(SOURCE, "tests/unit/data/images")
CHOSEN = [f"device={DEVICE}"]
SWEEP = ["--over", "seed=1,2", "--metric", "loss"]
EXP = path("exp.yaml")

# What takes a name that is read ({}), by its kind.
READ_FILE = [
    ["train", "{}"], ["check", "{}"], ["schedule", "{}"], ["plan", "{}", "--ranks", "2", "--bandwidth", "1", "--latency", "1", "--speed", "1"],
    ["sweep", "{}", *SWEEP], ["inspect", "{}"], ["inspect", EXP, "data.use=npy", "data.file={}"], ["convert", "{}", "--to", path("new.safetensors")],
    ["plugins", "{}.so"], ["plugin", "test", "{}.so"], ["plugin", "build", "{}.c"],
    ["predict", RUN, "--in", "{}", "--out", path("new.safetensors"), *CHOSEN],
    ["sample", RUN, "--noise", "{}", "--tensors", path("new.safetensors"), *CHOSEN],
    ["edit", RUN, "--in", "{}", "--out", path("new.png"), *CHOSEN],
    ["eval", RUN, "--metric", "quality", "--features", RUN, "--images", "{}", *CHOSEN],
    ["check", EXP, *CHOSEN, "data.use=npy", "data.file={}"], ["train", EXP, "output=new", *CHOSEN, "data.use=npy", "data.file={}"],
    ["check", EXP, *CHOSEN, "data.use=idx", "data.train_images={}"], ["check", EXP, *CHOSEN, "data.use=image_folder", "data.folder={}"],
    ["check", EXP, *CHOSEN, "data.use=image_folder", f"data.folder={IMAGES}", "data.table={}"],
    ["check", EXP, *CHOSEN, "data.use=cifar10", "data.folder={}"],
]
READ_RUN = [
    ["resume", "{}"], ["sample", "{}", "--tensors", path("new.safetensors")], ["sample", "{}", "--best", "--tensors", path("new.safetensors")],
    ["info", "{}"], ["eval", "{}", "--metric", "loss"], ["eval", RUN, "--metric", "quality", "--features", "{}", *CHOSEN],
    ["report", "{}"], ["compare", RUN, "{}"], ["plot", "{}"], ["plot", RUN, "{}", "--out", path("new.png")],
    ["predict", "{}", "--in", PLACE, "--out", path("new.safetensors")], ["export", "{}", "--to", "diffusers", path("new")],
    ["init", path("new.yaml"), "--from", "{}"], ["check", "{}"], ["sweep", "{}", *SWEEP], ["runs", "{}"],
    ["init", path("new.yaml"), "images", "{}"], ["check", EXP, *CHOSEN, "train.from={}"], ["train", EXP, "output=new", *CHOSEN, "train.from={}"],
    ["check", EXP, *CHOSEN, "plugin_path={}", "sampler.use=nowhere"],
]
# What takes a name that is written.
WRITE = [
    ["train", EXP, "output={}", *CHOSEN], ["check", EXP, "output={}", *CHOSEN], ["sample", RUN, "--out", "{}.png", *CHOSEN],
    ["sample", RUN, "--tensors", "{}", *CHOSEN], ["sample", RUN, "--out", path("new.png"), "--trace", "{}.png", *CHOSEN],
    ["edit", RUN, "--in", DATA, "--out", "{}.png", *CHOSEN], ["eval", RUN, "--metric", "loss", "--json", "{}", *CHOSEN],
    ["eval", RUN, "--metric", "nll", "--count", "8", "--steps", "4", "--plot", "{}.png", *CHOSEN],
    ["sweep", EXP, *SWEEP, "--out", "{}", *CHOSEN], ["report", RUN, "--out", "{}", *CHOSEN], ["compare", RUN, RUN, "--out", "{}", *CHOSEN],
    ["plot", RUN, "--out", "{}.png"], ["export", RUN, "--to", "diffusers", "{}"], ["schedule", EXP, "--json", "{}"],
    ["schedule", EXP, "--plot", "{}.png"], ["inspect", EXP, "--preview", "{}.png"], ["init", "{}.yaml"],
    ["new-plugin", "schedule", "made", "--dir", "{}"], ["plugin", "build", path("made/made.c"), "--folder", "{}"],
]


def prepare():
    demist("train", *moons(RUN, "train.steps=2"), "-q")
    demist("new-plugin", "schedule", "made")
    demist("init", EXP)
    write_npy("data.npy", (4, 2), [0.1] * 8)
    write_safetensors(PLACE, {"x": ("F32", [1, 2], bytes(8)), "t": ("F32", [1], bytes(4))})
    os.symlink("loop", path("loop"))
    for end in ".so", ".c", ".png", ".yaml":
        os.symlink("loop" + end, path("loop" + end))
    open(path("file"), "w").close()


def try_all(rows, names):
    there, wrong = sorted(os.listdir(WORK)), []
    for name in names:
        for row in rows:
            args = [a.replace("{}", name) for a in row]
            p = subprocess.run([DEMIST, *args], capture_output=True, text=True, cwd=WORK, timeout=300)
            if p.returncode != 2 or "error: " not in p.stderr:
                wrong.append((p.returncode, [a[:60] for a in args], p.stderr[-300:]))
    for w in wrong:
        print(*w)
    assert not wrong and sorted(os.listdir(WORK)) == there, sorted(set(os.listdir(WORK)) - set(there))


LONG, DEEP, LOOP, BELOW = path("x" * 300), path("x/" * 2500 + "y"), path("loop"), path("file/below")


def what_is_read():
    try_all(READ_FILE + READ_RUN, [LONG, DEEP, LOOP, path("loop/below"), BELOW])


def what_is_written():
    try_all(WRITE, [LONG, DEEP, path("loop/below"), BELOW])


def a_folder_for_a_file():
    os.makedirs(path("folder"))
    for end in ".c", ".png", ".yaml":
        os.makedirs(path("folder" + end))
    other = "edit", "inspect", "check", "sweep", "export", "new-plugin", "eval", "plugins"
    try_all([r for r in READ_FILE + WRITE if r[0] not in other and not any(a in ("test", "--folder", "output={}") or "folder" in a for a in r)], [path("folder")])
    os.makedirs(path("folder.so"))
    assert "not a regular file" in demist("plugins", path("folder.so"), code=3)[1]


def empty_names():
    for row in (r for r in READ_FILE + READ_RUN + WRITE if "{}" in r):
        err = demist(*("" if a == "{}" else a for a in row), code=2)[1]
        assert "is empty; give a" in err, (row, err)
    assert "RUN is empty; give a run's folder or a checkpoint, or leave it out" in demist("resume", "", code=2)[1]
    assert "--noise is empty; give a file, or leave it out" in demist("sample", RUN, "--noise", "", "--tensors", path("t"), code=2)[1]


def no_standard_output():
    for row in ["eval", RUN, "--metric", "nll", "--json", "-"], ["schedule", EXP, "--json", "-"], ["sample", RUN, "--tensors", "-"]:
        assert "'-' would be a file of that name, not standard output" in demist(*row, code=2)[1], row
        assert not os.path.exists(path("-"))


run_tests([prepare, what_is_read, what_is_written, a_folder_for_a_file, empty_names, no_standard_output])
