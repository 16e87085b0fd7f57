#!/usr/bin/env python3
"""Small files that ask for much: each reader refuses them in a process that may not have more memory, and says why."""
import gzip
import json
import os
import resource
import shutil
import struct
import zipfile
import zlib

from cli import SOURCE, config, demist, path, run_tests

MB = 1 << 20
DATA = os.path.join(SOURCE, "tests/unit/data")
WEIGHTS = "diffusion_pytorch_model.safetensors"
MODEL = os.path.join(SOURCE, "tests/parity/data/diffusers/plain")


def chunk(kind, data, length=None):
    return struct.pack(">I", len(data) if length is None else length) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, more=b""):
    rows = zlib.compress(bytes(1000))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)) + more + chunk(b"IDAT", rows)
            + chunk(b"IEND", b""))


def jpeg(name, width, height):
    """With other extents in its frame header."""
    b = bytearray(open(os.path.join(DATA, name), "rb").read())
    at = 2
    while b[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack(">H", b[at + 2:at + 4])[0]
    b[at + 5:at + 9] = struct.pack(">2H", height, width)
    return bytes(b)


def webp(lossy, width, height):
    if lossy:
        body = b"VP8 " + struct.pack("<I", 30) + b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<2H", width, height) + bytes(20)
    else:
        body = b"VP8L" + struct.pack("<I", 26) + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(21)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def npy(shape, wide=False):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + (b"\2\0" + struct.pack("<I", 2**32 - 1) if wide else b"\1\0" + struct.pack("<H", len(head))) + head + bytes(64)


def idx(*dims):
    return bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + bytes(100)


def filled(head, piece, tail, n=8 * MB):
    return head + piece * ((n - len(head) - len(tail)) // len(piece)) + tail


def tensors(header):
    return struct.pack("<Q", len(header)) + header


def bomb():
    lines = ["a0: &a0 [1, 2]"] + [f"a{k}: &a{k} [" + ", ".join([f"*a{k - 1}"] * 9) + "]" for k in range(1, 30)]
    return "\n".join(lines).encode() + b"\n"


def model(name, file, text):
    """A model of diffusers, one of its files replaced."""
    shutil.copytree(MODEL, path(name))
    open(path(name, file), "wb").write(text)
    return ["sample", path(name), "--out", path("no.png")]


def image(name, data):
    os.makedirs(path(name))
    open(path(name, "x.png"), "wb").write(data)
    return ["inspect", path(name)]


def file(name, data):
    open(path(name), "wb").write(data)
    return ["inspect", path(name)]


def experiment(name, data):
    open(path(name), "wb").write(data)
    return ["check", path(name)]


def data_of(name, use, key, data):
    open(path(name), "wb").write(data)
    return ["inspect", config("moons.yaml"), f"data.use={use}", f"data.{key}={path(name)}"]


def packed(name, size, n):
    """So many entries of zeros that are called images."""
    with zipfile.ZipFile(path(name), "w", zipfile.ZIP_DEFLATED) as z:
        for k in range(n):
            z.writestr(f"{k}.png", bytes(size))
    return ["inspect", config("moons.yaml"), "data.use=image_folder", f"data.folder={path(name)}"]


# What is run, the memory that it may have, its exit code, and what it must say.
CASES = [
    (lambda: image("png", png(15000, 15000, 8, 2)), 160 * MB, 5, "bytes cannot hold the 15000 x 15000 pixels that its header says"),
    (lambda: image("png16", png(4096, 8192, 16, 6)), 160 * MB, 5, "cannot hold the 4096 x 8192 pixels"),
    (lambda: image("png1", png(16384, 16384, 1, 0)), 160 * MB, 5, "cannot hold"),
    (lambda: image("pngwide", png(2**31 - 1, 1, 1, 0)), 160 * MB, 5, "at most 16384 a side"),
    (lambda: image("pngtext", png(8, 8, 8, 0, chunk(b"tEXt", b"a\0b", 2**31 - 1))), 160 * MB, 5, "is not an image that can be read"),
    (lambda: image("pngexif", png(8, 8, 8, 0, chunk(b"eXIf", b"MM\0*", 2**31 - 1))), 160 * MB, 5, "is not an image that can be read"),
    (lambda: image("jpeg", jpeg("images/grey.JPG", 16000, 16000)), 160 * MB, 5, "cannot hold the 16000 x 16000 pixels"),
    (lambda: image("jpegp", jpeg("images/progressive.jpg", 16000, 5000)), 160 * MB, 5, "cannot hold the 16000 x 5000 pixels"),
    (lambda: image("jpegc", jpeg("photos/cmyk.jpg", 8000, 8000)), 160 * MB, 5, "cannot hold"),
    (lambda: image("webp", webp(False, 16000, 5000)), 160 * MB, 5, "cannot hold the 16000 x 5000 pixels"),
    (lambda: image("webpl", webp(True, 16383, 5000)), 160 * MB, 5, "cannot hold the 16383 x 5000 pixels"),
    (lambda: packed("a.zip", 250 * MB, 2), 160 * MB, 5, "to 262144000, which no image does"),
    (lambda: packed("b.zip", 12 * MB, 2), 160 * MB, 5, "neither PNG nor JPEG nor WebP"),
    (lambda: data_of("a.npy", "npy", "file", npy("(1, 2147483647)")), 160 * MB, 5, "its shape says 2147483647"),
    (lambda: data_of("b.npy", "npy", "file", npy("(2147483647, 2147483647, 2147483647, 2147483647)")), 160 * MB, 5, "overflows"),
    (lambda: data_of("c.npy", "npy", "file", npy("(1, 2)", wide=True)), 160 * MB, 5, "is not an npy file"),
    (lambda: file("d.npy", npy("(1, 2147483647)")), 160 * MB, 5, ""),
    (lambda: data_of("a.idx", "idx", "train_images", idx(2**32 - 1, 16384, 16384)), 160 * MB, 5, "its header says"),
    (lambda: data_of("b.idx", "idx", "train_images", gzip.compress(idx(4, 16384, 16384))), 160 * MB, 5, "of gzip cannot hold that"),
    (lambda: file("c.idx", idx(2**32 - 1, 16384, 16384)), 160 * MB, 5, ""),
    (lambda: file("a.safetensors", tensors(filled(b'{"a":[', b"{},", b"{}]}"))), 256 * MB, 5, ""),
    (lambda: file("b.safetensors", struct.pack("<Q", 2**62) + b"{}"), 160 * MB, 5, "header"),
    (lambda: file("c.safetensors", tensors(filled(b'{"__metadata__":{', b'"a":"",', b'"b":""}}'))), 256 * MB, 5, ""),
    (lambda: model("config", "config.json", filled(b'{"a":[', b"{},", b"{}]}", MB)), 256 * MB, 5, "bytes of JSON would take"),
    (lambda: model("deep", "config.json", b'{"a":' + b"[" * 100000), 256 * MB, 5, "config.json' is not JSON"),
    (lambda: model("schedule", "scheduler_config.json", filled(b'{"a":[', b"{},", b"{}]}", MB)), 256 * MB, 5, "scheduler_config.json"),
    (lambda: model("index", WEIGHTS + ".index.json", filled(b'{"weight_map":{"a":[', b"{},", b"{}]}}", MB)), 256 * MB, 5, ".index.json' is too large: its "),
    (lambda: model("weights", WEIGHTS, tensors(filled(b'{"a":[', b"{},", b"{}]}"))), 256 * MB, 5, WEIGHTS),
    (lambda: experiment("bomb.yaml", bomb()), 160 * MB, 2, "more than 100000 values, with aliases expanded"),
    (lambda: experiment("deep.yaml", b"a: " + b"[" * 100000), 160 * MB, 2, "nested deeper than 64"),
    (lambda: experiment("maps.yaml", b"{a: " * 100000), 160 * MB, 2, "nested deeper than 64"),
    (lambda: experiment("large.yaml", filled(b"a: [", b"1,", b"1]", 2 * MB)), 160 * MB, 2, "more than 1048576"),
    (lambda: experiment("many.yaml", filled(b"a: [", b"1,", b"1]", 1000000)), 160 * MB, 2, "more than 100000 values"),
    (lambda: experiment("anchors.yaml", b"a:\n" + b"".join(b"  - &x%d 1\n" % k for k in range(50000))), 160 * MB, 2, "more than 1000 anchors"),
    (lambda: experiment("self.yaml", b"a: &a [*a]\n"), 160 * MB, 2, "refers to a value that contains it"),
    (lambda: experiment("loop.yaml", b"include: loop.yaml\n"), 160 * MB, 2, "include"),
]


def within_their_budget():
    for make, room, code, says in CASES:
        args = make()

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (room, room))

        out, err = demist(*args, code=code, timeout=20, preexec=limit)
        assert says in err and "out of memory" not in err, f"{args}: {err[-600:]}"


run_tests([within_their_budget])
