"""A UNet of the architecture of improved-diffusion and guided-diffusion, written for comparing: its state_dict has
their tensor names. Needs torch."""
import math

import torch
from torch import nn
from torch.nn import functional as F


def embed(t, width):
    """Cosines, then sines, of t at width / 2 frequencies from 1 down towards 1 / 10000."""
    half = width // 2
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    return torch.cat([angles.cos(), angles.sin()], 1)


def resize(x, how):
    return F.avg_pool2d(x, 2) if how == "down" else F.interpolate(x, scale_factor=2) if how == "up" else x


class Res(nn.Module):
    def __init__(self, c, to, wide, scale_shift, how=None):
        super().__init__()
        self.how, self.scale_shift = how, scale_shift
        self.in_layers = nn.Sequential(nn.GroupNorm(32, c), nn.SiLU(), nn.Conv2d(c, to, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(wide, 2 * to if scale_shift else to))
        self.out_layers = nn.Sequential(nn.GroupNorm(32, to), nn.SiLU(), nn.Dropout(0.1), nn.Conv2d(to, to, 3, padding=1))
        self.skip_connection = nn.Conv2d(c, to, 1) if c != to else nn.Identity()

    def forward(self, x, emb):
        h = self.in_layers[2](resize(self.in_layers[1](self.in_layers[0](x)), self.how))
        x = resize(x, self.how)
        e = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    def __init__(self, c, heads, new_order):
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = nn.GroupNorm(32, c)
        self.qkv = nn.Conv1d(c, 3 * c, 1)
        self.proj_out = nn.Conv1d(c, c, 1)

    def forward(self, x, emb):
        n, c = x.shape[:2]
        flat = x.reshape(n, c, -1)
        qkv = self.qkv(self.norm(flat))
        if self.new_order:
            q, k, v = qkv.reshape(n, 3, self.heads, c // self.heads, -1).unbind(1)
        else:
            q, k, v = qkv.reshape(n, self.heads, 3, c // self.heads, -1).unbind(2)
        weight = torch.softmax(torch.einsum("nhct,nhcs->nhts", q, k) / math.sqrt(c // self.heads), -1)
        h = torch.einsum("nhts,nhcs->nhct", weight, v).reshape(n, c, -1)
        return (flat + self.proj_out(h)).reshape(x.shape)


class Resample(nn.Module):
    def __init__(self, c, how):
        super().__init__()
        if how == "down":
            self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)
        else:
            self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x, emb):
        return self.op(x) if hasattr(self, "op") else self.conv(resize(x, "up"))


class First(nn.Conv2d):
    def forward(self, x, emb):
        return super().forward(x)


class GuidedUNet(nn.Module):
    def __init__(self, width=32, mult=(1, 2), blocks=1, attend=(2,), heads=4, head_channels=None, new_order=False, scale_shift=False,
                 res_resize=False, classes=None, channels=3, learn_sigma=False):
        super().__init__()
        self.width = width
        wide = 4 * width

        def attention(c):
            return Attention(c, c // head_channels if head_channels else heads, new_order)

        def resampled(c, how):
            return Res(c, c, wide, scale_shift, how) if res_resize else Resample(c, how)

        self.time_embed = nn.Sequential(nn.Linear(width, wide), nn.SiLU(), nn.Linear(wide, wide))
        if classes:
            self.label_emb = nn.Embedding(classes, wide)
        c = int(mult[0] * width)
        first, skips, fold = c, [c], 1
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(channels, c, 3, padding=1)])])
        for level, m in enumerate(mult):
            for _ in range(blocks):
                block = [Res(c, int(m * width), wide, scale_shift)]
                c = int(m * width)
                self.input_blocks.append(nn.ModuleList(block + ([attention(c)] if fold in attend else [])))
                skips.append(c)
            if level + 1 < len(mult):
                self.input_blocks.append(nn.ModuleList([resampled(c, "down")]))
                skips.append(c)
                fold *= 2
        self.middle_block = nn.ModuleList([Res(c, c, wide, scale_shift), attention(c), Res(c, c, wide, scale_shift)])
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                block = [Res(c + skips.pop(), int(m * width), wide, scale_shift)]
                c = int(m * width)
                block += [attention(c)] if fold in attend else []
                if level and i == blocks:
                    block.append(resampled(c, "up"))
                    fold //= 2
                self.output_blocks.append(nn.ModuleList(block))
        self.out = nn.Sequential(nn.GroupNorm(32, c), nn.SiLU(), nn.Conv2d(first, 2 * channels if learn_sigma else channels, 3, padding=1))

    def forward(self, x, t, y=None):
        emb = self.time_embed(embed(t, self.width))
        if y is not None:
            emb = emb + self.label_emb(y)
        kept = []
        for block in self.input_blocks:
            for layer in block:
                x = layer(x, emb)
            kept.append(x)
        for layer in self.middle_block:
            x = layer(x, emb)
        for block in self.output_blocks:
            x = torch.cat([x, kept.pop()], 1)
            for layer in block:
                x = layer(x, emb)
        return self.out(x)


def make(config, seed):
    """Random weights everywhere, norms and biases included."""
    torch.manual_seed(seed)
    model = GuidedUNet(**config).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(0.2 * torch.randn_like(p))
    return model
