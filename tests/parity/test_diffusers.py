"""Models in diffusers' layout: what they predict against recorded outputs of diffusers, and what is refused.
tools/make_diffusers_fixtures.py makes the models, tools/compare_diffusers.py compares many more, live."""
import array
import json
import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, demist, floats, path, read_safetensors, run_tests, write_safetensors  # noqa: E402

MODELS = os.path.join(os.environ["DEMIST_TEST_DATA"], "diffusers")
WEIGHTS = "diffusion_pytorch_model.safetensors"


def copy(model, name):
    shutil.copytree(os.path.join(MODELS, model), path(name))
    return path(name)


def predict(folder, out, **kwargs):
    given = os.path.join(MODELS, "plain", "expected.safetensors") if not os.path.exists(f"{folder}/expected.safetensors") \
        else f"{folder}/expected.safetensors"
    return demist("predict", folder, f"device={DEVICE}", "--in", given, "--out", path(out), **kwargs)


def agrees(model, limit):
    predict(os.path.join(MODELS, model), f"{model}.st")
    got = floats(read_safetensors(path(f"{model}.st"))[0]["out"])
    want = floats(read_safetensors(os.path.join(MODELS, model, "expected.safetensors"))[0]["out"])
    assert len(got) == len(want)
    most = max(abs(a - b) for a, b in zip(got, want)) / max(map(abs, want))
    assert most <= limit, f"{model}: {most:.1e} of the largest output"


def predict_equals_unet2dmodel():
    agrees("plain", 1e-4)
    agrees("adm", 1e-4)
    agrees("fourier", 5e-4)


def predict_reads_old_names_shards_and_bfloat16():
    agrees("old", 1e-4)


def edit(folder, **change):
    """Keys of the config changed; None removes one."""
    file = os.path.join(folder, "config.json")
    config = {**json.load(open(file)), **change}
    json.dump(config, open(file, "w"))


def predict_refuses_unknown_config():
    for i, (change, words) in enumerate([
            (dict(down_block_types=["DownBlock2D", "SkipDownBlock2D"]), ["SkipDownBlock2D", "AttnDownBlock2D"]),
            (dict(up_block_types=["AttnSkipUpBlock2D", "UpBlock2D"]), ["AttnSkipUpBlock2D"]),
            (dict(down_block_types=["KDownBlock2D", "DownBlock2D"]), ["KDownBlock2D"]),
            (dict(down_block_types=["DownBlock2D"]), ["down_block_types", "1 entries"]),
            (dict(act_fn="softplus"), ["act_fn", "softplus"]),
            (dict(class_embed_type="identity"), ["class_embed_type", "identity"]),
            (dict(resnet_time_scale_shift="spatial"), ["spatial"]),
            (dict(norm_num_group=2), ["norm_num_group'", "norm_num_groups"]),
            (dict(cross_attention_dim=8), ["cross_attention_dim"]),
            (dict(_class_name="UNet2DConditionModel"), ["UNet2DConditionModel"]),
            (dict(layers_per_block="2"), ["layers_per_block", "whole number"]),
            (dict(block_out_channels=[4, -8]), ["block_out_channels"]),
            (dict(in_channels=1e18), ["in_channels"]),
            (dict(out_channels=0), ["out_channels"]),
            (dict(time_embedding_type="learned"), ["num_train_timesteps"]),
            (dict(norm_num_groups=3), ["groups"])]):
        folder = copy("plain", f"config{i}")
        edit(folder, **change)
        _, err = predict(folder, "no.st", code=2)
        for w in words:
            assert w in err, f"{change}: {w} is not in: {err}"


def change_weights(name, change):
    folder = copy("plain", name)
    tensors, _ = read_safetensors(f"{folder}/{WEIGHTS}")
    change(tensors)
    write_safetensors(f"{folder}/{WEIGHTS}", tensors)
    return folder


def predict_lists_tensors_that_do_not_fit():
    def spoil(t):
        t["conv_im.weight"] = t.pop("conv_in.weight")
        del t["conv_out.bias"]
        t["extra.weight"] = ("F32", [1], b"\0" * 4)
        t["conv_norm_out.weight"] = ("F32", [2], t["conv_norm_out.weight"][2][:8])

    _, err = predict(change_weights("spoiled", spoil), "no.st", code=5)
    for words in (["has no tensor 'conv_in.weight'", "'conv_im.weight'"], ["has no tensor 'conv_out.bias'"], ["no tensor 'extra.weight'"],
                  ["'conv_norm_out.weight' is [2]; [4] is needed"], ["no tensor 'conv_im.weight'; it lacks 'conv_in.weight'"]):
        assert any(all(w in line for w in words) for line in err.splitlines()), f"{words}: {err}"


def predict_refuses_nan():
    def spoil(t):
        k = "conv_out.bias"
        t[k] = (t[k][0], t[k][1], struct.pack("<f", float("nan")) + t[k][2][4:])

    _, err = predict(change_weights("nan", spoil), "no.st", code=5)
    assert "conv_out.bias" in err and "not finite" in err


def predict_refuses_broken_files():
    folder = copy("plain", "short")
    data = open(f"{folder}/{WEIGHTS}", "rb").read()
    open(f"{folder}/{WEIGHTS}", "wb").write(data[:-100])
    predict(folder, "no.st", code=5)
    open(f"{folder}/{WEIGHTS}", "wb").write(struct.pack("<Q", 1 << 62) + data[8:])
    predict(folder, "no.st", code=5)
    os.rename(f"{folder}/{WEIGHTS}", f"{folder}/diffusion_pytorch_model.bin")
    _, err = predict(folder, "no.st", code=2)
    assert "pickle" in err and "safe_serialization" in err
    open(f"{folder}/config.json", "w").write("{")
    predict(folder, "no.st", code=5)


def predict_refuses_an_index_that_leaves_the_folder():
    for i, name in enumerate(["../plain/diffusion_pytorch_model.safetensors", "/etc/passwd.safetensors", "..safetensors.safetensors",
                              "sub/x.safetensors", "config.json", "missing-shard.safetensors"]):
        folder = copy("old", f"index{i}")
        file = f"{folder}/{WEIGHTS}.index.json"
        index = json.load(open(file))
        index["weight_map"]["conv_in.weight"] = name
        json.dump(index, open(file, "w"))
        _, err = predict(folder, "no.st", code=None)
        assert name in err, err
    folder = copy("old", "index_wrong")
    file = f"{folder}/{WEIGHTS}.index.json"
    index = json.load(open(file))
    index["weight_map"]["conv_up.weight"] = sorted(set(index["weight_map"].values()))[0]
    json.dump(index, open(file, "w"))
    _, err = predict(folder, "no.st", code=5)
    assert "conv_up.weight" in err


if __name__ == "__main__":
    run_tests([predict_equals_unet2dmodel, predict_reads_old_names_shards_and_bfloat16, predict_refuses_unknown_config,
               predict_lists_tensors_that_do_not_fit, predict_refuses_nan, predict_refuses_broken_files,
               predict_refuses_an_index_that_leaves_the_folder])
