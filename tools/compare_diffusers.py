"""Compares demist with diffusers on random models: `demist predict` with UNet2DModel.forward and
DiTTransformer2DModel.forward, fp32.

Prints a line for each configuration with the largest difference over the output's largest magnitude, and fails
where that is above the limit (1e-4; 5e-4 with Fourier time embedding). Needs diffusers, torch and safetensors.

    DEMIST=build/demist python tools/compare_diffusers.py [--device cpu] [--only NAME] [--markdown]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from safetensors.torch import load_file, save_file

D, A, R = "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"
U, AU, RU = "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"
TRANSFORMER = dict(sample_size=8, in_channels=3, num_layers=2, num_attention_heads=2, attention_head_dim=8, num_embeds_ada_norm=10)
BASE = dict(sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
            down_block_types=(D, A), up_block_types=(AU, U))


def configs():
    """Name, what differs from BASE."""
    yield "base", {}
    yield "ddpm-cifar10-32, narrow", dict(block_out_channels=(16, 32, 32, 32), layers_per_block=2, sample_size=32,
                                          down_block_types=(D, A, D, D), up_block_types=(U, U, AU, U), attention_head_dim=None,
                                          downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6)
    yield "ddpm-cifar10-32, as wide as it is", dict(block_out_channels=(128, 256, 256, 256), layers_per_block=2, sample_size=32,
                                                    down_block_types=(D, A, D, D), up_block_types=(U, U, AU, U), attention_head_dim=None,
                                                    downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, norm_num_groups=32)
    yield "diffusers' defaults, narrow", dict(block_out_channels=(32, 64, 96, 128), layers_per_block=2, down_block_types=(D, A, A, A),
                                              up_block_types=(AU, AU, AU, U), norm_num_groups=32)
    yield "one level", dict(block_out_channels=(16,), down_block_types=(D,), up_block_types=(U,))
    yield "one level, attention", dict(block_out_channels=(16,), down_block_types=(A,), up_block_types=(AU,))
    yield "five levels", dict(sample_size=32, block_out_channels=(8, 8, 16, 16, 24), down_block_types=(D, D, D, D, A), up_block_types=(AU, U, U, U, U))
    yield "three layers", dict(layers_per_block=3)
    yield "grey", dict(in_channels=1, out_channels=1)
    yield "5 channels", dict(in_channels=5, out_channels=5)
    yield "learned variance", dict(in_channels=3, out_channels=6)
    yield "24 x 16", dict(sample_size=(24, 16))
    yield "28 x 28, three levels", dict(sample_size=28, block_out_channels=(16, 16, 32), down_block_types=(D, D, A), up_block_types=(AU, U, U))
    yield "groups 8", dict(norm_num_groups=8)
    yield "groups 1", dict(norm_num_groups=1)
    yield "eps 1e-3", dict(norm_eps=1e-3)
    yield "head dim 4", dict(attention_head_dim=4)
    yield "head dim 16", dict(attention_head_dim=16, down_block_types=(A, A), up_block_types=(AU, AU))
    yield "head dim 12, not a divisor", dict(attention_head_dim=12)
    yield "one head", dict(attention_head_dim=None)
    yield "padding 0", dict(downsample_padding=0)
    yield "sin first", dict(flip_sin_to_cos=False)
    yield "freq shift 1", dict(freq_shift=1)
    yield "time width 48", dict(time_embedding_dim=48)
    yield "scale and shift", dict(resnet_time_scale_shift="scale_shift")
    yield "scale and shift, mid norm", dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=8)
    yield "mid norm 2", dict(attn_norm_num_groups=2)
    yield "no mid attention", dict(add_attention=False)
    yield "mid scale 1.4142", dict(mid_block_scale_factor=2 ** 0.5)
    yield "no mid", dict(mid_block_type=None)
    yield "resnet blocks", dict(down_block_types=(R, R), up_block_types=(RU, RU))
    yield "resnet down only", dict(down_block_types=(R, A), up_block_types=(AU, U))
    yield "resnet up only", dict(down_block_types=(D, A), up_block_types=(RU, U))
    yield "resnet sampling in attention blocks", dict(down_block_types=(A, A), up_block_types=(AU, AU), downsample_type="resnet", upsample_type="resnet")
    yield "ADM-like", dict(block_out_channels=(16, 32, 48), down_block_types=(R, A, A), up_block_types=(AU, AU, RU), downsample_type="resnet",
                           upsample_type="resnet", resnet_time_scale_shift="scale_shift", num_class_embeds=10)
    yield "different up and down", dict(down_block_types=(A, D), up_block_types=(U, AU))
    yield "swish", dict(act_fn="swish")
    yield "mish", dict(act_fn="mish")
    yield "gelu", dict(act_fn="gelu")
    yield "relu", dict(act_fn="relu")
    yield "10 classes", dict(num_class_embeds=10)
    yield "classes as time", dict(class_embed_type="timestep")
    yield "class vectors", dict(class_embed_type="identity")
    yield "class vectors, time width 48", dict(class_embed_type="identity", time_embedding_dim=48, resnet_time_scale_shift="scale_shift")
    yield "centered input", dict(center_input_sample=True)
    yield "fourier", dict(time_embedding_type="fourier")
    yield "fourier, classes as time", dict(time_embedding_type="fourier", class_embed_type="timestep")
    yield "learned time", dict(time_embedding_type="learned", num_train_timesteps=100)
    yield "learned time, classes as time", dict(time_embedding_type="learned", num_train_timesteps=100, class_embed_type="timestep")
    yield "dropout at rest", dict(dropout=0.3)
    yield "half precision file", dict(_half=torch.float16)
    yield "bfloat16 file", dict(_half=torch.bfloat16)
    yield "three shards", dict(_shards=3)
    for name, change in transformers():
        yield name, dict(_base=TRANSFORMER, **change)


def transformers():
    yield "transformer", {}
    yield "transformer, learned variance", dict(out_channels=6)
    yield "transformer, patches of 4", dict(patch_size=4, sample_size=16)
    yield "transformer, patches of a pixel", dict(patch_size=1, in_channels=1)
    yield "transformer, 3 blocks of 4 heads", dict(num_layers=3, num_attention_heads=4, attention_head_dim=12)
    yield "transformer, a head", dict(num_attention_heads=1, attention_head_dim=20)
    yield "transformer, eps 1e-2", dict(norm_eps=1e-2)
    yield "transformer, no bias in attention", dict(attention_bias=False)
    yield "transformer, two classes", dict(num_embeds_ada_norm=2)
    yield "transformer, dropout at rest", dict(dropout=0.3)
    yield "transformer, as it was called", dict(_class="Transformer2DModel", in_channels=4, out_channels=8)
    yield "transformer, another size than its own", dict(_side=12)
    yield "transformer, half precision file", dict(_half=torch.float16)
    yield "transformer, three shards", dict(_shards=3)
    yield "transformer, S/2 of the paper", dict(sample_size=32, in_channels=4, out_channels=8, num_layers=12, num_attention_heads=6,
                                                attention_head_dim=64, num_embeds_ada_norm=1000)


def make(change, seed):
    """A model with random weights everywhere, norms and biases included."""
    torch.manual_seed(seed)
    kind, base = (DiTTransformer2DModel, change["_base"]) if "_base" in change else (UNet2DModel, BASE)
    model = kind(**{**base, **{k: v for k, v in change.items() if not k.startswith("_")}}).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn_like(p))
            elif p.ndim == 1 and not name.startswith("time_proj"):
                p.copy_(0.1 * torch.randn_like(p))
    return model


def inputs(model, seed, n=2, side=None):
    c = model.config
    if isinstance(model, DiTTransformer2DModel):  # the last class is none
        torch.manual_seed(seed + 1)
        return torch.randn(n, c.in_channels, *[side or c.sample_size] * 2), torch.tensor([3, 801]), torch.tensor([c.num_embeds_ada_norm, 1])
    size = (c.sample_size, c.sample_size) if isinstance(c.sample_size, int) else tuple(c.sample_size)
    torch.manual_seed(seed + 1)
    learned = c.time_embedding_type == "learned"
    t = torch.tensor([1, 57] if learned else [3, 801])
    y = torch.tensor([7, 2]) if c.num_class_embeds or c.class_embed_type else None
    x = torch.randn(n, c.in_channels, *size)
    if c.class_embed_type == "identity":
        y = torch.randn(n, c.time_embedding_dim or 4 * c.block_out_channels[0])
    return x, t, y


def save(model, folder, change):
    if "_half" in change:
        model.to(change["_half"]).save_pretrained(folder)
        return type(model).from_pretrained(folder, torch_dtype=torch.float32, low_cpu_mem_usage=False)  # constants as they were
    if "_shards" in change:
        model.save_pretrained(folder, max_shard_size=sum(p.numel() * 4 for p in model.parameters()) // change["_shards"])
    else:
        model.save_pretrained(folder)
    if "_class" in change:
        file = os.path.join(folder, "config.json")
        config = {**json.load(open(file)), "_class_name": change["_class"], "cross_attention_dim": None, "num_vector_embeds": None,
                  "only_cross_attention": False, "use_linear_projection": False}
        json.dump(config, open(file, "w"))
    return model.float()


def ask_demist(folder, x, t, y, device):
    ins, outs = os.path.join(folder, "in.st"), os.path.join(folder, "out.st")
    save_file({"x": x, "t": t, **({"y": y} if y is not None else {})}, ins)
    p = subprocess.run([os.environ.get("DEMIST", "demist"), "predict", folder, f"device={device}", "--in", ins, "--out", outs, "-q"],
                       capture_output=True, text=True)
    return load_file(outs)["out"] if p.returncode == 0 else p.stderr.strip()


def main():
    torch.set_num_threads(1)  # such small networks are only slowed by more
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a.add_argument("--markdown", action="store_true")
    a = a.parse_args()
    failed, worst, n = 0, 0.0, 0
    for seed, (name, change) in enumerate(configs()):
        if a.only not in name:
            continue
        model = make(change, seed)
        with tempfile.TemporaryDirectory() as folder:
            model = save(model, folder, change)
            x, t, y = inputs(model, seed, side=change.get("_side"))
            out = ask_demist(folder, x, t, y, a.device)
        with torch.no_grad():
            want = model(x, t, class_labels=y).sample
        if isinstance(out, str):
            print(f"{name}: {out}")
            failed += 1
            continue
        ratio = ((out - want).abs().max() / want.abs().max()).item()
        limit = 5e-4 if model.config.get("time_embedding_type") == "fourier" else 1e-4
        ok = ratio <= limit
        failed += not ok
        worst, n = max(worst, ratio), n + 1
        print(f"| {name} | {ratio:.1e} |" if a.markdown else f"{'ok  ' if ok else 'BAD '} {ratio:.2e}  {name}", flush=True)
    print(f"{n} configurations, largest difference {worst:.1e} of the largest output; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
