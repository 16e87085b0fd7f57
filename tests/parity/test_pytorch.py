"""Training from diffusers' weights against what PyTorch makes of them in double precision, recorded: ten AdamW steps
with clipping, weight decay, micro-batches that do not divide the batch, epochs that end inside it, averages with
warm-up. tools/make_training_fixtures.py makes what is expected, tools/compare_training.py compares more, live."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, demist, floats, log_lines, path, read_safetensors, run_tests  # noqa: E402

DATA = os.environ["DEMIST_TEST_DATA"]


def write_npy(file, tensor):
    _, shape, data = tensor
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    open(file, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


def norm(values):
    return sum(v * v for v in values) ** 0.5


def trains_like_pytorch(model):
    want = read_safetensors(f"{DATA}/training/{model}/expected.safetensors")[0]
    start = read_safetensors(f"{DATA}/diffusers/{model}/diffusion_pytorch_model.safetensors")[0]
    experiment = json.load(open(f"{DATA}/training/{model}/experiment.json"))
    write_npy(path(f"{model}.npy"), want["images"])
    experiment["data"]["file"] = path(f"{model}.npy")
    experiment["train"]["from"] = f"{DATA}/diffusers/{model}"
    json.dump(experiment, open(path(f"{model}.yaml"), "w"))
    demist("train", path(f"{model}.yaml"), f"device={DEVICE}", f"output={path(model)}")
    lines = log_lines(path(model))
    for key, name, limit in ("loss", "losses", 1e-4), ("grad_norm", "norms", 1e-3):
        expected = struct.unpack("<10d", want[name][2])
        for i, v in enumerate(expected):
            assert abs(lines[i][key] - v) <= limit * v, f"{model}, step {i + 1}: {key} is {lines[i][key]}, not {v}"
    got = read_safetensors(path(model, "checkpoints/step-00000010.safetensors"))[0]
    compared = [k for k in want if k.startswith(("model.", "ema."))]
    assert len(compared) > 15
    for k in compared:
        key = k.split(".", 1)[1] if k.startswith("model.") else k.split(".", 2)[2]
        a, b, was = floats(got[k]), floats(want[k]), floats(start[key])
        if "time_proj" in k:  # frequencies are not trained, and do not decay
            assert a == b == was, k
            continue
        moved, off = norm(p - q for p, q in zip(b, was)), norm(p - q for p, q in zip(a, b))
        assert moved > 0 and off <= 1e-3 * moved, f"{model}: {k} is {off / moved:.1e} of its way beside PyTorch's"


def a_network_with_attention():
    trains_like_pytorch("plain")


def frequencies_that_are_not_trained():
    trains_like_pytorch("fourier")


if __name__ == "__main__":
    run_tests([a_network_with_attention, frequencies_that_are_not_trained])
