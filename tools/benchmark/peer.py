"""One of demist's peers as a process that takes the same lines as bench_steps (steps.c) and answers in the same way.

    python peer.py pytorch|channels-last|compile|openvino forward|train MODEL X.f32 T.f64 EXAMPLES fp32|bf16 THREADS
"""
import json
import sys
import time
import warnings

import numpy as np
import torch
from diffusers import UNet2DModel

from networks import drawn

warnings.filterwarnings("ignore")


class OpenVino:
    def __init__(self, model, x, t, precision, threads):
        import openvino as ov

        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.m = model

            def forward(self, x, t):
                return self.m(x, t).sample

        graph = ov.convert_model(Plain(), example_input=(x, t), input=[list(x.shape), list(t.shape)])
        hints = {"INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision), "INFERENCE_NUM_THREADS": threads,
                 "PERFORMANCE_HINT": "LATENCY"}
        self.compiled, self.inputs = ov.Core().compile_model(graph, "CPU", hints), [x.numpy(), t.numpy()]

    def once(self):
        self.result = self.compiled(self.inputs)[0]


class Forward:
    def __init__(self, model, x, t, precision, threads):
        self.model, self.x, self.t = model, x, t
        self.cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

    def once(self):
        with torch.no_grad(), self.cast:
            self.result = self.model(self.x, self.t).sample


class Train(Forward):
    """Forward, backward, clip, AdamW; the noise is that of demist's first step."""

    def __init__(self, model, x0, t, precision, threads):
        t, noise = drawn(len(x0), x0[0].numel())
        level = torch.tensor(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[t]).reshape(-1, 1, 1, 1)
        self.noise = torch.tensor(noise).reshape(x0.shape)
        x = (level.sqrt() * x0 + (1 - level).sqrt() * self.noise).float()
        super().__init__(model, x.contiguous(memory_format=torch.channels_last) if x0.is_contiguous(memory_format=torch.channels_last) else x,
                         torch.tensor(t), precision, threads)
        self.noise = self.noise.float()
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-6)

    def once(self):
        with self.cast:
            loss = torch.nn.functional.mse_loss(self.model(self.x, self.t).sample.float(), self.noise)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.loss, self.norm = loss.detach(), norm


def main():
    kind, work, folder, x, t, n, precision, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = UNet2DModel.from_pretrained(folder, subfolder="unet").train(work == "train")
    size, n = model.config.sample_size, int(n)
    x = torch.from_numpy(np.fromfile(x, np.float32).reshape(n, model.config.in_channels, size, size))
    t = torch.from_numpy(np.fromfile(t, np.float64).astype(np.int64))
    if kind == "channels-last":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    if kind == "compile":
        model = torch.compile(model)
    began = time.monotonic()
    it = OpenVino(model, x, t, precision, int(threads)) if kind == "openvino" else {"forward": Forward, "train": Train}[work](model, x, t, precision, threads)
    print(json.dumps({"opened": time.monotonic() - began, "torch": torch.__version__, "threads": int(threads),
                      "processor": torch.backends.cpu.get_cpu_capability()}), flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "run":
            seconds = []
            for _ in range(int(rest)):
                began = time.perf_counter()
                it.once()
                seconds.append(time.perf_counter() - began)
            print(json.dumps({"seconds": seconds}), flush=True)
        elif word == "out":
            np.ascontiguousarray(np.asarray(it.result, np.float32) if isinstance(it.result, np.ndarray) else it.result.float().contiguous().numpy()).tofile(rest)
            print("{}", flush=True)
        else:
            print(json.dumps({"loss": float(it.loss), "norm": float(it.norm)}), flush=True)


main()
