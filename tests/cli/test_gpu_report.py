"""tools/gpu-report: whole on a device within a short time; and what it makes of a program whose parts fail or hang."""
import json
import os
import subprocess
import time

from cli import DEVICE, SOURCE, path, run_tests

REPORT = os.path.join(SOURCE, "tools/gpu-report")

# Stand in for demist and bench_steps: doctor hangs, selftest fails with a message that JSON has to quote, one work
# crashes.
DEMIST = r"""#!/bin/sh
case $1 in
  --version) echo 'demist 0' ;;
  devices) printf '[\n  {\n    "device": "0:0",\n    "name": "a | card"\n  }\n]\n' ;;
  doctor) echo 'OK    loader'; sleep 100 ;;
  train) folder=$(sed -n 's/^output: "\(.*\)"$/\1/p' "$2"); mkdir -p "$folder/checkpoints"
    : >"$folder/checkpoints/step-1.safetensors" ;;
  selftest) printf 'error: "x" is \\ wrong\tby\0011\n' >&2; exit 1 ;;
  tune) echo 'tuned' ;;
esac
"""
BENCH = r"""#!/bin/sh
case "$*" in *precision=fp16*) echo 'error: needs half precision (cl_khr_fp16)' >&2; exit 1 ;; esac
case "$1 $*" in 'train '*precision=bf16*) kill -9 $$ ;; esac
echo '{"device":"0:0","opened":0.5,"nodes":1,"commands":1,"flops":3e9,"arena_bytes":0,"device_bytes":2000000}'
echo '{"seconds":[9],"host":[0]}'
echo '{"seconds":[0.5,0.010,0.003],"host":[0,0,0]}'
"""

# In place of a Python with PyTorch.
PYTHON = """#!/bin/sh
[ $# -eq 2 ] || echo '{"median_ms": 8, "images_per_s": 8000}'
"""


def report(out, *more, code=0, env=None):
    """Parts by name, the page, seconds."""
    began = time.monotonic()
    p = subprocess.run([REPORT, "--out", path(out), *more], capture_output=True, text=True, timeout=300,
                       env={**os.environ, **(env or {})})
    took = time.monotonic() - began
    assert p.returncode == code, (p.returncode, p.stdout, p.stderr)
    with open(path(out, "report.json")) as f:
        parts = {part["part"]: part for part in json.load(f)["parts"]}
    with open(path(out, "report.md")) as f:
        page = f.read()
    for name, part in parts.items():
        assert part["state"] in ("done", "cut", "failed", "skipped") and f"| {name} | {part['state']} |" in page, part
        assert part["state"] == "done" or part["why"], part
    assert sorted(os.listdir(path(out))) == ["parts", "report.json", "report.md"]
    return parts, page, took


def stands_in(name, text):
    with open(path(name), "w") as f:
        f.write(text)
    os.chmod(path(name), 0o755)
    return path(name)


def keeps_what_was_found():
    env = {"DEMIST": stands_in("demist", DEMIST), "DEMIST_BENCH": stands_in("bench", BENCH)}
    parts, page, took = report("failing", "--minutes", "0.3", "--python", stands_in("python", PYTHON), code=1, env=env)
    assert took < 30, took
    states = {name: part["state"] for name, part in parts.items()}
    assert states["devices"] == states["tune"] == states["first-launch-ddpm-cifar10"] == "done", states
    assert states["doctor"] == "cut" and parts["doctor"]["said"] == "OK    loader", parts["doctor"]
    assert states["selftest"] == "failed" and '"x" is \\ wrong by1' in parts["selftest"]["why"], parts["selftest"]
    assert parts["devices"]["result"][0]["name"] == "a | card" and "a / card" in page
    for how in "default", "tuned":
        assert parts[f"forward-fashion-fp32-{how}"]["result"] == {
            "median_ms": 10, "images_per_s": 6400, "gflops_per_s": 300, "device_mb": 2, "opened_s": 0.5}
        assert states[f"train-ddpm-cifar10-bf16-{how}"] == "failed", states
        assert states[f"forward-fashion-fp16-{how}"] == states[f"train-fashion-fp16-{how}"] == "skipped", states
    for work in "forward-fashion-fp16", "train-ddpm-cifar10-bf16":
        assert parts[f"pytorch-{work}"]["result"]["median_ms"] == 8, parts
    assert "pytorch-train-fashion-fp16" not in parts and len(parts) == 5 + 36 + 2 + 10, states


def ends_when_asked():
    """Once the part that runs has ended, which takes this one a while; its files are gone."""
    lingers = 'trap "sleep 2; exit" TERM; sleep 100'
    slow = stands_in("slow", DEMIST.replace("sleep 100", lingers))
    p = subprocess.Popen([REPORT, "--out", path("stopped")], env={**os.environ, "DEMIST": slow}, stdout=subprocess.PIPE)
    assert b"devices" in p.stdout.readline()
    time.sleep(1)
    p.terminate()
    began = time.monotonic()
    assert p.wait(60) == 130 and time.monotonic() - began > 1.5
    assert sorted(os.listdir(path("stopped"))) == ["parts", "report.json", "report.md"]


def refuses_what_it_cannot_do():
    def run(*args):
        return subprocess.run([REPORT, *args], capture_output=True, text=True)

    for wrong in ([], ["--out"], ["--out", path("x"), "--minutes", "-1"], ["--out", path("x"), "--batch", "0"],
                  ["--out", path("x"), "--networks", "other"], ["--out", path("x"), "--fast", "1"]):
        p = run(*wrong)
        assert p.returncode == 2 and "gpu-report --out OUT" in p.stderr and not os.path.exists(path("x")), (wrong, p)
    os.mkdir(path("there"))
    p = run("--out", path("there"))
    assert p.returncode == 2 and "is there already" in p.stderr and not os.listdir(path("there")), p


def is_whole_on_a_device():
    parts, _, took = report("device", "--device", DEVICE, "--minutes", "0.75", "--batch", "1", "--repeats", "1",
                            "--networks", "fashion", "--python", "false")
    assert took < 75, took
    assert parts["devices"]["result"] and parts["pytorch"]["state"] == "skipped", parts
    assert {"doctor", "first-launch-fashion", "selftest", "tune", "sample-fashion-fp16-tuned"} < set(parts), parts
    # How far it comes in this time depends on the machine; what was measured has numbers.
    for name, part in parts.items():
        if part["state"] == "done" and name.split("-")[0] in ("forward", "train", "sample"):
            assert part["result"]["median_ms"] > 0 and part["result"]["images_per_s"] > 0, part
    if parts["selftest"]["state"] == "done":
        assert parts["selftest"]["result"]["failed"] == 0 < parts["selftest"]["result"]["passed"]


run_tests([keeps_what_was_found, ends_when_asked, refuses_what_it_cannot_do, is_whole_on_a_device])
