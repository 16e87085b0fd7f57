"""Models of conditions: images besides x, made from x itself in training and given when sampling."""
import os
import struct
import subprocess

from cli import DEVICE, SOURCE, demist, floats, log_lines, path, read_safetensors, run_tests, same_tensors, write_npy, write_safetensors

LAST = "checkpoints/step-00000240.safetensors"
SIDE, COUNT = 8, 48


def write_data():
    """Images of one brightness each, with a little texture."""
    for name, shift in (("x", 0), ("t", 3)):
        values = [min(255, 17 * ((i + shift) % 16) + (p * p + i) % 5) for i in range(COUNT) for p in range(SIDE * SIDE)]
        with open(path(name), "wb") as f:
            f.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", COUNT, SIDE, SIDE) + bytes(values))
    with open(path("y"), "wb") as f:
        f.write(bytes([0, 0, 8, 1]) + struct.pack(">I", COUNT) + bytes(i % 2 for i in range(COUNT)))
    with open(path("exp.yaml"), "w") as f:
        f.write(f"""name: conditions
device: {DEVICE}
tune: off
data: {{use: idx, train_images: {path("x")}, test_images: {path("t")}}}
condition: {{derive: [downscale], factor: 4}}
schedule: {{use: cosine, timesteps: 100}}
network: {{use: unet, channels: [8], layers: 1, groups: 4, attend: [0], dropout: 0}}
objective: {{use: simple, predict: v}}
sampler: {{use: ddim, steps: 6}}
train: {{steps: 240, batch: 16, log_every: 20, lr: 0.01, ema: 0.9}}
""")


def write_tensors(file, **tensors):
    """name: (shape, values)."""
    write_safetensors(path(file), {k: ("F32", shape, struct.pack(f"<{len(v)}f", *v)) for k, (shape, v) in tensors.items()})
    return path(file)


def train(name, *more, **how):
    return demist("train", path("exp.yaml"), f"output={path(name)}", *more, **how)


def drawn(name, *more, file="o.safetensors"):
    err = demist("sample", path(name), *more, "--tensors", path(file), "--force", "--deterministic")[1]
    x = read_safetensors(path(file))[0]["x"]
    values = floats(x)
    size = len(values) // x[1][0]
    return [list(values[i * size:(i + 1) * size]) for i in range(x[1][0])], err


def mean(x):
    return sum(x) / len(x)


def shades(*values):
    return [v for v in values for _ in range(4)]


def a_condition_is_learned():
    """What is drawn is what the small image says; micro-batches and a stop change nothing."""
    write_data()
    train("down", "train.validate_every=120", "train.sample_every=120")
    assert os.path.exists(path("down", "samples/step-00000240.png"))
    small = write_tensors("small.safetensors", x=([4, 1, 2, 2], shades(-0.8, -0.2, 0.3, 0.8)))
    images = drawn("down", "--condition", f"downscale={small}")[0]
    means = [mean(x) for x in images]
    assert len(images) == 4 and all(abs(m - w) < 0.15 for m, w in zip(means, (-0.8, -0.2, 0.3, 0.8))), means
    out = demist("info", path("down"))[0]
    assert "condition   downscale, image 1 x 2 x 2\n" in out and "guidance    autoguidance\n" in out, out
    train("again", "train.validate_every=120", "train.sample_every=120", "train.steps=100")
    train("again", "train.validate_every=120", "train.sample_every=120", "--resume")
    assert not same_tensors(path("down", LAST), path("again", LAST))
    train("micro", "train.micro_batch=5")
    a, b = ([line["loss"] for line in log_lines(path(name)) if "loss" in line] for name in ("down", "micro"))
    assert all(abs(p - q) < 1e-2 * abs(p) for p, q in zip(a[:4], b[:4])), (a, b)
    text = read_safetensors(path("down", LAST))[1]["experiment"]
    assert "condition:\n  derive: [downscale]\n  factor: 4\n" in text, text


def each_image_has_its_own():
    """In whatever batch it is drawn; one condition may be for all."""
    small = path("small.safetensors")
    images = drawn("down", "--condition", f"downscale={small}")[0]
    assert drawn("down", "--condition", f"downscale={small}", "sampler.batch=3")[0] == images
    third = write_tensors("third.safetensors", downscale=([1, 1, 2, 2], shades(0.3)))
    assert drawn("down", "--condition", f"downscale={third}", "--first", 2, "--count", 2)[0][0] == images[2]
    assert len(drawn("down", "--condition", f"downscale={third}", "--count", 3)[0]) == 3
    demist("sample", path("down"), "--condition", f"downscale={third}", "--count", 2, "--out", path("a.png"))
    demist("sample", path("down"), "--condition", f"downscale={path('a.png')}", "--out", path("b.png"), code=2)


def refuse(name, *more, says, code=2):
    err = demist("sample", path(name), *more, "--tensors", path("no.safetensors"), code=code)[1]
    assert says in err, err
    assert not os.path.exists(path("no.safetensors"))


def conditions_that_do_not_fit():
    small = path("small.safetensors")
    refuse("down", says="this model needs downscale (image 1 x 2 x 2); only a model trained with")
    refuse("down", "--condition", f"downscal={small}", says="there is no condition 'downscal'; did you mean 'downscale'?; this model takes")
    refuse("down", "--condition", f"class={small}", says="(--class)")
    refuse("down", "--condition", small, says="give NAME=FILE")
    refuse("down", "--condition", f"downscale={small}", "--count", 5, says="5 images were requested; condition 'downscale' has 4")
    refuse("down", "--condition", f"downscale={small}", "--condition", f"downscale={small}", says="condition 'downscale' is given twice")
    refuse("down", "--condition", f"downscale={path('none.png')}", says="none.png")
    wide = write_tensors("wide.safetensors", x=([1, 1, 2, 3], [0] * 6))
    refuse("down", "--condition", f"downscale={wide}", says="this model takes downscale (image 1 x 2 x 2), not downscale (image 1 x 2 x 3)")
    nan = write_tensors("nan.safetensors", x=([1, 1, 2, 2], [0, 0, float("nan"), 0]))
    refuse("down", "--condition", f"downscale={nan}", says="condition 'downscale' has NaN at element 2")
    for args, says in ((["condition.factor=3"], "condition.factor: 3 does not divide the 8 x 8 pixels"),
                       (["condition.derive=[grey]"], "grey needs images with 3 channels; these have 1"),
                       (["condition.derive=[mask, mask]"], "value 2 repeats an earlier one"),
                       (["condition.derive=[smaller]"], "'smaller' is not one of downscale|mask|grey|noised"),
                       (["train.drop_condition=[0.1, 0.1]"], "train.drop_condition: 2 values; the conditions are downscale (image 1 x 2 x 2)"),
                       (["network={use: classifier}", "objective={use: classify}", f"data.train_labels={path('y')}"],
                        "network 'classifier' takes classes; the experiment's conditions are class of 10, downscale (image 1 x 2 x 2)"),
                       (["data={use: toy2d}", "network={use: mlp}"], "downscale needs images; the data are points")):
        err = train("bad", *args, code=2)[1]
        assert says in err, (args, err)
    err = demist("export", path("down"), "--to", "diffusers", path("folder"), code=2)[1]
    assert "has no conditions but the class" in err, err


def without_it():
    """A model trained with dropped conditions can be sampled without them, and guided."""
    train("free", "train.drop_condition=0.3")
    small = path("small.safetensors")
    plain = drawn("free", "--condition", f"downscale={small}")[0]
    none = drawn("free", "--count", 4)[0]
    assert plain != none
    assert "guidance    cfg" in demist("info", path("free"))[0]
    once = drawn("free", "--condition", f"downscale={small}", "guidance.use=cfg", "guidance.scale=1")[0]
    assert once == plain
    zero = drawn("free", "--condition", f"downscale={small}", "guidance.use=cfg", "guidance.scale=0")[0]
    assert all(abs(a - b) < 2e-3 for x, y in zip(zero, none) for a, b in zip(x, y))
    refuse("down", "--condition", f"downscale={small}", "guidance.use=cfg", says="the model is trained with train.drop_condition = 0")
    demist("train", path("exp.yaml"), f"output={path('weak')}", "condition.factor=8", "train.steps=1")
    refuse("down", "--condition", f"downscale={small}", "guidance.use=autoguidance", f"guidance.guide={path('weak')}",
           says="is conditioned on downscale (image 1 x 1 x 1), this model on downscale (image 1 x 2 x 2)")
    guided = drawn("down", "--condition", f"downscale={small}", "guidance.use=autoguidance", f"guidance.guide={path('free')}", "guidance.scale=1.5")[0]
    assert guided != drawn("down", "--condition", f"downscale={small}")[0]


def measured_with_the_conditions_of_the_test_images():
    """A model with nearly complete conditions has less loss and fewer bits than one without."""
    train("plain", "condition.derive=[]")
    figures = {}
    for name in ("down", "plain"):
        out = demist("eval", path(name), "--metric", "nll", "--count", 8, "--steps", 10, "sampler.use=ddpm")[0]
        loss = demist("eval", path(name), "--metric", "loss")[0]
        figures[name] = [float(w) for w in out.split() if w.replace(".", "").isdigit()][:1], loss
    assert figures["down"] != figures["plain"], figures
    out = demist("eval", path("down"), "--metric", "nll", "--ode", "--count", 2, "--steps", 4)[0]
    assert "bits" in out, out
    train("many", "condition.derive=[mask, noised]", "train.steps=4", "train.log_every=1")
    out = demist("info", path("many"))[0]
    assert "condition   mask, image 2 x 8 x 8\ncondition   noised, image 1 x 8 x 8\n" in out, out
    train("both", "condition.derive=[downscale, noised]", f"data.train_labels={path('y')}", "network.class_embed=table",
          "train.drop_condition=[0.1, 0.2, 0]", "train.steps=4", "train.log_every=1")


SHADES = [17 * (i % 16) / 127.5 - 1 for i in range(COUNT)]


def write_sequences(file, behind):
    """Each has 1 to 3 rows, of which the first says how bright the image is; behind its last row lies what nobody may read."""
    rows = [1 + i % 3 for i in range(COUNT)]
    x = [v for i in range(COUNT) for j in range(3) for v in ((SHADES[i], 1) if j == 0 else (0.5, 0) if j < rows[i] else (behind, behind))]
    write_safetensors(path(file), {"x": ("F32", [COUNT, 3, 2], struct.pack(f"<{len(x)}f", *x)), "rows": ("I64", [COUNT], struct.pack(f"<{COUNT}q", *rows))})
    return path(file)


def follow(means):
    """Four images, the one brighter than the one before."""
    return all(b > a for a, b in zip(means, means[1:])) and means[3] - means[0] > 0.8


def vectors_of_the_data():
    """Arrays with a row an example: the network learns what they say, and is asked by them."""
    file = write_npy("v.npy", [COUNT, 2], [v for s in SHADES for v in (s, 0.3)])
    told = ["condition.derive=[]", f"condition.vector={file}", f"condition.test_vector={file}", "train.drop_condition=0.1"]
    train("vector", *told, "train.validate_every=120")
    ask = write_npy("ask.npy", [4, 2], [v for s in (-0.8, -0.2, 0.3, 0.8) for v in (s, 0.3)])
    means = [mean(x) for x in drawn("vector", "--condition", f"vector={ask}")[0]]
    assert follow(means), means
    one = write_npy("one.npy", [2], [0.3, 0.3])
    assert len(drawn("vector", "--condition", f"vector={one}", "--count", 2)[0]) == 2
    assert len(drawn("vector", "--count", 2)[0]) == 2
    assert "condition   vector, vector 2\n" in demist("info", path("vector"))[0]
    demist("eval", path("vector"), "--metric", "loss")
    train("vector2", *told, "train.validate_every=120", "train.steps=100")
    train("vector2", *told, "train.validate_every=120", "--resume")
    assert not same_tensors(path("vector", LAST), path("vector2", LAST))
    refuse("vector", "--condition", f"vector={write_npy('w.npy', [1, 3], [0] * 3)}", says="takes vector (vector 2), not vector (vector 3)")
    for args, says, *code in (([f"condition.vector={write_npy('few.npy', [3, 2], [0] * 6)}"], "few.npy' has 3 rows; the data have 48 examples"),
                       ([f"condition.vector={write_npy('flat.npy', [COUNT], SHADES)}"], "flat.npy' has rank 1; it must be 2, [N,D]"),
                       ([f"condition.vector={path('none.npy')}"], "none.npy"),
                       ([f"condition.vector={path('x')}"], "x'", 5),
                       ([f"condition.vector={write_npy('nan.npy', [COUNT, 1], [float('nan')] * COUNT)}"], "condition 'vector' of example", 5),
                       ([f"condition.vector={file}", "network={use: classifier}", "objective={use: classify}", f"data.train_labels={path('y')}"],
                        "network 'classifier' takes classes; the experiment's conditions are class of 10, vector (vector 2)")):
        err = train("bad", "condition.derive=[]", *args, code=(code or [2])[0])[1]
        assert says in err, (args, err)


def sequences_of_the_data():
    """By attention; what lies behind an example's rows changes nothing, and a sequence that is asked for may be shorter."""
    told = ["condition.derive=[]", "network.attend=[1]"]
    train("sequence", *told, f"condition.sequence={write_sequences('s.safetensors', 0)}")
    ask = write_npy("rows.npy", [4, 1, 2], [v for s in (-0.8, -0.2, 0.3, 0.8) for v in (s, 1)])
    means = [mean(x) for x in drawn("sequence", "--condition", f"sequence={ask}")[0]]
    assert follow(means), means
    train("other", *told, f"condition.sequence={write_sequences('t.safetensors', 7)}")
    assert not same_tensors(path("sequence", LAST), path("other", LAST))
    refuse("sequence", "--condition", f"sequence={write_npy('long.npy', [1, 4, 2], [0] * 8)}", says="takes sequence (sequence 3 x 2), not sequence (sequence 4 x 2)")
    refuse("sequence", says="this model needs sequence (sequence 3 x 2); only")
    train("dit", *told[:1], f"condition.sequence={path('s.safetensors')}", f"condition.vector={path('v.npy')}", "condition.derive=[downscale]",
          "network={use: dit, width: 16, depth: 1, heads: 2, patch: 4}", "train.drop_condition=[0.1, 0.2, 0.3]", "train.steps=4", "train.log_every=1")
    out = demist("info", path("dit"))[0]
    assert "condition   vector, vector 2\ncondition   sequence, sequence 3 x 2\ncondition   downscale, image 1 x 2 x 2\n" in out, out


PLUGIN = """#include <demist/plugin.h>
typedef struct { int64_t rows; } cfg;
static const dm_param params[] = {DM_INT(cfg, rows, "1", 0, 9, "", "of each sequence"), DM_END};
static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    if (split[1] != 'r')
        return dm_fail(c, DM_ENOENT, "no test split");
    info->count = 16;
    info->shape = (dm_shape){3, {1, 8, 8}};
    info->n_conditions = 2;
    info->conditions[0] = (dm_condition){"hue", DM_CONDITION_VECTOR, 0, {1, {1}}};
    info->conditions[1] = (dm_condition){"words", DM_CONDITION_SEQUENCE, 0, {2, {2, 3}}};
    return DM_OK;
}
static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    for (int i = 0; i < 64; i++)
        x[i] = (float)index / 8 - 1;
    return (void)c, (void)label, DM_OK;
}
static dm_status told(dm_ctx *c, int64_t index, int32_t k, float *x, int64_t *rows)
{
    x[0] = (float)index / 8 - 1;
    if (k == 1)
        *rows = ((const cfg *)c->cfg)->rows;
    return DM_OK;
}
const dm_plugin dm_plugin_entry = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "told", .version = "1", .license = "Apache-2.0",
    .doc = "tells", .params = params, .cfg_size = sizeof(cfg),
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .read_condition = told}};
"""


def conditions_of_a_plugin():
    """A data set of its own tells what it likes, by name."""
    with open(path("told.c"), "w") as f:
        f.write(PLUGIN)
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-I", os.path.join(SOURCE, "core/api"),
                    path("told.c"), "-o", path("told.so")], check=True)
    own = ["condition.derive=[]", f"plugin_path={path('.')}", "data={use: told}", "network.attend=[1]", "train.steps=3", "train.log_every=1"]
    train("own", *own)
    out = demist("info", path("own"))[0]
    assert "condition   hue, vector 1\ncondition   words, sequence 2 x 3\n" in out, out
    hue, words = write_npy("hue.npy", [2, 1], [0.5, -0.5]), write_npy("words.npy", [1, 1, 3], [1, 2, 3])
    assert len(drawn("own", "--condition", f"hue={hue}", "--condition", f"words={words}")[0]) == 2
    err = train("bad", *own, "data.rows=5", code=5)[1]
    assert "condition 'words' of example" in err and "must have 0 to 2 rows" in err, err


run_tests([a_condition_is_learned, each_image_has_its_own, conditions_that_do_not_fit, without_it, measured_with_the_conditions_of_the_test_images,
           vectors_of_the_data, sequences_of_the_data, conditions_of_a_plugin])
