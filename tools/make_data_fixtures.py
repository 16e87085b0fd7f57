#!/usr/bin/env python3
"""Writes the files in tests/unit/data that demist did not write: make_data_fixtures.py OUT.
Made with Python 3.11, numpy 2.4.6, torch 2.13.0, safetensors 0.8.0, pillow 13.0.0."""
import io
import os
import struct
import sys
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

out = sys.argv[1]


def tensors():
    """One tensor of each type, values that every type has or that show its edges."""
    a = torch.tensor
    save_file({
        "d": a([[1.5, -2.25, 1e300], [0.1, float("inf"), -0.0]], dtype=torch.float64),
        "l": a([-(2**53), 7, 2**53], dtype=torch.int64),
        "f": a([[[1.0, -0.5], [3.25, 1e-40]]], dtype=torch.float32),
        "i": a([-(2**31), 2**31 - 1], dtype=torch.int32),
        "h": a([1.0, -2.5, 65504.0, 6e-8, float("-inf"), 0.333251953125], dtype=torch.float16),
        "b": a([1.0, -3.140625, 3e38, 1e-39], dtype=torch.bfloat16),
        "s": a([-32768, 32767], dtype=torch.int16),
        "empty": torch.zeros((0, 3), dtype=torch.float32),
        "c": a([-128, 127], dtype=torch.int8),
        "u": a([0, 128, 255], dtype=torch.uint8),
        "t": a([True, False, True]),
        "scalar": a(42.0),
    }, f"{out}/types.safetensors", metadata={"format": "pt", "note": "gr\u00fc\u00dfe \"quoted\""})
    save_file({"w": torch.arange(6, dtype=torch.float32).reshape(2, 3), "z.bias": a([0.5, -0.5])},
              f"{out}/plain.safetensors", metadata={"step": "7"})


def events():
    """Steps 1..3 as TensorBoard's own writer frames them."""
    value, image = Summary.Value, Summary.Image
    png = bytes(range(200))
    with open(f"{out}/events.bin", "wb") as f:
        w = RecordWriter(f)
        w.write(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for step in (1, 2, 3):
            w.write(Event(wall_time=1700000000.25 + step, step=step * 1000, summary=Summary(value=[
                value(tag="loss", simple_value=0.1 * step), value(tag="lr", simple_value=float("nan"))])).SerializeToString())
        w.write(Event(wall_time=5.0, step=3000, summary=Summary(value=[value(tag="samples", image=image(
            height=300, width=7, colorspace=3, encoded_image_string=png))])).SerializeToString())
        w.flush()


def resized():
    """Pillow's BILINEAR: in<i> u8[h,w] and what it becomes, out<i>."""
    t = {}
    for i, (h, w, oh, ow) in enumerate([(28, 28, 32, 32), (33, 47, 16, 16), (40, 20, 7, 31), (5, 3, 5, 3), (64, 64, 1, 1), (1, 1, 4, 3)]):
        a = np.random.randint(0, 256, (h, w)).astype(np.uint8)
        t[f"in{i}"] = torch.from_numpy(a)
        t[f"out{i}"] = torch.from_numpy(np.array(Image.fromarray(a).resize((ow, oh), Image.BILINEAR)))
    save_file(t, f"{out}/resize.safetensors")


def png16(pixels, kind):
    """A PNG of 16 bits a sample, which Pillow cannot write in colour."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    h, w = pixels.shape[:2]
    rows = b"".join(b"\0" + pixels[y].astype(">u2").tobytes() for y in range(h))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def images():
    """Every kind of PNG and JPEG, 7 x 5, and in images.safetensors what Pillow makes of each as RGB."""
    os.makedirs(f"{out}/images", exist_ok=True)
    rgb = np.random.randint(0, 256, (5, 7, 3)).astype(np.uint8)
    wide = np.random.randint(0, 65536, (5, 7, 3))
    alpha = np.random.randint(0, 256, (5, 7, 1)).astype(np.uint8)
    smooth = Image.fromarray(rgb).resize((7, 5), Image.BICUBIC, (2, 2, 4, 3))
    colour, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 0].copy())
    palette, bits = colour.quantize(9), grey.point(lambda v: 255 * (v > 99)).convert("1")
    want = {}
    for name, image, options in [
            ("grey.png", grey, {}), ("bits.png", bits, {}), ("rgb.png", colour, {}), ("palette.png", palette, {}),
            ("palette-alpha.png", palette, {"transparency": bytes([0, 128, 255])}),
            ("rgba.png", Image.fromarray(np.concatenate([rgb, alpha], 2)), {}),
            ("grey-alpha.png", Image.fromarray(np.concatenate([rgb[:, :, :1], alpha], 2)), {}),
            ("grey.JPG", smooth.convert("L"), {"quality": 90}), ("rgb.jpeg", smooth, {"quality": 90}),
            ("progressive.jpg", smooth, {"quality": 90, "progressive": True})]:
        b = io.BytesIO()
        image.save(b, "PNG" if name.endswith("png") else "JPEG", **options)
        open(f"{out}/images/{name}", "wb").write(b.getvalue())
        want[name] = np.array(Image.open(b).convert("RGBA").convert("RGB"))
    for name, kind, pixels in [("rgb16.png", 2, wide), ("grey16.png", 0, wide[:, :, :1])]:
        open(f"{out}/images/{name}", "wb").write(png16(pixels, kind))
        want[name] = np.broadcast_to(np.round(pixels / 257), (5, 7, 3)).astype(np.uint8)
    save_file({k: torch.from_numpy(v.transpose(2, 0, 1).copy()) for k, v in want.items()}, f"{out}/images.safetensors")


def arrays():
    """NumPy's own files."""
    np.save(f"{out}/points.npy", np.array([[0.5, -1.25], [3, 4], [1e-3, -7]], "<f8"))
    np.save(f"{out}/images.npy", (np.arange(2 * 4 * 5 * 3) * 7 % 256).astype("u1").reshape(2, 4, 5, 3))


np.random.seed(0)
tensors()
events()
resized()
images()
arrays()
