"""demist convert: UNets of improved-diffusion and guided-diffusion against recorded outputs of PyTorch.
tools/make_convert_fixtures.py records them, tools/compare_convert.py compares many more, live."""
import array
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, demist, floats, path, read_safetensors, run_tests, write_safetensors  # noqa: E402
from guided_cases import CASES, weights  # noqa: E402

DATA = os.path.join(os.environ["DEMIST_TEST_DATA"], "guided")


def theirs(case):
    shapes = json.loads(read_safetensors(os.path.join(DATA, f"{case}.safetensors"))[1]["shapes"])
    return {k: ("F32", s, weights(k, s).tobytes()) for k, s in shapes.items()}


def convert(case, name, *more, change=None, code=0):
    tensors = theirs(case)
    if change:
        change(tensors)
    write_safetensors(path(f"{name}-theirs.safetensors"), tensors)
    return demist("convert", path(f"{name}-theirs.safetensors"), *CASES[case][1], *more, "--to", path(f"{name}.safetensors"), code=code)


def difference(model, case, *more):
    """Of what the model predicts from what is recorded, over the largest output."""
    given = os.path.join(DATA, f"{case}.safetensors")
    demist("predict", model, *more, f"device={DEVICE}", "--in", given, "--out", path("out.st"), "--force")
    got, want = floats(read_safetensors(path("out.st"))[0]["out"]), floats(read_safetensors(given)[0]["out"])
    assert len(got) == len(want)
    return max(abs(a - b) for a, b in zip(got, want)) / max(map(abs, want))


def predicts_as_recorded():
    for case in CASES:
        convert(case, case)
        most = difference(path(f"{case}.safetensors"), case)
        assert most <= 1e-4, f"{case}: {most:.1e} of the largest output"


def what_is_not_seen_matters():
    convert("improved", "order", "--qkv", "new")
    assert difference(path("order.safetensors"), "improved") > 1e-3
    convert("improved", "heads", "network.heads=2")
    assert difference(path("heads.safetensors"), "improved") > 1e-3
    convert("improved", "scale", "network.time_scale=0.25")
    assert difference(path("scale.safetensors"), "improved") > 1e-3
    assert difference(path("scale.safetensors"), "improved", "network.time_scale=1") < 1e-4


def the_experiment_is_theirs():
    convert("improved", "learned", "schedule.use=cosine", "schedule.timesteps=40", "--size", 8)
    text = read_safetensors(path("learned.safetensors"))[1]["experiment"]
    for line in "use: cosine", "timesteps: 40", "use: hybrid", "variance: learned", "heads: 4", "eps: 1e-05", "scale_shift: false":
        assert line in text, f"{line}: {text}"
    convert("guided", "fixed", "--size", "8x12", "schedule.timesteps=500")
    text, meta = read_safetensors(path("fixed.safetensors"))[1]["experiment"], read_safetensors(path("fixed.safetensors"))[1]
    for line in "per_1000: true", "use: simple", "variance: fixed_large", "time_in: 64", "down_resnet: [1, 0]", "up_resnet: [0, 1]", "class_rows: 5":
        assert line in text, f"{line}: {text}"
    assert meta["data.shape"] == "1,8,12" and meta["data.classes"] == "5"


def sample_and_train_take_it():
    convert("improved", "sized", "--size", 8)
    for more in ([], ["sampler.use=ddim"]):
        demist("sample", path("sized.safetensors"), *more, "sampler.steps=4", f"device={DEVICE}", "--tensors", path("x.st"), "--force")
        x = read_safetensors(path("x.st"))[0]["x"]
        assert x[1] == [1, 3, 8, 8] and all(abs(v) <= 1.5 for v in floats(x))
    convert("improved", "unsized")
    _, err = demist("sample", path("unsized.safetensors"), f"device={DEVICE}", "--tensors", path("no.st"), code=2)
    assert "--size" in err
    pixels = bytes(i * 37 % 256 for i in range(4 * 8 * 8 * 3))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 3, 8, 8), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    open(path("x.npy"), "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pixels)
    text = read_safetensors(path("sized.safetensors"))[1]["experiment"]
    network = text[text.index("network:"):text.index("objective:")]
    open(path("e.yaml"), "w").write(f"data: {{use: npy, file: {path('x.npy')}}}\nschedule: {{use: linear}}\n{network}objective: {{use: hybrid}}\n"
                                    f"sampler: {{use: ddpm}}\ntrain: {{steps: 1, batch: 2, lr: 0, from: {path('sized.safetensors')}}}\n")
    demist("train", path("e.yaml"), f"output={path('run')}", f"device={DEVICE}")
    ours = read_safetensors(path("sized.safetensors"))[0]
    saved = read_safetensors(path("run/checkpoints/step-00000001.safetensors"))[0]
    assert all(saved["model." + k] == v for k, v in ours.items())


def export_where_diffusers_can_express_it():
    def whole(t):  # the time embedding as wide as the first level
        t["time_embed.0.weight"] = ("F32", [256, 32], weights("time_embed.0.weight", [256, 32]).tobytes())

    convert("guided", "plain", "--size", 8, change=whole)
    demist("export", path("plain.safetensors"), "--to", "diffusers", path("plain"))
    given = os.path.join(DATA, "guided.safetensors")
    for model, out in ("plain.safetensors", "a.st"), ("plain", "b.st"):
        demist("predict", path(model), f"device={DEVICE}", "--in", given, "--out", path(out))
    assert read_safetensors(path("a.st"))[0] == read_safetensors(path("b.st"))[0]
    for case, word in ("guided", "time_in"), ("improved", "heads"):
        convert(case, f"no-{case}", "--size", 8)
        _, err = demist("export", path(f"no-{case}.safetensors"), "--to", "diffusers", path(f"no-{case}"), code=2)
        assert word in err, err
    _, err = demist("export", path("plain.safetensors"), "network.time_scale=0.5", "--to", "diffusers", path("no"), code=2)
    assert "time_scale" in err, err


def every_tensor_that_does_not_fit_is_listed():
    def spoil(t):
        t["out.0.wieght"] = t.pop("out.0.weight")
        del t["middle_block.1.qkv.bias"]
        t["extra.weight"] = ("F32", [1], b"\0" * 4)
        t["time_embed.2.bias"] = ("F32", [2], b"\0" * 8)
        t["output_blocks.0.0.skip_connection.weight"] = ("F32", [64, 128, 3, 3], b"\0" * (64 * 128 * 36))

    _, err = convert("improved", "spoiled", change=spoil, code=5)
    for words in (["no tensor 'out.0.weight'", "'out.0.wieght'"], ["no tensor 'middle_block.1.qkv.bias'"], ["no tensor 'extra.weight'"],
                  ["'time_embed.2.bias' is [2]; [128] is needed"], ["no tensor 'out.0.wieght'"],
                  ["'output_blocks.0.0.skip_connection.weight' is [64, 128, 3, 3]; [64, 128, 1, 1] is needed"]):
        assert any(all(w in line for w in words) for line in err.splitlines()), f"{words}: {err}"
    assert not os.path.exists(path("spoiled.safetensors"))


def other_files_are_refused():
    def without(prefix):
        return lambda t: [t.pop(k) for k in list(t) if k.startswith(prefix)]

    def three_channels_to_one(t):
        t["out.2.weight"] = ("F32", [1, 32, 3, 3], b"\0" * 4 * 288)

    for i, (change, words) in enumerate([(without("input_blocks.0."), ["input_blocks.0.0.weight"]), (without("output_blocks."), ["output_blocks"]),
                                         (without("input_blocks.2."), ["input_blocks.2", "conv_resample"]),
                                         (without("output_blocks.3."), ["no levels"]), (three_channels_to_one, ["1 channels out of 3"])]):
        _, err = convert("improved", f"odd{i}", change=change, code=5)
        for w in words:
            assert w in err, f"{w} is not in: {err}"
    _, err = demist("convert", os.path.join(DATA, "guided.safetensors"), "--to", path("no.safetensors"), code=5)
    assert "not a UNet of improved-diffusion" in err
    data = open(path("odd0-theirs.safetensors"), "rb").read()
    open(path("short.safetensors"), "wb").write(data[:-100])
    demist("convert", path("short.safetensors"), "--to", path("no.safetensors"), code=5)


def wrong_arguments_are_refused():
    for more, words, code in ((["network.heads=3"], "no multiple of network.heads = 3", 2), (["network.haeds=3"], "haeds", 2), (["network={use: mlp}"], "unet", 2),
                              (["--size", "9"], "multiples of 2", 2), (["--size", "8x"], "--size", 2), (["--qkv", "mixed"], "mixed", 2)):
        _, err = convert("improved", "wrong", *more, code=code)
        assert words in err, err
    convert("improved", "there")
    _, err = convert("improved", "there", code=2)
    assert "--force" in err
    convert("improved", "there", "--force")
    assert not os.path.exists(path("wrong.safetensors"))


def nan_is_refused_unless_asked_for():
    def spoil(t):
        t["middle_block.1.qkv.bias"] = ("F32", [192], array.array("f", [float("nan")] * 192).tobytes())

    _, err = convert("improved", "nan", change=spoil, code=5)
    assert "middle_block.1.qkv.bias" in err and "allow_nan" in err and not os.path.exists(path("nan.safetensors"))
    convert("improved", "nan", "allow_nan=true", change=spoil)


if __name__ == "__main__":
    run_tests([predicts_as_recorded, what_is_not_seen_matters, the_experiment_is_theirs, sample_and_train_take_it,
               export_where_diffusers_can_express_it, every_tensor_that_does_not_fit_is_listed, other_files_are_refused,
               wrong_arguments_are_refused, nan_is_refused_unless_asked_for])
