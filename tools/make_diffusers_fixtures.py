"""Writes tests/parity/data/diffusers: tiny UNet2DModels and DiTTransformer2DModels with random weights as diffusers saves them, and in
expected.safetensors of each folder inputs x, t, y and what their forward gives for them; in walk.safetensors
noise x and z and, as trace, x after each of 10 steps of the folder's scheduler in double precision; in
compat.safetensors the same with a spacing where demist goes another way unless it is told sampler.compat=diffusers.

    python tools/make_diffusers_fixtures.py
"""
import json
import os
import shutil

import torch
from compare_diffusers import A, AU, D, R, RU, TRANSFORMER, U, inputs, make
from compare_schedulers import scheduler, step
from diffusers import DDIMScheduler, DDPMScheduler
from safetensors.torch import load_file, save_file

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/parity/data/diffusers")
SMALL = dict(sample_size=8, block_out_channels=(4, 8), norm_num_groups=2, attention_head_dim=4, in_channels=1, out_channels=1)
MODELS = {
    "plain": dict(SMALL, attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6),
    "adm": dict(SMALL, down_block_types=(R, A), up_block_types=(AU, RU), upsample_type="resnet", resnet_time_scale_shift="scale_shift",
                num_class_embeds=10, sample_size=(8, 4), in_channels=2, out_channels=2),
    "fourier": dict(SMALL, time_embedding_type="fourier", down_block_types=(D, D), up_block_types=(U, U), add_attention=False, act_fn="mish",
                    mid_block_scale_factor=2 ** 0.5, out_channels=2),
}
SHORT = dict(_base=TRANSFORMER, in_channels=1, num_embeds_ada_norm=3)
TRANSFORMERS = {
    "dit": dict(SHORT, norm_eps=1e-2),
    "dit_learned": dict(SHORT, num_layers=1, patch_size=4, out_channels=2, attention_bias=False),
}
SCHEDULERS = {
    "plain": (DDPMScheduler, dict(variance_type="fixed_large")),
    "adm": (DDIMScheduler, dict(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing",
                                clip_sample_range=0.9)),
    "fourier": (DDPMScheduler, dict(beta_schedule="sigmoid", thresholding=True, sample_max_value=1.5, clip_sample=False)),
    "dit": (DDIMScheduler, dict(clip_sample=False)),
    "dit_learned": (DDPMScheduler, dict(variance_type="learned_range")),
}
COMPAT = {"plain": "trailing", "adm": "linspace"}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def age(folder):
    """Attention as it was named and shaped until 2023, in two files with an index, half of it as bfloat16."""
    file = os.path.join(folder, "diffusion_pytorch_model.safetensors")
    tensors = {}
    for k, v in load_file(file).items():
        for new, old in OLD.items():
            if f".{new}." in k:
                k = k.replace(new, old)
                v = v[:, :, None, None].contiguous() if v.ndim == 2 else v
        tensors[k] = v
    names = sorted(tensors)
    parts = names[::2], names[1::2]
    files = [f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
    save_file({k: tensors[k].contiguous() for k in parts[0]}, os.path.join(folder, files[0]), {"format": "pt"})
    save_file({k: tensors[k].to(torch.bfloat16).contiguous() for k in parts[1]}, os.path.join(folder, files[1]), {"format": "pt"})
    json.dump({"metadata": {}, "weight_map": {k: files[i] for i in range(2) for k in parts[i]}},
              open(file + ".index.json", "w"), indent=1, sort_keys=True)
    os.remove(file)


def walk(folder, model, kind, config, name):
    """Ten steps; images have the classes 0, 1 in turn, as demist gives them out."""
    s, x = scheduler(kind, config, 10), inputs(model, 7)[0]
    torch.manual_seed(8)
    z, trace = torch.randn(10, *x.shape), [x.double()]
    y = torch.arange(len(x)) if model.config.get("num_class_embeds") or model.config.get("num_embeds_ada_norm") else None
    for i, t in enumerate(s.timesteps):
        with torch.no_grad():
            out = model(trace[-1].float(), torch.full((len(x),), int(t)), class_labels=y).sample
        trace.append(step(s, out, int(t), trace[-1], z[i], 0))
    save_file({"x": x, "z": z, "trace": torch.stack(trace).float()}, os.path.join(folder, name))


def main():
    for seed, (name, change) in enumerate({**MODELS, "old": MODELS["plain"], **TRANSFORMERS}.items()):
        folder = os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)  # solvers.* beside it are tools/compare_solvers.py's
        model = make(change, 100 + seed)
        if name == "old":
            with torch.no_grad():
                for p in model.parameters():
                    p.copy_(p.to(torch.bfloat16))
        model.save_pretrained(folder)
        if name == "old":
            age(folder)
        else:
            kind, config = SCHEDULERS[name]
            kind(**config).save_pretrained(folder)
            if model.config.out_channels in (None, model.config.in_channels):
                walk(folder, model, kind, config, "walk.safetensors")
            if name in COMPAT:
                walk(folder, model, kind, {**config, "timestep_spacing": COMPAT[name]}, "compat.safetensors")
        x, t, y = inputs(model, 100 + seed)
        with torch.no_grad():
            out = model(x, t, class_labels=y).sample
        save_file({"x": x, "t": t, "out": out, **({"y": y} if y is not None else {})}, os.path.join(folder, "expected.safetensors"))


if __name__ == "__main__":
    main()
