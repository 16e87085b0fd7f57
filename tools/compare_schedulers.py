"""Compares demist with diffusers' DDPMScheduler and DDIMScheduler, whose arrays are recomputed in double precision.

Each configuration is a scheduler_config.json beside a small random UNet2DModel. demist samples with given noise and
leaves x after each step. Single steps: diffusers steps in double precision from the same x with the same network
output; the difference must be within (1e-5 + 1e-6 sqrt(alpha_bar_next / alpha_bar)) of the largest |x|. Whole runs:
diffusers walks from the noise by itself, with the network in fp32; the last x must be within 1e-3 of its range.

Where DDIM clips x0 and keeps the network's eps beside it (its default), the network answers at a tenth of its strength:
such a walk magnifies what fp32 rounds, in diffusers as in demist. Against the network in float64, the largest of five
random networks over 50 steps (--rounding, on PoCL), diffusers with its network alone in fp32, demist with x too:

    conv_out of   diffusers         demist        float64 from noise that is   which is
    strength 1    4.1e-3            1.7e-2        changed by 6e-8: 1.6e-3      26000 times as much
    0.5           1.4e-3            1.4e-3        9.0e-5                        1500 times
    0.1           1.5e-5            2.6e-5        1.8e-6                          30 times

Without clipping, or with prediction types sample and v_prediction, the change grows 11 times at most at strength 1, and
demist is within 2.3e-6 of float64.

    DEMIST=build/demist python tools/compare_schedulers.py [--device cpu] [--only NAME] [--markdown]
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import load_file, save_file

N = 2
SHAPE = (N, 3, 8, 8)
PREDICTIONS = ("epsilon", "sample", "v_prediction")


class LearnedLog(DDPMScheduler):
    """What is learned is the logarithm of the variance, as in improved-diffusion, whence diffusers has it."""

    def _get_variance(self, t, predicted_variance=None, variance_type=None):
        return predicted_variance.exp()


def configs():
    """Name, class, config, steps, eta."""
    for kind in (DDPMScheduler, DDIMScheduler):
        name = kind.__name__[:4]
        for p in PREDICTIONS:
            for clip in (dict(clip_sample=True), dict(clip_sample=False), dict(clip_sample_range=0.7),
                         dict(thresholding=True, sample_max_value=1.8), dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=5.0)):
                yield f"{name} {p} {clip}", kind, dict(prediction_type=p, **clip), 50, 0
        for spacing in ("leading", "trailing", "linspace"):
            if spacing != "linspace" or kind is DDPMScheduler:
                for n in (7, 50, 1000):
                    if kind is DDPMScheduler or 1000 % n == 0 or spacing == "leading":
                        yield f"{name} {spacing} {n} steps", kind, dict(timestep_spacing=spacing), n, 0
        yield f"{name} offset 1", kind, dict(steps_offset=1), 50, 0
        yield f"{name} 100 steps of training", kind, dict(num_train_timesteps=100), 20, 0
        for betas in (dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012), dict(beta_schedule="squaredcos_cap_v2"),
                      dict(beta_schedule="sigmoid"), dict(beta_start=5e-4, beta_end=0.01),
                      dict(trained_betas=[0.001 * (1 + i) for i in range(60)], num_train_timesteps=60)):
            if betas.get("beta_schedule") != "sigmoid" or kind is DDPMScheduler:
                yield f"{name} {str(betas)[:70]}", kind, betas, 50 if "trained_betas" not in betas else 20, 0
        for p in ("sample", "v_prediction"):
            yield f"{name} zero terminal SNR, {p}", kind, dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type=p), 50, 0
    for v in ("fixed_small", "fixed_small_log", "fixed_large"):
        for spacing in ("leading", "linspace"):
            yield f"DDPM {v} {spacing}", DDPMScheduler, dict(variance_type=v, timestep_spacing=spacing), 50, 0
    for spacing in ("leading", "linspace"):
        yield f"DDPM learned_range {spacing}", DDPMScheduler, dict(variance_type="learned_range", timestep_spacing=spacing), 50, 0
        yield f"DDPM learned {spacing}", LearnedLog, dict(variance_type="learned", timestep_spacing=spacing), 50, 0
    for p in PREDICTIONS[1:]:
        yield f"DDPM learned_range {p}", DDPMScheduler, dict(variance_type="learned_range", prediction_type=p), 50, 0
    for eta in (0.3, 1.0):
        yield f"DDIM eta {eta}", DDIMScheduler, {}, 50, eta
    for offset in (0, 1):
        yield f"DDIM set_alpha_to_one False, offset {offset}", DDIMScheduler, dict(set_alpha_to_one=False, steps_offset=offset), 50, 0
    for n in (7, 50, 1000):
        yield f"DDIM linspace {n} steps, compat", DDIMScheduler, dict(timestep_spacing="linspace", _compat=True), n, 0
    for n in (7, 30):
        yield f"DDIM trailing {n} steps, compat", DDIMScheduler, dict(timestep_spacing="trailing", _compat=True), n, 0
    yield "DDIM linspace, eta 0.5, compat", DDIMScheduler, dict(timestep_spacing="linspace", _compat=True), 20, 0.5
    yield "DDIM linspace, set_alpha_to_one False, compat", DDIMScheduler, dict(timestep_spacing="linspace", set_alpha_to_one=False, _compat=True), 50, 0
    yield "DDIM leading, compat", DDIMScheduler, dict(_compat=True), 30, 0
    for v in ("fixed_small", "fixed_large", "learned_range"):
        yield f"DDPM {v} trailing, compat", DDPMScheduler, dict(variance_type=v, timestep_spacing="trailing", _compat=True), 50, 0
        yield f"DDPM {v} offset 1, compat", DDPMScheduler, dict(variance_type=v, steps_offset=1, _compat=True), 30, 0
        yield f"DDPM {v}, compat", DDPMScheduler, dict(variance_type=v, _compat=True), 20, 0
    yield "DDIM set_alpha_to_one False, unclipped", DDIMScheduler, dict(set_alpha_to_one=False, clip_sample=False), 50, 0


def betas64(c):
    T = c.num_train_timesteps
    if c.trained_betas is not None:
        b = np.array(c.trained_betas, np.float64)
    elif c.beta_schedule == "linear":
        b = np.linspace(c.beta_start, c.beta_end, T)
    elif c.beta_schedule == "scaled_linear":
        b = np.linspace(c.beta_start ** 0.5, c.beta_end ** 0.5, T) ** 2
    elif c.beta_schedule == "sigmoid":
        b = (c.beta_end - c.beta_start) / (1 + np.exp(-np.linspace(-6, 6, T))) + c.beta_start
    else:
        f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
        b = np.minimum(1 - f[1:] / f[:-1], 0.999)
    if c.rescale_betas_zero_snr:
        r = np.sqrt(np.cumprod(1 - b))
        r = (r - r[-1]) * r[0] / (r[0] - r[-1])
        a = r ** 2
        b = 1 - np.concatenate([a[:1], a[1:] / a[:-1]])
    return torch.from_numpy(b)


def plain(config):
    """Without what is not diffusers'."""
    return {k: v for k, v in config.items() if not k.startswith("_")}


def scheduler(kind, config, steps):
    s = kind(**plain(config))
    s.betas = betas64(s.config)
    s.alphas = 1 - s.betas
    s.alphas_cumprod = torch.cumprod(s.alphas, 0)
    s.one = torch.tensor(1.0, dtype=torch.float64)
    if kind is DDIMScheduler:
        s.final_alpha_cumprod = s.one if s.config.set_alpha_to_one else s.alphas_cumprod[0]
    s.set_timesteps(steps)
    return s


def step(s, out, t, x, z, eta):
    """One step in double precision; z: the noise, whichever way the scheduler wants it."""
    out, x, z = out.double(), x.double(), z.double()
    if isinstance(s, DDIMScheduler):
        return s.step(out, t, x, eta=eta, variance_noise=z if eta > 0 else None).prev_sample
    scheduling_ddpm.randn_tensor = lambda *a, **k: z
    return s.step(out, t, x).prev_sample


def network(seed, config):
    torch.manual_seed(seed)
    outputs = 6 if config.get("variance_type", "").startswith("learned") else 3
    return UNet2DModel(sample_size=8, out_channels=outputs, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
                       down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D")).eval()


def constant(model):
    """The same, its output a constant for each channel, so that a step's two inputs are the same to the last bit."""
    with torch.no_grad():
        model.conv_out.weight.zero_()
        model.conv_out.bias.copy_(torch.tensor([0.75, -1.25, 0.125, -0.5, 0.25, 1.0])[: len(model.conv_out.bias)])
    return model


def run_demist(model, kind, config, steps, eta, x, z, device):
    with tempfile.TemporaryDirectory() as d:
        model.save_pretrained(os.path.join(d, "unet"))
        (DDPMScheduler if kind is LearnedLog else kind)(**plain(config)).save_pretrained(os.path.join(d, "scheduler"))
        save_file({"x": x, "z": z}, os.path.join(d, "noise.st"))
        p = subprocess.run([os.environ.get("DEMIST", "demist"), "sample", d, f"device={device}", f"sampler.steps={steps}",
                            *([f"sampler.eta={eta}"] if kind is DDIMScheduler else []),
                            *(["sampler.compat=diffusers"] if config.get("_compat") else []), "--noise", os.path.join(d, "noise.st"), "--trace",
                            os.path.join(d, "trace.safetensors"), "--tensors", os.path.join(d, "x.st"), "-q"], capture_output=True, text=True)
        return load_file(os.path.join(d, "trace.safetensors"))["x"] if p.returncode == 0 else p.stderr.strip()


def single_steps(kind, config, steps, eta, device):
    model, s = constant(network(1, config)), scheduler(kind, config, steps)
    torch.manual_seed(2)
    x, z = torch.randn(SHAPE), torch.randn(min(steps, 60), *SHAPE)
    trace = run_demist(model, kind, config, steps, eta, x, torch.cat([z] * (steps // len(z) + 1)), device)
    if isinstance(trace, str):
        return trace
    worst = 0.0
    out = model.conv_out.bias.detach()[None, :, None, None].expand(N, -1, *SHAPE[2:])
    for i, t in enumerate(s.timesteps[: len(trace) - 1]):
        t = int(t)
        want = step(s, out, t, trace[i], z[i % len(z)], eta)
        before = s.alphas_cumprod[t].item()
        after = s.alphas_cumprod[int(s.timesteps[i + 1])].item() if i + 1 < len(s.timesteps) else 1.0
        if kind is DDIMScheduler:  # where diffusers goes, which is the same but for what compat is for
            to = t - s.config.num_train_timesteps // steps
            after = s.alphas_cumprod[to].item() if to >= 0 else 1.0
        limit = 1e-5 + 1e-6 * (after / before) ** 0.5 if before > 0 else 1e-5
        size = trace[i].abs().max().item()
        worst = max(worst, ((trace[i + 1].double() - want).abs().max().item() / size) / limit)
    return worst


def whole_run(kind, config, steps, eta, device):
    model, s = network(3, config), scheduler(kind, config, steps)
    if kind is DDIMScheduler and s.config.prediction_type == "epsilon" and (s.config.clip_sample or s.config.thresholding):
        with torch.no_grad():
            model.conv_out.weight.mul_(0.1)
    torch.manual_seed(4)
    x, z = torch.randn(SHAPE), torch.randn(steps, *SHAPE)
    trace = run_demist(model, kind, config, steps, eta, x, z, device)
    if isinstance(trace, str):
        return trace
    y = x.double()
    for i, t in enumerate(s.timesteps):
        with torch.no_grad():
            out = model(y.float(), int(t)).sample
        y = step(s, out, int(t), y, z[i], eta)
    return (trace[-1].double() - y).abs().max().item() / (y.max() - y.min()).item()


def walk(model, kind, config, steps, x, dtype):
    """From x, the network in this precision and the scheduler in double; DDIM without noise."""
    s, y = scheduler(kind, config, steps), x.double()
    torch.nn.Module.to(model, dtype)
    for t in s.timesteps:
        with torch.no_grad():
            y = step(s, model(y.to(dtype), int(t)).sample, int(t), y, torch.zeros(SHAPE), 0)
    torch.nn.Module.to(model, torch.float32)
    return y


def rounding(device):
    """What a whole run makes of rounding: against a walk with the network in float64, over that walk's range, those of
    diffusers in fp32 and of demist, and float64's own from noise that is changed by 6e-8 of itself, as rounding it to
    fp32 would; the last over 6e-8 is how much the walk amplifies. The first column: what conv_out is multiplied by."""
    print("conv_out  configuration                    diffusers fp32  demist   float64, noise changed  amplified")
    for config in dict(), dict(clip_sample=False), dict(prediction_type="sample"), dict(prediction_type="v_prediction"):
        for scale in 1.0, 0.5, 0.1:
            got = []
            for seed in range(5):
                model = network(3 + seed, config)
                with torch.no_grad():
                    model.conv_out.weight.mul_(scale)
                torch.manual_seed(4 + seed)
                x = torch.randn(SHAPE)
                exact, fp32 = (walk(model, DDIMScheduler, config, 50, x, d) for d in (torch.float64, torch.float32))
                moved = walk(model, DDIMScheduler, config, 50, x.double() * (1 + 6e-8 * torch.sign(torch.randn(SHAPE))), torch.float64)
                trace = run_demist(model, DDIMScheduler, config, 50, 0, x, torch.zeros(1, *SHAPE), device)
                size = (exact.max() - exact.min()).item()
                got.append([(y - exact).abs().max().item() / size for y in (fp32, trace[-1].double(), moved)])
            worst = [max(g[i] for g in got) for i in range(3)]
            print(f"{scale:8}  DDIM {str(config):28}{worst[0]:14.1e}{worst[1]:8.1e}{worst[2]:24.1e}{worst[2] / 6e-8:11.0f}", flush=True)


def main():
    torch.set_num_threads(1)  # such small networks are only slowed by more
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a.add_argument("--markdown", action="store_true")
    a.add_argument("--rounding", action="store_true", help="whole runs against the network in float64 instead")
    a = a.parse_args()
    if a.rounding:
        rounding(a.device)
        return
    failed, n, worst, worst_run = 0, 0, 0.0, 0.0
    for name, kind, config, steps, eta in configs():
        if a.only not in name:
            continue
        one = single_steps(kind, config, steps, eta, a.device)
        run = whole_run(kind, config, steps, eta, a.device) if steps <= 50 else 0.0
        ok = not isinstance(one, str) and not isinstance(run, str) and one <= 1 and run <= 1e-3
        failed += not ok
        n += 1
        if ok:
            worst, worst_run = max(worst, one), max(worst_run, run)
            print(f"| {name} | {one:.2f} | {run:.1e} |" if a.markdown else f"ok   {one:.3f} of the limit, run {run:.1e}  {name}", flush=True)
        else:
            print(f"BAD  {one} {run} {name}", flush=True)
    print(f"{n} configurations; single steps at most {worst:.2f} of the limit, whole runs {worst_run:.1e} of the range; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
