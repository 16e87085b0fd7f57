"""What a user of diffusers runs to get images: python sample_torch.py MODEL COUNT STEPS fp32|bf16 OUT.png THREADS."""
import sys

import torch
from diffusers import DDIMScheduler, UNet2DModel
from PIL import Image

folder, count, steps, precision, out, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model, scheduler, n = UNet2DModel.from_pretrained(folder, subfolder="unet").eval(), DDIMScheduler.from_pretrained(folder, subfolder="scheduler"), int(count)
scheduler.set_timesteps(int(steps))
x = torch.randn(n, model.config.in_channels, model.config.sample_size, model.config.sample_size)
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t).sample.float(), t, x).prev_sample
pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
Image.fromarray(pixels[:, 0].reshape(-1, pixels.shape[-1]).numpy()).save(out)
