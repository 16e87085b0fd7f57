"""Models of classes: what training keeps from the network, which classes are drawn."""
import os
import struct
import zlib

from cli import DEVICE, demist, log_lines, moons, path, read_safetensors, run_tests, same_tensors

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


def write_png(file, width, height, grey):
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = (b"\0" + bytes([grey]) * width) * height
    with open(file, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


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


def drawn(name, *more, file="x.safetensors"):
    err = demist("sample", path(name), *more, "--tensors", path(file), "--force", "--deterministic")[1]
    x = read_safetensors(path(file))[0]["x"]
    size = len(x[2]) // x[1][0]
    return [x[2][i * size:(i + 1) * size] for i in range(x[1][0])], err


def classes_are_chosen():
    """By number, each as it is in a batch of all; those that nobody chose are said."""
    turn, err = drawn("half", "--count", "12")
    assert "no class given: image i has class i mod 10" in err, err
    three, err = drawn("half", "--count", "4", "--class", "3")
    assert "no class" not in err and "class=3" in err and len(three) == 4, err
    assert three[3] == turn[3] and three[0] != turn[0]
    both = drawn("half", "--class", "3,1", "--count", "2")[0]
    assert len(both) == 4 and both[:2] == three[:2] and both[3] == drawn("half", "--class", "1", "--first", "2", "--count", "2")[0][1]
    none = drawn("half", "--class", "none", "--count", "2")[0]
    assert none[0] not in (three[0], turn[0])
    out, err = demist("sample", path("half"), "--class", "all", "--count", "2", "--out", path("all.png"))
    assert "rows, from the top: 0, 1, 2, 3" in err and "(2 of each)" in err, err
    with open(path("all.png"), "rb") as f:
        assert struct.unpack(">II", f.read()[16:24]) == (6 + 6 + 2 * 8 + 2, 10 * 8 + 9 * 2), "a letter and its margins stand left of the rows"
    out = demist("info", path("half"))[0]
    assert "class       0 to 9, or none\n" in out and "cfg" in out, out
    out = demist("info", path("none"))[0]
    assert "class       0 to 9\n" in out and "guidance    autoguidance\n" in out, out


def classes_by_name():
    for k, name in enumerate(("boot", "shirt", "7")):
        os.makedirs(path("photos", name))
        for i in range(4):
            write_png(path("photos", name, f"{i}.png"), 8, 8, 80 * k + i)
    photos = ["data.use=image_folder", f"data.folder={path('photos')}", "data.labels=true", "train.batch=4"]
    train("named", *photos, "data.channels=1")
    names = ["7", "boot", "shirt"]  # in the order of folders
    out, err = demist("sample", path("named"), "--class", "all", "--out", path("named.png"))
    assert "rows, from the top: 0 7, 1 boot, 2 shirt (1 of each)" in err, err
    for k, name in enumerate(names):
        assert drawn("named", "--class", name, "--count", "2")[0] == drawn("named", "--class", str(k), "--count", "2")[0] or name == "7"
    assert drawn("named", "--class", "7")[0] == drawn("named", "--class", "0")[0]
    with open(path("named.png"), "rb") as f:
        assert struct.unpack(">I", f.read()[16:20]) == (7 * 6 + 6 + 8,), "beside a row stands '2 shirt'"
    assert "class       0 7, 1 boot, 2 shirt, or none\n" in demist("info", path("named"))[0]
    refuse("named", "boots", says="there is no class 'boots'; did you mean 'boot'?")
    refuse("named", "hat", says="there is no class 'hat'; this model has classes 0 to 2, '7' to 'shirt'")


def classes_of_idx_by_name():
    """Names that the experiment gives."""
    names = [f"data.class_names={', '.join('abcdefghi')}, ankle boot"]
    train("letters", *names)
    assert drawn("letters", "--class", "ankle boot, 3".replace(", ", ","), "--count", "2")[0] == drawn("letters", "--class", "9,3", "--count", "2")[0]
    for wrong, says in (("a, b", "class_names has 2 names; classes is 10"), ("a,,b", "name 2 is empty"), ("a, b, a", "'a' appears twice")):
        err = train("bad", f"data.class_names={wrong}", code=2)[1]
        assert "data.class_names" in err and says in err, err


def refuse(name, classes, *more, says):
    err = demist("sample", path(name), *more, "--class", classes, "--tensors", path("no.safetensors"), code=2)[1]
    assert says in err and not os.path.exists(path("no.safetensors")), err


def classes_that_are_not_there():
    refuse("half", "10", says="there is no class '10'; this model has classes 0 to 9")
    refuse("half", "-1", says="there is no class '-1'")
    refuse("half", "3,", says="there is no class ''")
    refuse("half", "all,3", says="there is no class 'all'")
    refuse("none", "none", says="class 'none': this model was trained without train.drop_condition")
    train("blind", "network.class_embed=none", "train.drop_condition=0")
    refuse("blind", "3", says="the network of this model reads no classes")
    demist("train", *moons("points", "train.steps=2"))
    refuse("points", "1", says="this model was trained on data without classes")
    assert "no class" not in drawn("points", "--count", "2")[1]


run_tests([classes_are_kept_from_the_network, dropping_needs_a_place_for_it, classes_are_chosen, classes_by_name, classes_of_idx_by_name, classes_that_are_not_there])
