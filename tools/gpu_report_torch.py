"""One work of tools/gpu-report by PyTorch, eager: the same network, in the same batch, on the device that it is given.
  gpu_report_torch.py DEVICE forward|train fashion|ddpm-cifar10 fp32|bf16|fp16 BATCH REPEATS     a line of JSON
  gpu_report_torch.py DEVICE                                                  fails where PyTorch has no such device
In fp32, TF32 is off, and the same is measured with it. Needs nothing but torch."""
import json
import math
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

NETWORKS = {"fashion": (1, [32, 64, 64], [0, 1, 0], 1), "ddpm-cifar10": (3, [128, 256, 256, 256], [0, 1, 0, 0], 2)}
GROUPS = 32


class Block(nn.Module):
    """Two convolutions with the time between them, and attention where it is wanted (Ho et al. 2020, appendix B)."""

    def __init__(self, channels, out, time, attends=False):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, channels, 1e-6), nn.Conv2d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, out, 1e-6), nn.Conv2d(out, out, 3, padding=1)
        self.time = nn.Linear(time, out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        if attends:
            self.norm = nn.GroupNorm(GROUPS, out, 1e-6)
            self.qkv, self.out = nn.Linear(out, 3 * out), nn.Linear(out, out)
        self.attends = attends

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(t))[:, :, None, None]
        x = self.skip(x) + self.conv2(F.silu(self.norm2(h)))
        if not self.attends:
            return x
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).unsqueeze(1).chunk(3, -1)
        a = self.out(F.scaled_dot_product_attention(q, k, v).squeeze(1))
        return x + a.transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    def __init__(self, image, channels, attend, layers):
        super().__init__()
        first, time, c = channels[0], 4 * channels[0], channels[0]
        self.first, widths = first, [first]
        self.time = nn.Sequential(nn.Linear(first, time), nn.SiLU(), nn.Linear(time, time))
        self.begin = nn.Conv2d(image, first, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(channels):
            for _ in range(layers):
                self.down.append(Block(c, width, time, attend[level]))
                c = width
                widths.append(c)
            if level + 1 < len(channels):
                self.down.append(nn.Conv2d(c, c, 3, stride=2))
                widths.append(c)
        self.mid1, self.mid2 = Block(c, c, time, True), Block(c, c, time)
        for level, width in reversed(list(enumerate(channels))):
            for _ in range(layers + 1):
                self.up.append(Block(c + widths.pop(), width, time, attend[level]))
                c = width
            if level:
                self.up.append(nn.Conv2d(c, c, 3, padding=1))
        self.norm, self.end = nn.GroupNorm(GROUPS, c, 1e-6), nn.Conv2d(c, image, 3, padding=1)

    def forward(self, x, t):
        half = self.first // 2
        angles = t[:, None] * torch.exp(-math.log(10000) / (half - 1) * torch.arange(half, device=t.device))
        t = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.begin(x)
        kept = [x]
        for part in self.down:
            x = part(x, t) if isinstance(part, Block) else part(F.pad(x, (0, 1, 0, 1)))
            kept.append(x)
        x = self.mid2(self.mid1(x, t), t)
        for part in self.up:
            block = isinstance(part, Block)
            x = part(torch.cat([x, kept.pop()], 1), t) if block else part(F.interpolate(x, scale_factor=2))
        return self.end(F.silu(self.norm(x)))


def measure(once, device, repeats):
    seconds = []
    for _ in range(repeats + 2):  # two to warm up
        began = time.perf_counter()
        once()
        if device != "cpu":
            getattr(torch, device).synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def work(device, kind, network, precision, batch):
    """What is to be measured, as a function; the network."""
    torch.manual_seed(1)
    net = UNet(*NETWORKS[network]).to(device, memory_format=torch.channels_last)
    x = torch.randn(batch, NETWORKS[network][0], 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    t = torch.randint(0, 1000, (batch,), device=device).float()
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def forward():
        with torch.no_grad(), torch.autocast(device, half, enabled=half is not None):
            return net(x, t)

    adamw = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0)
    mean = [p.detach().clone() for p in net.parameters()]

    def step():
        with torch.autocast(device, half, enabled=half is not None):
            loss = F.mse_loss(net(x, t).float(), torch.randn_like(x))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
        adamw.step()
        adamw.zero_grad()
        torch._foreach_lerp_(mean, [p.detach() for p in net.parameters()], 1e-3)

    return (forward if kind == "forward" else step), net


def main(device, kind=None, network=None, precision=None, batch="1", repeats="1"):
    torch.zeros(1, device=device).sum().item()
    if kind is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    once, net = work(device, kind, network, precision, int(batch))
    s = measure(once, device, int(repeats))
    told = {"median_ms": round(1000 * s, 3), "images_per_s": round(int(batch) / s, 1)}
    if precision == "fp32" and device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        told["tf32_median_ms"] = round(1000 * measure(once, device, int(repeats)), 3)
    told.update(torch=torch.__version__, parameters=sum(p.numel() for p in net.parameters()))
    print(json.dumps(told))


main(*sys.argv[1:])
