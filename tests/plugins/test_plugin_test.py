"""demist plugin test: plugins that run and are wrong fail the check that is made for it, whole ones pass; what crashes or
hangs is named. demist plugin build, and which file a plugin is from. Those of 'host' are found without a device."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

from cli import DEMIST, DEVICE, demist, moons, path, run_tests

QUIET, PLUGINS, LOUD = os.environ["DEMIST_TEST_QUIET"], os.environ["DEMIST_TEST_PLUGINS"], os.environ["DEMIST_PLUGIN_PATH"]

# Plugin, behaviour, check, what is said (a regular expression).
HOST = [
    ("betas", "beyond", "schedule", r"fill\(\) writes beyond the 1 values of beta; it may write these alone"),
    ("betas", "before", "schedule", r"fill\(\) writes before the 1 values of beta"),
    ("betas", "leaks", "leaks", r"about [34]\d\d bytes are lost each time that it is opened and closed .* close\(\)"),
    ("betas", "leaks_a_file", "leaks", r"\d+ files stay open when it was opened and closed \d+ times"),
    ("points", "beyond", "grid", r"fill\(\) writes beyond the 2 values of at"),
    ("points", "short_of_one", "grid", r"fill\(\) for 1 steps of schedule linear leaves at\[1\] unwritten, or writes NaN"),
    ("objective", "scalars_beyond", "objective", r"scalars\(\) writes beyond the 1 values of out"),
    ("objective", "draws_beyond", "objective", r"draw\(\) writes beyond the 257 values of importance"),
    ("network", "unreached", "network", r"no gradient reaches weight 'forgotten'"),
    ("data", "beyond", "dataset", r"read\(\) writes beyond the 64 values of x"),
    ("data", "unwritten", "dataset", r"read\(\) leaves value 63 of example 0 of the train split unwritten"),
    ("data", "changes", "dataset", r"read\(\) of example 0 gives something else the second time"),
    ("data", "outside", "dataset", r"value 5 of example 0 is 1\.5; info says -1 to 1"),
    ("data", "last_fails", "dataset", r"read\(\) of example 2999 of the train split: .*there is nothing behind example 2998"),
    ("data", "seldom_nan", "dataset", r"read\(\) leaves value 7 of example \d+ of the train split unwritten, or it is not finite"),
    ("data", "seldom_label", "dataset", r"example \d+ has label 4; info says 4 classes"),
    ("data", "keeps_row", "dataset", r"read\(\) writes to self, which other threads read at the same time"),
    ("data", "shares", "readers", r"4 threads reading at once get other examples than a single one"),
    ("data", "leaks", "leaks", r"about [45]\d\d\d bytes are lost each time"),
    ("data", "starts_threads", "leaks", r"\d+ threads are still there when it was opened and closed"),
]
DEVICES = [
    ("op", "beyond", "ops", r"op 'square_of': forward\(\) writes beyond output 0, of 21 elements; let its kernel leave where"),
    ("op", "unwritten", "ops", r"forward\(\) leaves element 20 of output 0 \(of 21\) unwritten"),
    ("op", "reads_output", "ops", r"output 0 depends on what lay there before"),
    ("op", "changes_input", "ops", r"forward\(\) changes its input 0"),
    ("op", "wrong_gradient", "ops", r"backward\(\) gives \S+ for the gradient of input 0 at element \d+; finite differences"),
    ("op", "writes_gradient", "ops", r"backward\(\) leaves .* add to din, do not write it"),
    ("op", "gradient_beyond", "ops", r"backward\(\) writes beyond the gradient of input 0"),
    ("objective", "nan_loss", "training", r"training diverged at step 1: the first tensor that is not finite is the result of log"),
    ("network", "mixes", "outputs", r"the output for example 0 differs by \S+ of its size where it is alone"),
    ("sampler", "coefficient", "order", r"order -?\d\.\d\d where 1 is expected; it does not go to where"),
    ("sampler", "noisier", "order", r"16384 samples of 250 steps lie around the means of the mixture's parts with variance"),
    ("sampler", "stops_short", "order", r"one step from the noisiest point to the data ends \S+ from the denoised value"),
    ("sampler", "one_way", "order", r"from data to noise and back in 160 steps ends \S+ from the data"),
    ("sampler", "divides", "samples", r"with schedule\.zero_terminal_snr=true: .*term 0 of a sum has the factor inf"),
    ("objective", "other_sign", "loss", r"the loss is \S+ where the network's output means the data, by affine\(\)"),
    ("objective", "shows_data", "loss", r"loss\(\) gives the network something else than c_in xt"),
    ("objective", "mixes", "loss", r"the loss of an example is \S+ in a batch of 4 and \S+ alone: loss\(\) mixes"),
    ("sampler", "keeps_history", "samples", r"the same seed gives other samples the second time; begin\(\) must start anew"),
    ("sampler", "mixes", "alone", r"sample \d differs by \S+ of its size where it is drawn alone"),
]


def check(plugin, behaviour, name, code, *more):
    return demist("plugin", "test", f"{QUIET}/quiet_{plugin}.so", f"wrong={behaviour}", "--check", name, "--device", DEVICE,
                  *more, code=code)


def all_of(cases):
    wrong = []
    for plugin, behaviour, name, says in cases:
        try:
            out, err = check(plugin, behaviour, name, 1)
            assert re.search("^wrong: .*" + says, out, re.M), out + err
        except AssertionError as e:
            wrong.append(f"{plugin} {behaviour}: {e}")
    assert not wrong, "\n".join(wrong)


def every_behaviour_is_run():
    here = os.path.join(os.environ["DEMIST_SOURCE"], "tests/plugins/quiet")
    table = {(c[0], c[1]) for c in HOST + DEVICES}
    for file in os.listdir(here):
        if file.endswith(".c"):
            for name in re.findall(r"\bX\((\w+)\)", open(os.path.join(here, file)).read()):
                assert name == "X" or (file[6:-2], name) in table, f"{file}: no test of {name}"


def whole_ones_pass(cases):
    for plugin, name in sorted({(c[0], c[2]) for c in cases}):
        check(plugin, "good", name, 0)


def host_ones_pass():
    whole_ones_pass(HOST)


def device_ones_pass():
    whole_ones_pass(DEVICES)
    out, _ = check("sampler", "good", "order", 1, "--order", "2")
    assert re.search(r"wrong: .* order (0\.9|1\.0)\d where 2 is expected", out), out
    for plugin, says in (("ddpm", "that adds noise"), ("adaptive", "that chooses its own steps")):
        out, _ = demist("plugin", "test", f"{PLUGINS}/samplers/{plugin}.so", "--order", "2", "--check", "order", "--device", DEVICE, code=1)
        assert f"--order 2 was said of a sampler {says}" in out, out


def found_without_a_device():
    all_of(HOST)


def found_on_a_device():
    all_of(DEVICES)


def crashes_and_hangs():
    """Each check has a process of its own: the others go on, and the report says who was in which callback."""
    out, _ = demist("plugin", "test", f"{LOUD}/wrong_betas.so", "wrong=crashes", "--json", "--device", DEVICE, code=1)
    checks = {c["check"]: c for c in json.loads(out)["checks"]}
    texts = " ".join(f["text"] for f in checks["defaults"]["findings"])
    assert checks["table"]["passed"] and not checks["defaults"]["passed"], checks
    assert "ended by signal 11" in texts and "schedule plugin 'wrong_betas' crashed in fill()" in texts, texts
    since = time.monotonic()
    out, _ = demist("plugin", "test", f"{LOUD}/wrong_betas.so", "wrong=loops", "--limit", "1", "--device", DEVICE, code=1)
    assert "not done after 1 s; --limit S gives it longer" in out and time.monotonic() - since < 60, out


def refusals():
    open(path("not.so"), "w").write("no plugin")
    out, _ = demist("plugin", "test", path("not.so"), code=3)
    assert "FAIL" in out and "is not a shared object" in out and "0 passed, 1 failed" in out, out
    _, err = demist("plugin", "test", path("none.so"), code=2)
    assert "none.so" in err
    _, err = demist("plugin", "test", "quiet.c", code=2)
    assert "unable to open 'quiet.c'" in err, err
    _, err = demist("plugin", "test", "quiet.cpp", code=2)
    assert "'quiet.cpp' is not a plugin: neither FILE.c nor FILE.so, nor the NAME" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "--check", "nonsense", code=2)
    assert "there is no check 'nonsense'" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "--check", "grid", code=2)
    assert "check 'grid' is not for plugins of kind schedule" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_sampler.so", "--order", "much", code=2)
    assert "--order is 'much'" in err, err
    out, _ = demist("plugin", "test", f"{PLUGINS}/datasets/npy.so", "--check", "defaults", code=1)
    assert "parameter 'file' has no default: say file=VALUE" in out, out
    out, _ = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "--check", "table", "--order", "2", code=1)
    assert "--order is for samplers, not for plugins of kind schedule" in out, out


def given_data_are_used():
    """What a network refuses each kind of data for is said, and data that are given are those it is tried with."""
    out, _ = demist("plugin", "test", f"{PLUGINS}/networks/unet.so", "groups=7", "--check", "network", code=1)
    assert re.search(r"wrong: .*\(points f32\[2\]: .*; images f32\[1,16,16\]: .*groups", out), out
    given = [f"{PLUGINS}/networks/mlp.so", "--check", "network", "data.use=npy"]
    out, _ = demist("plugin", "test", *given, f"data.file={DATA}/points.npy")
    assert re.findall("^note: .*", out, re.M) and "data that were given, f32[" in out and "images" not in out, out
    out, _ = demist("plugin", "test", f"{PLUGINS}/networks/mlp.so", "--check", "network", "data.nonsense=3", code=1)
    assert "the data that were given: data.nonsense: unknown key" in out, out
    _, err = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "data.nonsense=3", "--check", "schedule", code=1)


def stops():
    p = subprocess.Popen([DEMIST, "plugin", "test", f"{LOUD}/wrong_betas.so", "wrong=loops", "--device", DEVICE],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in p.stdout:
        if line.startswith("  note: "):  # the check that hangs is the next
            break
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=30)
    assert p.returncode in (130, -signal.SIGINT), (p.returncode, out)


# What demist's own plugins need to be given. In the usual suite one of them; all by tools/test --all (where = own).
DATA = os.path.join(os.environ["DEMIST_SOURCE"], "tests/unit/data")
GUIDE = os.path.join(os.environ["DEMIST_SOURCE"], "tests/plugins/guide")
GIVEN = {"grids/list": ["timesteps=[900, 500, 100]"], "datasets/npy": [f"file={DATA}/points.npy"],
         "datasets/image_folder": [f"folder={DATA}/images", "data.size=[16]", "data.channels=3"],
         "schedules/betas": ["timesteps=4", "betas=[0.1, 0.3, 0.6, 0.999]"],
         "networks/classifier": ["objective.use=classify"],
         "networks/unet": ["channels=[8, 16]", "attend=[0, 1]", "groups=4", "layers=1"]}
KINDS = ["schedule", "grid", "guidance", "sampler", "network", "objective", "dataset"]


def passes(file, *given):
    out, err = demist("plugin", "test", file, *given, "--device", DEVICE, "--json", code=None)
    report = json.loads(out)
    return "" if report["failed"] == 0 and report["passed"] >= 5 else f"{file}: {err}"


def one_of_our_own_passes():
    assert not passes(f"{PLUGINS}/samplers/heun.so", "--order", "2")


def all_of_our_own_pass():
    every = [f"{kind}/{name[:-3]}" for kind in sorted(os.listdir(PLUGINS)) if os.path.isdir(f"{PLUGINS}/{kind}")
             for name in sorted(os.listdir(f"{PLUGINS}/{kind}")) if name.endswith(".so")]
    with open(path("images.idx"), "wb") as f:
        f.write(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(range(256)) * 5)
    GIVEN["datasets/idx"] = [f"train_images={path('images.idx')}"]
    os.mkdir(path("cifar"))
    with open(path("cifar/data_batch_1.bin"), "wb") as f:
        f.write(b"".join(bytes([i % 10]) + bytes((i + j) % 256 for j in range(3072)) for i in range(20)))
    GIVEN["datasets/cifar10"] = [f"folder={path('cifar')}"]
    demist("train", *moons("guide"), "train.steps=2", "-q")
    GIVEN["guidance/autoguidance"] = [f"guidance.guide={path('guide')}"]
    wrong = [passes(f"{PLUGINS}/{p}.so", *GIVEN.get(p, [])) for p in every]
    assert not any(wrong), "\n".join(wrong)


def written_ones():
    """A skeleton of each kind, and the guide's plugins, built by demist."""
    for kind in KINDS:
        if not os.path.isdir(path("my_" + kind)):
            demist("new-plugin", kind, "my_" + kind, cwd=path())
        yield path("my_" + kind, f"my_{kind}.c")
    for file in sorted(os.listdir(GUIDE)):
        yield os.path.join(GUIDE, file)


def build(file):
    return demist("plugin", "build", file, "--folder", path("written"))[0].strip()


def written_ones_build():
    for file in written_ones():
        demist("plugin", "test", build(file), "--check", "defaults")


def written_ones_pass():
    wrong = [passes(build(file)) for file in written_ones()]
    assert not any(wrong), "\n".join(wrong)


# ---- from which file ------------------------------------------------------------------------------------------

def source(name, more=""):
    return f"""#include <demist/plugin.h>
static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{{
    (void)c;
    for (int32_t i = 0; i < T; i++)
        beta[i] = 0.01;{more}
    return DM_OK;
}}
const dm_plugin dm_plugin_entry = {{.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "{name}", .version = "1",
    .license = "Apache-2.0", .doc = "a schedule", .schedule = &(const dm_schedule){{.size = sizeof(dm_schedule), .fill = fill}}}};
"""


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)
    return path(name)


def home(name):
    return {"XDG_DATA_HOME": path(name), "DEMIST_PLUGIN_PATH": ""}


def builds():
    env = home("built")
    object = path("built/demist/plugins/flat.so")
    out, err = demist("plugin", "build", write("flat.c", source("flat")), env=env)
    assert out == object + "\n" and not err, (out, err)
    out, _ = demist("plugins", "schedule", env=env)
    assert re.search(rf"^  flat +a schedule\n +from {object}$", out, re.M) and "hides" not in out, out
    before = open(object, "rb").read()
    _, err = demist("plugin", "build", write("flat.c", source("flat", " beta = nonsense;")), env=env, code=1)
    assert re.search(r"flat\.c:6:\d+: .*nonsense", err), err
    assert open(object, "rb").read() == before and os.listdir(os.path.dirname(object)) == ["flat.so"]
    for name in ("flat", "flat.so", write("flat.c", source("flat"))):
        demist("plugin", "test", name, "--check", "schedule", env=env)
    assert not os.path.exists(path("flat.so")) and os.listdir(os.path.dirname(object)) == ["flat.so"]
    _, err = demist("plugin", "test", path("flat.so"), env=env, code=2)
    assert f"but '{object}' in your folder of plugins" in err, err
    _, err = demist("plugin", "test", "round", env=env, code=2)
    assert f"there is no 'round' here, nor in '{os.path.dirname(object)}'" in err, err
    _, err = demist("plugin", "build", write("Flat.c", source("Flat")), env=env, code=2)
    assert "would be a plugin called 'Flat', which no demist loads" in err, err
    _, err = demist("plugin", "build", path("flat.c"), env={**env, "CC": "no-such-compiler"}, code=1)
    assert "unable to run 'no-such-compiler'" in err, err
    demist("plugin", "build", write("flat.c", source("flat")), "--folder", path("elsewhere"), env=env)
    assert os.listdir(path("elsewhere")) == ["flat.so"]
    for args, says in ((["build", "none.c"], "none.c"), (["build", write("x.cpp", "")], "is not a C file"),
                       (["build", path("flat.c"), "--json"], "--json is for test"), (["test", object, "--watch"], "--watch is for build"),
                       (["make", "x"], "build")):
        _, err = demist("plugin", *args, env=env, code=2)
        assert says in err, err


def watches():
    """Built and tested at once, and again when the file changes."""
    env = {**os.environ, **home("watched")}
    object = path("watched/demist/plugins/seen.so")
    p = subprocess.Popen([DEMIST, "plugin", "build", write("seen.c", source("seen")), "--watch"], stdout=subprocess.PIPE,
                         stderr=open(path("seen.err"), "w"), text=True, env={**env, "OCL_ICD_VENDORS": "/nonexistent/"})
    try:
        results = []
        for line in p.stdout:
            if " passed, " in line:
                results.append(line.strip())
                if len(results) == 2:
                    break
                while "waiting for" not in open(path("seen.err")).read():
                    time.sleep(0.1)
                write("seen.c", source("seen", " beta[0] = -1;"))
        assert results[0].endswith("passed, 0 failed") and not results[1].endswith(" 0 failed"), results
        assert os.path.exists(object)
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=60) == 130
    finally:
        p.kill()


def hidden_ones_are_said():
    env = home("hides")
    demist("plugin", "build", write("cosine.c", source("cosine")), env=env)
    out, _ = demist("plugins", "schedule", env=env)
    assert re.search(r"^  cosine +a schedule\n +from \S+/hides/demist/plugins/cosine.so\n +hides \S+/schedules/cosine.so$", out, re.M), out
    file = write("hides.yaml", "schedule: {use: cosine, timesteps: 20}\nnetwork: {use: mlp}\nobjective: {use: simple}\nsampler: {use: ddim, steps: 5}\n")
    _, err = demist("schedule", file, env=env)
    assert re.search(r"schedule plugin 'cosine' is '\S+/hides/demist/plugins/cosine.so', which hides '\S+/schedules/cosine.so'", err), err
    _, err = demist("schedule", file, env=home("nothing"))
    assert "hides" not in err, err


def refused_ones_end_with_3():
    env = home("refused")
    os.makedirs(path("refused/demist/plugins"))
    write("refused/demist/plugins/broken.so", "no plugin")
    out, _ = demist("plugins", env=env, code=3)
    assert "refused\n" in out and "broken.so" in out and "cosine" in out, out
    demist("plugins", env=home("nothing"), code=0)


def runs_know_their_plugins():
    """env.json has each one's file, version and hash; a run that goes on with another says so."""
    env = home("run_of")
    demist("plugin", "build", write("mine.c", source("mine")), env=env)
    file = write("run.yaml", f"output: {path('run')}\ndevice: '{DEVICE}'\ndata: {{use: toy2d}}\nschedule: {{use: mine, timesteps: 20}}\n"
                 "network: {use: mlp, width: 8, depth: 1}\nobjective: {use: simple}\nsampler: {use: ddim, steps: 2}\n"
                 "train: {steps: 2, batch: 4}\n")
    _, err = demist("train", file, "--progress", "none", env=env)
    object = path("run_of/demist/plugins/mine.so")
    plugins = {p["kind"]: p for p in json.load(open(path("run/env.json")))["plugins"]}
    hash = hashlib.sha256(open(object, "rb").read()).hexdigest()
    assert plugins["schedule"] == {"kind": "schedule", "name": "mine", "version": "1", "file": os.path.realpath(object), "sha256": hash}, plugins
    assert set(plugins) == {"schedule", "sampler", "network", "objective", "dataset", "grid"} and "another than" not in err
    _, err = demist("train", file, "train.steps=3", "--resume", "--progress", "none", env=env)
    assert "another than" not in err, err
    demist("plugin", "build", write("mine.c", source("mine", " beta[0] = 0.02;")), env=env)
    _, err = demist("train", file, "train.steps=4", "--resume", "--progress", "none", env=env)
    assert "warning: schedule plugin 'mine' differs from the one that the run was trained with: version 1 of" in err, err
    assert err.count("differs from the one") == 1, err


TESTS = {"host": [every_behaviour_is_run, found_without_a_device, host_ones_pass, refusals, given_data_are_used, builds,
                  watches,
                  written_ones_build,
                  hidden_ones_are_said, refused_ones_end_with_3],
         "device": [found_on_a_device, device_ones_pass, crashes_and_hangs, stops, one_of_our_own_passes,
                    runs_know_their_plugins],
         "own": [all_of_our_own_pass, written_ones_pass]}
run_tests(TESTS[sys.argv[1]])
