#!/usr/bin/env python3
"""Every command with standard output full, and with a part that fails: what was not done is in the exit code and said."""
import os
import shutil
import subprocess

from cli import DEMIST, DEVICE, SOURCE, demist, moons, path, run_tests


def trained():
    run = path("run")
    if not os.path.exists(run):
        demist("train", *moons(run, "train.steps=4", "train.save_every=2", "train.log_every=1"), "-q")
        os.makedirs(path("plugins/samplers"), mode=0o755)
        open(path("plugins/samplers/bad.so"), "w").write("x")
        open(path("x.safetensors"), "wb").write(bytes(8))
    return run


def broken(name, file, text):
    """A copy of the run, one of its files damaged."""
    run = path("broken-" + name)
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(trained(), run)
    os.makedirs(os.path.join(run, os.path.dirname(file)), exist_ok=True)
    open(os.path.join(run, file), "w").write(text)
    return run


def unwritable(name, part):
    """A copy of the run, in which a folder is a file."""
    run = broken(name, "x", "")
    shutil.rmtree(os.path.join(run, part), ignore_errors=True)
    open(os.path.join(run, part), "w").close()
    return run


MODEL = os.path.join(SOURCE, "tests/parity/data/diffusers/plain")
NO_DRIVER, BAD_PLUGIN = {"OCL_ICD_VENDORS": "/dev/null"}, {"DEMIST_PLUGIN_PATH": path("plugins")}
CHECKPOINT = os.path.join(path("run"), "checkpoints/step-00000004.safetensors")
DAMAGED = path("x.safetensors")

LINK = ["--ranks", "2", "--bandwidth", "1", "--latency", "5"]

# Of each command: what prints to standard output, or None for one that prints nothing there; what fails in a part, its exit code, what
# standard error says of it, and what its environment is.
COMMANDS = {
    "init": (["init", path("new.yaml")], ["init", path("run/log.txt/x.yaml")], 2, "", {}),
    "train": (None, ["train", *moons(path("t"), "train.step=1")], 2, "train.step: unknown key", {}),
    "resume": (None, lambda: ["resume", unwritable("samples", "samples"), "train.steps=8", "train.sample_every=1"],
               None, "samples", {}),
    "sample": (["sample", path("run"), "--count", "1", "--out", path("o.png"), "--force"],
               ["sample", path("run"), "--count", "1", "--out", path("run/log.txt/x.png")], None, "log.txt", {}),
    "eval": (["eval", path("run"), "--metric", "loss", "--count", "8"],
             ["eval", path("run"), "--metric", "loss", "--count", "8", "--json", path("run/log.txt/x.json")], None, "log.txt", {}),
    "sweep": (["sweep", path("run"), "--over", "sampler.steps=2", "--metric", "loss", "--out", path("sw")],
              ["sweep", path("run"), "--over", "sampler.use=nothing", "--metric", "loss", "--out", path("sw2")], 2, "there is no sampler 'nothing'", {}),
    "report": (["report", path("run"), "--no-samples"], lambda: ["report", broken("report", "env.json", "{"), "--no-samples"], 5,
               "the report is without env.json", {}),
    "runs": (["runs", path()], lambda: ["runs", os.path.join(broken("runs", "x", ""), "x")], 2, "x", {}),
    "compare": (["compare", path("run"), path("run"), "--no-samples", "--out", path("c.html"), "-f"],
                lambda: ["compare", path("run"), broken("compare", "env.json", "{"), "--no-samples", "--out", path("c.html"), "-f"], 5,
                "the report is without env.json", {}),
    "predict": (None, ["predict", path("run"), "--in", DAMAGED, "--out", path("o.safetensors")], 5, "x.safetensors", {}),
    "export": (None, ["export", MODEL, "--to", "diffusers", path("run/log.txt/x")], None, "", {}),
    "convert": (None, ["convert", DAMAGED, "--to", path("o.safetensors")], 5, "x.safetensors", {}),
    "schedule": (["schedule", moons("x")[0]], ["schedule", moons("x")[0], "sampler.steps=5000"], 2, "sampler.steps", {}),
    "check": (["check", *moons("x")], ["check", *moons("x"), "data.use=npy", f"data.file={path('none.npy')}"], 2, "none.npy", {}),
    "plan": (["plan", *moons("x"), *LINK, "--speed", "10"], ["plan", *moons("x"), *LINK, "--speed", "10", "train.batch=0"], 2, "train.batch", {}),
    "plot": (["plot", path("run")], lambda: ["plot", unwritable("plots", "plots")], None, "plots", {}),
    "plugins": (["plugins"], ["plugins", "sampler/bad"], 3, "bad.so", BAD_PLUGIN),
    "devices": (["devices"], ["devices", "--list"], 4, "", NO_DRIVER),
    "tune": (None, ["tune", "--seconds", "1"], 4, "", NO_DRIVER),
    "doctor": (["doctor"], ["doctor"], 3, "bad.so", BAD_PLUGIN),
    "selftest": (None, ["selftest"], 4, "", NO_DRIVER),
    "edit": (None, ["edit", path("run"), "--in", DAMAGED, "--tensors", path("o.safetensors")], 5, "x.safetensors", {}),
    "info": (["info", path("run")], ["info", DAMAGED], 5, "x.safetensors", {}),
    "inspect": (["inspect", CHECKPOINT], ["inspect", DAMAGED], 5, "x.safetensors", {}),
    "new-plugin": (["new-plugin", "sampler", "mine", "--dir", path("mine")], ["new-plugin", "sampler", "mine", "--dir", path("run/log.txt/x")], None, "", {}),
    "plugin": (["plugin", "test", os.path.join(os.path.dirname(DEMIST), "plugins/schedules/linear.so"), "--check", "table"],
               ["plugin", "build", path("none.c")], 2, "none.c", {}),
    "cache": (["cache"], ["cache"], None, "", {"DEMIST_CACHE": path("run/log.txt")}),
    "docs": (["docs"], ["docs", "nothing"], 2, "nothing", {}),
}


def listed():
    return [line.split()[0] for line in demist("--help")[0].split("usage:")[1].split("First steps")[0].splitlines() if line.startswith("  ") and line.strip()]


def every_command_is_here():
    names = [n for n in listed() if n != "demist"]
    assert len(names) > 20 and sorted(names) == sorted(COMMANDS), sorted(set(names) ^ set(COMMANDS))


def standard_output_is_full():
    trained()
    for name, (prints, *_) in COMMANDS.items():
        for args in filter(None, (prints, [name, "--help"])):
            with open("/dev/full", "w") as full:
                p = subprocess.run([DEMIST, *args], stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "DEMIST_DEVICE": DEVICE})
            assert p.returncode == 1 and "standard output" in p.stderr, (args, p.returncode, p.stderr)


def a_part_fails():
    trained()
    for name, (_, fails, code, says, env) in COMMANDS.items():
        args = fails() if callable(fails) else fails
        p = subprocess.run([DEMIST, *args], capture_output=True, text=True, env={**os.environ, **env}, timeout=120)
        assert p.returncode == code or code is None and p.returncode > 0, (args, p.returncode, p.stdout[-500:], p.stderr)
        assert "error" in p.stderr + p.stdout and says in p.stderr, (args, p.stderr)


def what_reads_an_experiment_reads_a_run():
    trained()
    assert demist("inspect", path("run"), "data.count=50")[0] == "train split: 50 points in 2 dimensions\n"
    assert demist("schedule", path("run"))[0] == demist("schedule", os.path.join(path("run"), "resolved.yaml"))[0]


def without_a_folder_of_runs():
    p = subprocess.run([DEMIST, "runs"], capture_output=True, text=True, cwd=trained())
    assert p.returncode == 2 and "no folder 'runs' here; give the folder that holds the runs" in p.stderr, p


run_tests([every_command_is_here, standard_output_is_full, a_part_fails, what_reads_an_experiment_reads_a_run,
           without_a_folder_of_runs])
