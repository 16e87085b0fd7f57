"""Processes that repeat one work when asked: demist's bench_steps and the peers, behind one interface."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def peak_bytes(pid):
    """The most memory that a process had resident since its program began; 0 once it has ended. What the system tells of a child
    that ended counts its parent's memory too."""
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM")), 0)


class NotAvailable(Exception):
    pass


def why(said, code):
    """The line that tells most: demist's first, the last of a traceback."""
    return f"ended with {code}" if not said else said[0] if said[-1].startswith(("error:", "demist:")) else said[-1]


class Worker:
    def __init__(self, name, command, env=None):
        self.name, self.errors = name, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env)
        self.about = self.answer()
        self.seconds, self.host = [], []

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        said = [s for s in self.errors.read().strip().splitlines() if s.strip()]
        raise NotAvailable(why(said, self.process.returncode))

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self, n, keep=True):
        a = self.ask(f"run {n}")
        if keep:
            self.seconds += a["seconds"]
            self.host += a.get("host", [])
        return a["seconds"]

    def out(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "out")
            self.ask("out " + path)
            return np.fromfile(path, np.float32)

    def peak_bytes(self):
        return peak_bytes(self.process.pid)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


KEYS = {"fp32": [], "highest": ["matmul_precision=highest"], "bf16": ["precision=bf16"]}


def demist(build, work, folder, files, batch, precision, device, keys=()):
    """What is not fp32 is asked for; a demist that does not know it says so."""
    keys = [f"device={device}", *keys, *KEYS[precision]]
    if work == "train":
        keys += [f"train.batch={batch}", "train.ema=[]", "train.lr=1e-6", "train.weight_decay=0.01", "train.clip=1"]
    return Worker(f"demist {device}", [os.path.join(build, "tools/benchmark/bench_steps"), work, folder, *files, str(batch), *keys])


# The same processor for PyTorch, its oneDNN and its MKL as DEMIST_CPU is for demist.
HELD = {"avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
        "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        "sse": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}}


def held():
    return HELD.get(os.environ.get("DEMIST_CPU", ""), {})


def peer_environment():
    return {k: v for k, v in {**os.environ, **held()}.items() if k != "OPENBLAS_CORETYPE"}


def peer(kind, work, folder, files, batch, precision, threads):
    if kind == "openvino" and work != "forward":
        raise NotAvailable("does not train")
    precision = "fp32" if precision == "highest" else precision
    return Worker(kind, [sys.executable, os.path.join(HERE, "peer.py"), kind, work, folder, *files, str(batch), precision, str(threads)],
                  peer_environment())
