"""demist plugin test: plugins that run and are wrong fail the check that is made for it, whole ones pass; what crashes or
hangs is named. Those of 'host' are found without a device."""
import json
import os
import re
import signal
import subprocess
import sys
import time

from cli import DEMIST, DEVICE, demist, path, run_tests

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
    ("data", "shares", "readers", r"4 threads that read at once get other examples than one"),
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
    ("network", "mixes", "outputs", r"the output for example 0 differs by \S+ of its size where it is alone"),
    ("sampler", "coefficient", "order", r"order -?\d\.\d\d where 1 is to be reached; it does not go to where"),
    ("sampler", "noisier", "order", r"4096 samples of 250 steps have mean \S+ and variance \S+, the data"),
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
    assert re.search(r"wrong: .* order (0\.9|1\.0)\d where 2 is to be reached", out), out


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
    assert "is no shared object" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "--check", "nonsense", code=2)
    assert "there is no check 'nonsense'" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_betas.so", "--check", "grid", code=2)
    assert "check 'grid' is not for plugins of kind schedule" in err, err
    _, err = demist("plugin", "test", f"{QUIET}/quiet_sampler.so", "--order", "much", code=2)
    assert "--order is 'much'" in err, err
    out, _ = demist("plugin", "test", f"{PLUGINS}/datasets/npy.so", "--check", "defaults", code=1)
    assert "parameter 'file' has no default: say file=VALUE" in out, out


def stops():
    p = subprocess.Popen([DEMIST, "plugin", "test", f"{LOUD}/wrong_betas.so", "wrong=loops", "--device", DEVICE],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in p.stdout:
        if line.startswith("  note: "):  # the check that hangs is the next
            break
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=30)
    assert p.returncode in (130, -signal.SIGINT), (p.returncode, out)


# What demist's own plugins need to be given. In the usual suite one of them; all by tools/test --all (DEMIST_OWN=all).
DATA = os.path.join(os.environ["DEMIST_SOURCE"], "tests/unit/data")
GIVEN = {"grids/list": ["timesteps=[900, 500, 100]"], "datasets/npy": [f"file={DATA}/points.npy"]}


def own_plugins_pass():
    every = [f"{kind}/{name[:-3]}" for kind in sorted(os.listdir(PLUGINS)) if os.path.isdir(f"{PLUGINS}/{kind}")
             for name in sorted(os.listdir(f"{PLUGINS}/{kind}")) if name.endswith(".so")]
    wrong = []
    for plugin in every if os.environ.get("DEMIST_OWN") == "all" else ["samplers/heun"]:
        out, err = demist("plugin", "test", f"{PLUGINS}/{plugin}.so", *GIVEN.get(plugin, []), "--device", DEVICE, "--json",
                          code=None)
        report = json.loads(out)
        if report["failed"] or report["passed"] < 5:
            wrong.append(f"{plugin}: {err}")
    assert not wrong, "\n".join(wrong)


TESTS = {"host": [every_behaviour_is_run, found_without_a_device, host_ones_pass, refusals],
         "device": [found_on_a_device, device_ones_pass, crashes_and_hangs, stops, own_plugins_pass]}
run_tests(TESTS[sys.argv[1]])
