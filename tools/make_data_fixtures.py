#!/usr/bin/env python3
"""Writes the files in tests/unit/data that demist did not write: make_data_fixtures.py OUT.
Made with Python 3.11, numpy 2.4.6, torch 2.13.0, safetensors 0.8.0, pillow 13.0.0."""
import sys

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


np.random.seed(0)
tensors()
events()
resized()
