"""Folders of diffusers' DiTTransformer2DModel: what they predict and draw against recorded outputs of diffusers, what is
written, and what is refused. tools/make_diffusers_fixtures.py makes them; tools/compare_diffusers.py and
compare_export.py compare many more, live."""
import array
import json
import os
import re
import resource
import shutil
import struct

from test_diffusers import DEVICE, MODELS, WEIGHTS, agrees, copy, difference, edit, predict, same_folders, walks_like
from cli import demist, floats, path, read_safetensors, run_tests, write_safetensors

SMALL = "use: dit, patch: 4, width: 16, depth: 2, heads: 2"


def predictions_are_diffusers():
    """Both of the null class, too; the second with a learned variance, and no bias in attention."""
    for model in "dit", "dit_learned":
        assert 3 in array.array("q", read_safetensors(os.path.join(MODELS, model, "expected.safetensors"))[0]["y"][2])
        agrees(model, 1e-4)


def what_is_read_matters():
    """Each option that only such folders need changes the output."""
    folder = os.path.join(MODELS, "dit")
    want = floats(read_safetensors(f"{folder}/expected.safetensors")[0]["out"])
    for i, key in enumerate(["freq_shift=0", "hidden_eps=0", "positions_side=2", "eps=1e-2", "heads=4"]):
        predict(folder, f"key{i}.st", f"network.{key}")
        got = floats(read_safetensors(path(f"key{i}.st"))[0]["out"])
        assert max(abs(a - b) for a, b in zip(got, want)) > 1e-3 * max(map(abs, want)), key


def samples_walk_as_diffusers_do():
    walks_like("dit")


def pipeline(name, vae=False, **index):
    """As DiTPipeline saves its parts."""
    for part, files in ("transformer", ["config.json", WEIGHTS]), ("scheduler", ["scheduler_config.json"]):
        os.makedirs(path(name, part))
        for f in files:
            shutil.copy(os.path.join(MODELS, "dit", f), path(name, part, f))
    json.dump({"_class_name": "DiTPipeline", "transformer": ["diffusers", "DiTTransformer2DModel"], **index}, open(path(name, "model_index.json"), "w"))
    if vae:
        os.makedirs(path(name, "vae"))
        json.dump({"_class_name": "AutoencoderKL"}, open(path(name, "vae", "config.json"), "w"))
    return path(name)


def pipelines_are_read():
    folder, few = pipeline("pipe"), ("sampler.steps=3", f"device={DEVICE}", "--count", "3", "-q")
    out, _ = demist("info", folder)
    assert "dit, 19284 parameters" in out and "0 to 2, or none" in out, out
    demist("check", folder)
    demist("sample", folder, *few, "--class", "2", "guidance.use=cfg", "guidance.scale=2", "--out", path("pipe.png"))
    for i, of in enumerate([folder, path("pipe", "transformer"), os.path.join(MODELS, "dit")]):
        demist("sample", of, *few, "--class", "none", "--tensors", path(f"pipe{i}.st"))
    assert len({open(path(f"pipe{i}.st"), "rb").read() for i in range(3)}) == 1
    latents = pipeline("latents", vae=True)
    assert "data        latents of " in demist("info", latents)[0]
    for of in latents, path("latents", "transformer"):
        _, err = demist("sample", of, *few, "--out", path("latents.png"), code=2)
        assert "latents" in err and "vae" in err and "--tensors" in err, err
        demist("sample", of, *few, "--class", "none", "--tensors", path("latents.st"), "--force")
        assert open(path("latents.st"), "rb").read() == open(path("pipe0.st"), "rb").read()


def classes_have_the_pipelines_names():
    """The first of each class's; a number where there is none, or none that could be asked for."""
    few = ("sampler.steps=2", f"device={DEVICE}", "--count", "2", "-q")
    folder = pipeline("named", id2label={"0": "boot, wellington", "1": "boot, ankle", "2": " great white shark, man-eater", "x": "y", "7": "z"})
    for of in folder, path("named", "transformer"):
        assert "class       0 boot, 1 1, 2 great white shark, or none" in demist("info", of)[0]
    for name in "great white shark", "2":
        demist("sample", folder, *few, "--class", name, "--tensors", path(f"{name}.st"))
    assert read_safetensors(path("2.st"))[0] == read_safetensors(path("great white shark.st"))[0]
    _, err = demist("sample", folder, *few, "--class", "boots", "--tensors", path("no.st"), code=2)
    assert "did you mean 'boot'" in err, err
    out, _ = demist("info", pipeline("odd", id2label={"0": "none", "1": "a/b", "2": "x" * 100}))
    assert "0 0, 1 1, 2 2, or none" in out, out
    for i, (labels, said) in enumerate([(None, "0 to 2"), ({}, "0 to 2"), ({"0": 3, "1": None, "2": "\x1b[31m"}, "0 0, 1 1, 2 2"),
                                        ({"0": "7", "1": "2nd", "2": ""}, "0 0, 1 1, 2 2")]):
        assert said in demist("info", pipeline(f"odd{i}", id2label=labels))[0], labels
    _, err = demist("info", pipeline("wrong", id2label=["boot"]), code=5)
    assert "model_index.json" in err and "id2label" in err, err
    open(path("wrong", "model_index.json"), "w").write("{")
    _, err = demist("info", path("wrong"), code=5)
    assert "model_index.json" in err, err


def export_and_read_again():
    for model in "dit", "dit_learned":
        demist("export", os.path.join(MODELS, model), "--to", "diffusers", path(model, "1"))
        demist("export", path(model, "1"), "--to", "diffusers", path(model, "2"))
        assert same_folders(path(model, "1"), path(model, "2")) == ["scheduler/scheduler_config.json", "transformer/config.json",
                                                                    f"transformer/{WEIGHTS}"]
        there, meta = read_safetensors(path(model, "1", "transformer", WEIGHTS))
        assert there == read_safetensors(os.path.join(MODELS, model, WEIGHTS))[0] and meta == {"format": "pt"}
        for file in "transformer/config.json", "scheduler/scheduler_config.json":
            theirs = json.load(open(os.path.join(MODELS, model, os.path.basename(file))))
            for k, v in json.load(open(path(model, "1", file))).items():
                assert theirs[k] == v or (k, v, theirs[k]) == ("out_channels", 1, None), f"{model}: {k} is {v}, not {theirs[k]}"


def train(out, *more, classes=True):
    x = array.array("B", [(i * i) % 251 for i in range(16 * 64)])
    open(path("x.idx"), "wb").write(struct.pack(">IIII", 0x803, 16, 8, 8) + x.tobytes())
    open(path("y.idx"), "wb").write(struct.pack(">II", 0x801, 16) + bytes(i % 3 for i in range(16)))
    open(path("e.yaml"), "w").write(f"""
device: "{DEVICE}"
data: {{use: idx, train_images: {path("x.idx")}{f", train_labels: {path('y.idx')}, classes: 3" if classes else ""}}}
schedule: {{use: linear}}
network: {{{SMALL}, freq_shift: 1}}
objective: {{use: simple}}
sampler: {{use: ddim, steps: 5}}
train: {{steps: 3, batch: 4, lr: 1.0e-2}}
""")
    demist("train", path("e.yaml"), f"output={path(out)}", *more)


def runs_are_written():
    """One embedding becomes one of each block; a model without classes becomes one of a class that says nothing."""
    given = read_safetensors(os.path.join(MODELS, "dit", "expected.safetensors"))[0]
    for name, more, classes, rows in ("classes", ["train.drop_condition=[0.2]"], True, 4), ("none", [], False, 2), \
            ("blind", ["network.class_embed=false", "network.block_embed=true", "network.qkv_bias=false"], True, 2), \
            ("learned", ["objective={use: hybrid}", "network.hidden_eps=1e-3"], True, 4), ("vlb", ["objective={use: vlb, variance: range}"], True, 4):
        train(name, *more, classes=classes)
        _, err = demist("export", path(name), "--to", "diffusers", path(f"{name}-out"))
        assert "DiTTransformer2DModel.from_pretrained" in err and "DDIMScheduler" in err, err
        tensors, _ = read_safetensors(path(f"{name}-out/transformer", WEIGHTS))
        tables = [tensors[f"transformer_blocks.{i}.norm1.emb.class_embedder.embedding_table.weight"] for i in range(2)]
        assert all(t[1] == [rows, 16] for t in tables) and (rows == 4) == any(floats(tables[0])), tables
        config = json.load(open(path(f"{name}-out/transformer/config.json")))
        assert (config["num_embeds_ada_norm"], config["out_channels"]) == (rows - 1, 1 + (name in ("learned", "vlb"))), config
        demist("export", path(f"{name}-out"), "--to", "diffusers", path(f"{name}-again"))
        same_folders(path(f"{name}-out"), path(f"{name}-again"))
        for i, of in enumerate([path(name), path(f"{name}-out")]):
            told = {"y": ("I64", [2], array.array("q", [2, 1] if rows == 4 else [0, 0]).tobytes())} if classes or i else {}
            write_safetensors(path("in.st"), {"x": given["x"], "t": given["t"], **told})
            demist("predict", of, f"device={DEVICE}", "--in", path("in.st"), "--out", path(f"{name}{i}.st"))
        a, b = (floats(read_safetensors(path(f"{name}{i}.st"))[0]["out"]) for i in range(2))
        assert any(a) and difference(a, b) < 1e-5, name


def training_begins_with_them():
    net = "network={%s, freq_shift: 1, hidden_eps: 1e-2, block_embed: true, patch: 2%s}"
    for name, more, warned in ("same", "", []), ("other", ", positions: none", ["positions is none"]):
        _, err = demist("train", path("e.yaml"), f"data.train_labels={path('y.idx')}", "data.classes=3", f"output={path('from', name)}", f"train.from={pipeline('p' + name)}",
                        "train.lr=0", net % (SMALL.replace("patch: 4, ", ""), ", positions_side: 4" + more))
        assert err.count("for the weights of") == len(warned) and all(w in err for w in warned), err
        got = read_safetensors(path("from", name, "checkpoints/step-00000003.safetensors"))[0]
        for k, v in read_safetensors(os.path.join(MODELS, "dit", WEIGHTS))[0].items():
            assert got["model." + k] == v, k


def what_diffusers_lacks_is_refused():
    for i, (key, words) in enumerate([
            ("freq_shift=0", "network.freq_shift=1"), ("eps=1e-5", "network.eps=1e-06"), ("mlp_ratio=2", "network.mlp_ratio=4"),
            ("time_scale=2", "network.time_scale=1"), ("norm=rms", "network.norm=layer"), ("positions=rope", "network.positions=sincos"),
            ("qk_norm=rms", "network.qk_norm=none"), ("time_in=128", "network.time_in=256"), ("positions_side=3", "network.positions_side=0")]):
        _, err = demist("export", path("classes"), f"network.{key}", "--to", "diffusers", path(f"refused{i}"), code=2)
        assert words in err and "diffusers cannot express" in err and not os.path.exists(path(f"refused{i}")), err
    train("derived", "condition.derive=[mask]")
    _, err = demist("export", path("derived"), "--to", "diffusers", path("refused"), code=2)
    assert "no conditions but the class" in err, err


def configs_are_refused():
    for i, (change, words) in enumerate([
            (dict(norm_type="ada_norm"), ["norm_type", "ada_norm_zero"]), (dict(activation_fn="geglu"), ["activation_fn", "geglu", "gelu-approximate"]),
            (dict(norm_elementwise_affine=True), ["norm_elementwise_affine", "false or null"]),
            (dict(cross_attention_dim=64), ["cross_attention_dim", "false or null"]), (dict(attention_type="gated"), ["attention_type", "gated"]),
            (dict(num_embeds_ada_norm=None), ["num_embeds_ada_norm", "integer"]), (dict(num_embeds_ada_norm=1 << 40), ["num_embeds_ada_norm"]),
            (dict(sample_size=[8, 8]), ["sample_size", "integer"]), (dict(sample_size=9), ["sample_size", "patch_size"]),
            (dict(sample_size=1 << 40), ["sample_size", "16384"]), (dict(sample_size=16384, patch_size=1), ["268435456 tokens", "too large"]),
            (dict(patch_size=0), ["patch_size"]), (dict(num_attention_heads=3, attention_head_dim=5), ["attention_head_dim", "multiple of 4"]),
            (dict(num_attention_heads=1024, attention_head_dim=65536), ["attention_head_dim", "at most 65536"]),
            (dict(num_attention_heads=-2), ["num_attention_heads"]), (dict(num_layers=1e9), ["num_layers"]), (dict(norm_eps=0), ["norm_eps", "above 0"]),
            (dict(norm_eps=None), ["norm_eps", "number"]), (dict(out_channels=0), ["out_channels"]),
            (dict(in_channels=2, out_channels=1), ["out_channels", "below in_channels"]), (dict(attention_bias="yes"), ["attention_bias"]),
            (dict(dropout=3), ["dropout"]), (dict(patch_sizes=2), ["patch_sizes'", "'patch_size'"]),
            (dict(_class_name="Transformer2DModel", norm_type="layer_norm"), ["norm_type"]),
            (dict(_class_name="PixArtTransformer2DModel"), ["PixArtTransformer2DModel", "DiTTransformer2DModel"])]):
        folder = copy("dit", f"config{i}")
        edit(folder, **change)
        _, err = predict(folder, "no.st", code=2)
        assert all(w in err for w in words), (change, err)
    folder = copy("dit", "untyped")
    config = json.load(open(f"{folder}/config.json"))
    del config["norm_type"]
    json.dump({**config, "_class_name": "Transformer2DModel"}, open(f"{folder}/config.json", "w"))
    _, err = predict(folder, "no.st", code=2)
    assert "norm_type" in err, err


def as_it_was_called():
    folder = copy("dit", "called")
    edit(folder, _class_name="Transformer2DModel", cross_attention_dim=None, num_vector_embeds=None, only_cross_attention=False,
         double_self_attention=False, use_linear_projection=False, attention_type="default")
    predict(folder, "called.st")
    got, want = (floats(read_safetensors(f)[0]["out"]) for f in (path("called.st"), f"{folder}/expected.safetensors"))
    assert difference(got, want) < 1e-4


def weights_are_refused():
    first = "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"

    def spoil(t):
        t["pos_embed.proj.weigh"] = t.pop("pos_embed.proj.weight")
        t[first] = ("F32", [3, 16], t[first][2][:3 * 64])
        t["transformer_blocks.2.attn1.to_q.bias"] = ("F32", [16], bytes(64))

    folder = copy("dit", "spoiled")
    tensors, _ = read_safetensors(f"{folder}/{WEIGHTS}")
    spoil(tensors)
    write_safetensors(f"{folder}/{WEIGHTS}", tensors)
    _, err = predict(folder, "no.st", code=5)
    for words in ["has no tensor 'pos_embed.proj.weight'"], [f"'{first}' is [3, 16]; [4, 16] is needed"], ["no tensor 'transformer_blocks.2.attn1.to_q.bias'"]:
        assert any(all(w in line for w in words) for line in err.splitlines()), f"{words}: {err}"
    folder = copy("dit", "pickle")
    os.rename(f"{folder}/{WEIGHTS}", f"{folder}/diffusion_pytorch_model.bin")
    _, err = predict(folder, "no.st", code=2)
    assert "DiTTransformer2DModel.from_pretrained" in err, err
    for i, (shape, offsets) in enumerate([([1 << 62, 1 << 62], [0, 64]), ([16], [0, 1 << 60]), ([-16], [0, 64])]):
        folder = copy("dit", f"header{i}")
        header = json.dumps({first: {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
        open(f"{folder}/{WEIGHTS}", "wb").write(struct.pack("<Q", len(header)) + header + bytes(64))
        predict(folder, "no.st", code=5)


def weights_that_are_not_there_are_counted():
    """Layers that are promised and not there are refused in seconds, with the first of them and how many more."""
    folder, few = copy("dit", "many"), copy("plain", "more")
    edit(folder, num_layers=1024)
    edit(few, layers_per_block=16)
    data = [path("e.yaml"), f"train.from={os.path.join(MODELS, 'dit')}", "network.depth=1024"]
    train("any")
    for args, total in ((["info", folder], 0), (["sample", folder, f"device={DEVICE}", "--tensors", path("no.st")], 19398), (["check", *data], 0),
                        (["sample", few, f"device={DEVICE}", "--tensors", path("no.st")], None)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _, err = demist(*args, code=5)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime - before.ru_utime < 10, (args, after.ru_utime - before.ru_utime)
        assert "does not fit this network" in err and len(err.splitlines()) <= 30, err
        assert total == 0 or len(re.findall("^'.*has no tensor", err, re.M)) == 20 and re.search(rf"^and {total or '[1-9][0-9]*'} more$", err, re.M), err


if __name__ == "__main__":
    run_tests([predictions_are_diffusers, what_is_read_matters, samples_walk_as_diffusers_do, pipelines_are_read, classes_have_the_pipelines_names, export_and_read_again, runs_are_written,
               training_begins_with_them, what_diffusers_lacks_is_refused, configs_are_refused, as_it_was_called, weights_are_refused,
               weights_that_are_not_there_are_counted])
