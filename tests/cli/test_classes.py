"""Models of classes: what training keeps from the network, which classes are drawn."""
import struct

from cli import DEVICE, demist, log_lines, path, read_safetensors, run_tests, same_tensors

LAST = "checkpoints/step-00000012.safetensors"


def write_data():
    """48 images 8 x 8 of four classes, which are their brightness."""
    for name, extents, values in (("x", (48, 8, 8), [60 * (i // 64 % 4) + i % 7 for i in range(48 * 64)]), ("y", (48,), [i % 4 for i in range(48)])):
        with open(path(name), "wb") as f:
            f.write(bytes([0, 0, 8, len(extents)]) + struct.pack(f">{len(extents)}I", *extents) + bytes(values))
    with open(path("exp.yaml"), "w") as f:
        f.write(f"""name: classes
device: {DEVICE}
tune: off
data: {{use: idx, train_images: {path("x")}, train_labels: {path("y")}}}
schedule: {{use: cosine, timesteps: 100}}
network: {{use: unet, channels: [8], layers: 1, groups: 4, attend: [0], class_embed: table}}
objective: {{use: simple}}
sampler: {{use: ddim, steps: 4}}
train: {{steps: 12, batch: 8, log_every: 1, lr: 0.01, drop_condition: 0.5}}
""")


def train(name, *more, **how):
    return demist("train", path("exp.yaml"), f"output={path(name)}", *more, **how)


def classes_are_kept_from_the_network():
    """Of what was dropped the null class alone learns; who drops does not depend on micro-batches, nor on where a run was stopped."""
    write_data()
    train("half")
    train("none", "train.drop_condition=0")
    train("most", "train.drop_condition=0.999999")
    losses = {name: [line["loss"] for line in log_lines(path(name))] for name in ("half", "none", "most")}
    assert losses["half"] != losses["none"] != losses["most"], losses
    rows = {}
    for name in losses:
        weight = read_safetensors(path(name, LAST))[0]["model.class_embedding.weight"]
        assert weight[1] == [11, 32], weight[1]
        rows[name] = [weight[2][r * 128:(r + 1) * 128] for r in range(11)]
    assert rows["half"][10] != rows["none"][10], "the null class's row learns nothing"
    assert rows["most"][4:10] == rows["none"][4:10], "no example is of these"
    assert rows["most"][0] != rows["none"][0] and rows["most"][10] != rows["half"][10]
    train("small", "train.micro_batch=3")
    small = [line["loss"] for line in log_lines(path("small"))]
    assert all(abs(a - b) < 1e-3 * abs(a) for a, b in zip(losses["half"], small)), (losses["half"], small)
    train("again", "train.steps=5")
    train("again", "--resume")
    assert not same_tensors(path("half", LAST), path("again", LAST))


def dropping_needs_a_place_for_it():
    err = train("bad", "network.class_embed=none", code=2)[1]
    assert "argument 2: error: train.drop_condition" not in err and "train.drop_condition: network 'unet' reads no classes" in err, err
    err = train("bad", "network.class_rows=10", code=2)[1]
    assert "network.class_rows is 10; train.drop_condition needs one more" in err, err
    err = train("bad", "train.drop_condition=1", code=2)[1]
    assert "train.drop_condition: 1 is" in err, err


run_tests([classes_are_kept_from_the_network, dropping_needs_a_place_for_it])
