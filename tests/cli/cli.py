"""What the command line tests share: running demist, reading what it wrote. Python's standard library alone."""
import array
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
import zlib

DEMIST = os.environ["DEMIST"]
SOURCE = os.environ["DEMIST_SOURCE"]
DEVICE = os.environ.get("DEMIST_DEVICE", "auto")
WORK = tempfile.mkdtemp(prefix="demist-test-")


def demist(*args, code=0, env=None, timeout=600, cwd=None, preexec=None):
    """Runs demist; fails unless it exits with `code` (None: any). Returns (stdout, stderr)."""
    p = subprocess.run([DEMIST, *map(str, args)], capture_output=True, text=True, timeout=timeout, cwd=cwd or WORK,
                       env={**os.environ, **(env or {})}, preexec_fn=preexec)
    # Under AddressSanitizer, the leak checker's own thread sometimes crashes at exit, beside the runtimes' threads;
    # what the program did before is as it should be or the next assertion tells.
    if code is not None and p.returncode != code and "LeakSanitizer has encountered a fatal error" not in p.stderr:
        raise AssertionError(f"demist {' '.join(map(str, args))}: exit {p.returncode}, not {code}\n{p.stdout[-2000:]}\n{p.stderr[-3000:]}")
    return p.stdout, p.stderr


def config(name):
    return os.path.join(SOURCE, "configs", name)


# A tiny experiment that trains within a second.
def moons(out, *more):
    return [config("moons.yaml"), f"output={path(out)}", f"device={DEVICE}", "network.width=32", "network.depth=2", "train.batch=32",
            "train.log_every=5", *more]


def path(*parts):
    return os.path.join(WORK, *parts)


def read_safetensors(file):
    """{name: (dtype, shape, bytes)}, metadata."""
    data = open(file, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop("__metadata__", {})
    body = data[8 + n:]
    return {k: (v["dtype"], v["shape"], body[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in header.items()}, meta


def floats(tensor):
    a = array.array("f")
    a.frombytes(tensor[2])
    return a


def read_png(file):
    """Of 8 bits: width, height, channels, and its bytes row by row."""
    data, at, packed = open(file, "rb").read(), 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">2I2B", data[at + 8:at + 18])
        packed += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += 12 + n
    channels = {0: 1, 2: 3}[colour]
    raw, n, above, rows = zlib.decompress(packed), width * channels, bytes(width * channels), []
    for y in range(height):
        kind, row = raw[y * (n + 1)], bytearray(raw[y * (n + 1) + 1:(y + 1) * (n + 1)])
        for i in range(n):
            left, up, corner = (row[i - channels], above[i], above[i - channels]) if i >= channels else (0, above[i], 0)
            nearest = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
        rows.append(bytes(row))
        above = row
    return width, height, channels, rows


def write_safetensors(file, tensors, meta=None):
    """tensors: {name: (dtype, shape, bytes)}."""
    header, at = {"__metadata__": meta} if meta else {}, 0
    for k, (dtype, shape, b) in tensors.items():
        header[k] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(b)]}
        at += len(b)
    h = json.dumps(header).encode()
    h += b" " * (-len(h) % 8)
    with open(file, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + b"".join(t[2] for t in tensors.values()))


def write_npy(file, shape, values):
    """f32; its path."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(path(file), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}f", *values))
    return path(file)


def same_tensors(a, b):
    """Names of the tensors whose bytes differ."""
    ta, tb = read_safetensors(a)[0], read_safetensors(b)[0]
    return sorted(k for k in set(ta) | set(tb) if ta.get(k) != tb.get(k))


def log_lines(run):
    return [json.loads(x) for x in open(os.path.join(run, "log.jsonl"))]


def run_tests(tests):
    failed = []
    try:
        for t in tests:
            try:
                t()
                print(f"ok {t.__name__}", flush=True)
            except Exception:
                traceback.print_exc()
                failed.append(t.__name__)
                print(f"[  FAILED  ] {t.__name__}", flush=True)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"[  PASSED  ] {len(tests) - len(failed)} test(s).")
    sys.exit(1 if failed else 0)
