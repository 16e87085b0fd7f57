"""Runs of an earlier version, kept in data/kept_runs (tools/make_kept_run_fixtures.py): they are read, sampled and
resumed, with the results that the version that trained them had. On another processor or device the last bits differ;
how many tensors have the same bits is printed. DEMIST_KEPT_RUNS names others, made on this device."""
import array
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, SOURCE, demist, floats, log_lines, path, read_safetensors, run_tests  # noqa: E402

KEPT = os.environ.get("DEMIST_KEPT_RUNS") or os.path.join(SOURCE, "tests/parity/data/kept_runs")
MADE_IN = "/tmp/demist-kept-runs"  # the absolute path in their resolved.yaml
SAMPLES, TRAINED = 1e-5, 1e-4  # of the range of samples; of a loss, and of the largest weight of a tensor
RUNS = ("points", "images")


def kept(name, to):
    """A copy of the run, moved as a user would; what it should come to."""
    folder = path(to, name)
    shutil.copytree(f"{KEPT}/{name}", folder)
    shutil.copy(f"{KEPT}/images.idx", path(to))
    with open(f"{folder}/resolved.yaml") as f:
        text = f.read()
    assert MADE_IN in text
    with open(f"{folder}/resolved.yaml", "w") as f:
        f.write(text.replace(MADE_IN, path(to)))
    return folder, read_safetensors(f"{KEPT}/{name}-expected.safetensors")[0]


def differ(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def they_are_read():
    for name in RUNS:
        run, _ = kept(name, "read")
        assert "ddim" in demist("info", run)[0]
        assert "model." in demist("inspect", f"{run}/checkpoints/step-00000004.safetensors")[0]


def they_are_sampled():
    for name in RUNS:
        run, expected = kept(name, "sampled")
        for what in run, f"{run}/checkpoints/step-00000004.safetensors":
            demist("sample", what, "--count", 4, "--tensors", path("x.safetensors"), "--force", f"device={DEVICE}")
            want, got = floats(expected["samples"]), floats(read_safetensors(path("x.safetensors"))[0]["x"])
            assert differ(want, got) <= SAMPLES * (max(want) - min(want)), (what, differ(want, got))
        print(f"{name}: samples {'equal' if want == got else 'differ'}")


def they_are_resumed():
    for name in RUNS:
        run, expected = kept(name, "resumed")
        demist("resume", run, "train.steps=8", f"device={DEVICE}")
        want = array.array("d", expected.pop("losses")[2])
        lines = [line for line in log_lines(run) if "loss" in line]
        assert [line["step"] for line in lines] == list(range(1, 9)), lines
        assert differ([1] * 4, [line["loss"] / w for line, w in zip(lines[4:], want)]) <= TRAINED, (name, lines, want)
        got = read_safetensors(f"{run}/checkpoints/step-00000008.safetensors")[0]
        expected.pop("samples")
        assert len(expected) == sum(k.startswith("model.") for k in got) > 0
        for k, tensor in expected.items():
            w = floats(tensor)
            assert differ(w, floats(got[k])) <= TRAINED * max(map(abs, w)) + 1e-6, (name, k)
        print(f"{name}: {sum(t == got[k] for k, t in expected.items())} of {len(expected)} weights equal")


run_tests([they_are_read, they_are_sampled, they_are_resumed])
