#!/usr/bin/env python3
"""Writes tests/parity/data/dit.safetensors: what small diffusion transformers (Peebles & Xie 2023) say of an image, and the
gradient of the first training step with respect to each weight, by PyTorch in double precision. tests/parity/gradients.c
has the same cases."""
import os

import torch
import torch.nn.functional as tf
from safetensors.torch import save_file
from torch.nn import Linear, Module, ModuleDict, ModuleList

from make_selftest_values import loss_of, set_weights, start_value

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data/dit.safetensors")
LABELS = torch.tensor([0, 1, 2, 0])
CLASSES = 3


def told(*shape):
    n = torch.Size(shape).numel()
    return torch.tensor([start_value("told", i) for i in range(n)]).float().double().reshape(shape)


# What the case `told` is told; of a sequence of three rows an example has some.
VECTOR, IMAGE, SEQUENCE, ROWS = told(4, 5), told(4, 1, 8, 8), told(4, 3, 6), [0, 1, 2, 3]


def waves(at, count):
    """Sines and cosines [n, 2 count] of places [n], of frequencies 10000^(-i / count)."""
    angle = at[:, None] * 10000.0 ** (-torch.arange(count) / count)
    return torch.cat([angle.sin(), angle.cos()], 1)


class Norm(Module):
    def __init__(self, kind, width=None):
        super().__init__()
        self.kind, self.weight, self.bias = kind, None, None
        if width:
            self.weight = torch.nn.Parameter(torch.ones(width))
            if kind == "layer":
                self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, x):
        if self.kind == "rms":
            return tf.rms_norm(x, x.shape[-1:], self.weight, 1e-6)
        return tf.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-6)


class Attention(Module):
    def __init__(self, width, heads, qk_norm):
        super().__init__()
        self.heads, self.to_out = heads, ModuleList([Linear(width, width)])
        self.to_q, self.to_k, self.to_v = (Linear(width, width) for _ in range(3))
        if qk_norm != "none":
            self.norm_q, self.norm_k = (Norm(qk_norm, width // heads) for _ in range(2))
        self.norms = qk_norm != "none"

    def forward(self, x, angles):
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.to_q, self.to_k, self.to_v))
        if self.norms:
            q, k = self.norm_q(q), self.norm_k(k)
        if angles is not None:
            q, k = (self.turn(t, angles) for t in (q, k))
        return self.to_out[0](tf.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    @staticmethod
    def turn(x, angles):
        """Pairs of elements as complex numbers, times e^(i angle)."""
        a, b = x.chunk(2, -1)
        z = torch.complex(a, b) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([z.real, z.imag], -1)


class Cross(Module):
    """Attention to the rows of a sequence that are there; to none of them, the output's bias is left."""

    def __init__(self, width, heads, dim):
        super().__init__()
        self.heads, self.to_out = heads, ModuleList([Linear(width, width)])
        self.to_q, self.to_k, self.to_v = (Linear(n, width, bias=False) for n in (width, dim, dim))

    def forward(self, x):
        parts = lambda t: t.unflatten(2, (self.heads, -1)).transpose(1, 2)
        out = []
        for i, rows in enumerate(ROWS):
            seq = SEQUENCE[i:i + 1, :rows]
            y = tf.scaled_dot_product_attention(parts(self.to_q(x[i:i + 1])), parts(self.to_k(seq)), parts(self.to_v(seq))) if rows else None
            out.append(y.transpose(1, 2).flatten(2) if rows else torch.zeros_like(x[i:i + 1]))
        return self.to_out[0](torch.cat(out))


class DiT(Module):
    def __init__(self, channels, side, width, depth, heads, patch, time_in, mlp_ratio=4, positions="sincos", norm="layer", qk_norm="none",
                 classes=True, told=False):
        super().__init__()
        hidden = int(mlp_ratio * width)
        self.side, self.width, self.heads, self.patch, self.time_in = side, width, heads, patch, time_in
        self.positions, self.norm = positions, Norm(norm)
        self.pos_embed = ModuleDict({"proj": torch.nn.Conv2d(channels + told, width, patch, patch)})
        if told:
            vector = ModuleDict({"linear_1": Linear(VECTOR.shape[1], width), "linear_2": Linear(width, width)})
            self.condition_embedding = ModuleDict({"vector": vector})
        self.told = told
        self.timestep_embedder = ModuleDict({"linear_1": Linear(time_in, width), "linear_2": Linear(width, width)})
        if classes:
            self.class_embedder = ModuleDict({"embedding_table": torch.nn.Embedding(CLASSES + 1, width)})
        self.classes = classes
        self.transformer_blocks = ModuleList(ModuleDict({
            "norm1": ModuleDict({"linear": Linear(width, 6 * width)}),
            "attn1": Attention(width, heads, qk_norm),
            "ff": ModuleDict({"net": ModuleList([ModuleDict({"proj": Linear(width, hidden)}), torch.nn.Identity(), Linear(hidden, width)])}),
        }) for _ in range(depth))
        for b in self.transformer_blocks if told else []:
            b["attn2"] = Cross(width, heads, SEQUENCE.shape[2])
        self.proj_out_1, self.proj_out_2 = Linear(width, 2 * width), Linear(width, patch * patch * channels)
        self.double()

    def modulate(self, x, shift, scale):
        return self.norm(x) * (1 + scale[:, None]) + shift[:, None]

    def forward(self, x, t):
        h = w = self.side // self.patch
        row, column = (v.flatten().double() for v in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
        c = self.timestep_embedder["linear_1"](torch.cat(waves(t, self.time_in // 2).chunk(2, 1)[::-1], 1)) # cosines first
        c = self.timestep_embedder["linear_2"](tf.silu(c))
        if self.classes:
            c = c + self.class_embedder["embedding_table"](LABELS)
        if self.told:
            vector = self.condition_embedding["vector"]
            c = c + vector["linear_2"](tf.silu(vector["linear_1"](VECTOR)))
            x = torch.cat([x, IMAGE], 1)
        c, angles = tf.silu(c), None
        x = self.pos_embed["proj"](x).flatten(2).transpose(1, 2)
        if self.positions == "sincos":
            x = x + torch.cat([waves(column, self.width // 4), waves(row, self.width // 4)], 1)
        if self.positions == "rope":
            count = self.width // self.heads // 4
            angles = torch.cat([at[:, None] * 10000.0 ** (-torch.arange(count) / count) for at in (column, row)], 1)
        for b in self.transformer_blocks:
            shift1, scale1, gate1, shift2, scale2, gate2 = b["norm1"]["linear"](c).chunk(6, 1)
            x = x + gate1[:, None] * b["attn1"](self.modulate(x, shift1, scale1), angles)
            if self.told:
                x = x + b["attn2"](self.norm(x))
            y = tf.gelu(b["ff"]["net"][0]["proj"](self.modulate(x, shift2, scale2)), approximate="tanh")
            x = x + gate2[:, None] * b["ff"]["net"][2](y)
        x = self.proj_out_2(self.modulate(x, *self.proj_out_1(c).chunk(2, 1)))
        return torch.einsum("nhwpqc->nchpwq", x.reshape(len(x), h, w, self.patch, self.patch, -1)).flatten(4).flatten(2, 3)


CASES = {
    "published": (DiT(1, 8, 16, 2, 2, 2, 16), (1, 8, 8)),
    "rope": (DiT(1, 8, 16, 1, 2, 4, 8, 1.5, "rope", "rms", "rms"), (1, 8, 8)),
    "told": (DiT(1, 8, 16, 1, 2, 4, 8, 2, classes=False, told=True), (1, 8, 8)),
    "plain": (DiT(3, 4, 12, 1, 3, 1, 8, 2, "none", "layer", "layer", False), (3, 4, 4)),
}

if __name__ == "__main__":
    out = {}
    for name, (model, shape) in CASES.items():
        set_weights(model)
        x = torch.tensor([start_value("data", i) * 2 for i in range(4 * shape[0] * shape[1] * shape[2])]).float().double()
        with torch.no_grad():
            out[f"{name}.output"] = model(x.reshape(4, *shape), torch.tensor([0.0, 3.0, 500.0, 999.0])).float().contiguous()
        loss_of(model, shape, 0).backward()
        out.update({f"{name}.{key}": p.grad.float().contiguous() for key, p in model.named_parameters()})
    save_file(out, OUT)
