"""Networks drawn by a seed, so that no shape is chosen: U-Nets whose training step has at most 600 GFLOP and takes PyTorch
at most 6 GB."""
import contextlib
import math
import random
import time

import networks
import steps

UNETS = 12
MOST_FLOP, MOST_BYTES = 600e9, 6e9
WORKS = [(w, p) for p in ("fp32", "bf16") for w in ("forward", "train")]
GOALS = {("forward", "fp32"): 2.2, ("train", "fp32"): 2.2, ("forward", "bf16"): 1.6, ("train", "bf16"): 2.2}
LEAST = 1.3   # of any single one


def draw_unet(r):
    """A configuration of diffusers' UNet2DModel, and a batch."""
    levels = r.randint(2, 4)
    channels = sorted(r.randrange(24, 321, 8) for _ in range(levels))
    side = r.randrange(16, 97, 1 << (levels - 1))
    attention = [r.random() < 0.4 for _ in range(levels)]
    heads = [d for d in (8, 16, 24, 32, 40, 64) if all(c % d == 0 for c, a in zip(channels, attention) if a)]
    config = dict(
        sample_size=side, in_channels=3, out_channels=3, block_out_channels=channels, layers_per_block=r.randint(1, 3),
        down_block_types=[networks.A if a else networks.D for a in attention],
        up_block_types=[networks.AU if a else networks.U for a in reversed(attention)],
        attention_head_dim=r.choice(heads), norm_num_groups=r.choice([g for g in (4, 8, 12, 16, 24, 32) if all(c % g == 0 for c in channels)]),
        resnet_time_scale_shift=r.choice(["default", "scale_shift"]))
    return config, round(2 ** r.uniform(0, 6))


def cost(config, batch):
    """Operations of a training step, and bytes that PyTorch keeps for it: weights, gradients, AdamW's moments, and what the
    backward pass reads. Of shapes alone: nothing is computed."""
    import torch
    from diffusers import UNet2DModel
    from torch.utils.flop_counter import FlopCounterMode
    kept = {}
    with torch.device("meta"):
        model = UNet2DModel(**config)
        x, t = torch.empty(batch, config["in_channels"], config["sample_size"], config["sample_size"]), torch.zeros(batch)
        counter = FlopCounterMode(display=False)

        def keep(v):
            kept[id(v.untyped_storage())] = v
            return v

        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda v: v), contextlib.redirect_stdout(None):
            model(x, t).sample.sum()
    weights = sum(p.numel() for p in model.parameters())
    return 3 * counter.get_total_flops(), 16 * weights + sum(v.numel() * v.element_size() for v in kept.values())


def draw(seed):
    """(name, configuration, batch, operations) of each."""
    r = random.Random(seed)
    found = []
    while len(found) < UNETS:
        config, batch = draw_unet(r)
        flop, size = cost(config, batch)
        if flop <= MOST_FLOP and size <= MOST_BYTES:
            found.append((f"drawn-{seed}-unet-{len(found)}", config, batch, flop))
    return found


def describe(config, batch, flop):
    heads = sum(t == networks.A for t in config["down_block_types"])
    return (f"{'-'.join(map(str, config['block_out_channels']))} channels, {config['layers_per_block']} blocks, {config['sample_size']} pixels, "
            f"batch {batch}, attention at {heads} levels with heads of {config['attention_head_dim']}, {config['norm_num_groups']} groups, "
            f"{config['resnet_time_scale_shift']}, {flop / 1e9:.0f} GFLOP a training step")


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def summary(results, gain):
    """The geometric means of what was measured, and the least of all."""
    lines, single = [], {}
    for key in WORKS:
        ratios = {r["network"]: gain(r["rows"], "best") for r in results if (r["kind"], r["precision"]) == key}
        ratios = {n: v for n, v in ratios.items() if v}
        if ratios:
            m, goal = mean(ratios.values()), GOALS[key]
            lines.append(f"  {key[0]} {key[1]}: {m:.2f} x PyTorch (geometric mean of {len(ratios)}), goal {goal}: {'met' if m >= goal else 'NOT met'}; "
                         f"from {min(ratios.values()):.2f} to {max(ratios.values()):.2f}")
            single |= {f"{n} {key[0]} {key[1]}": v for n, v in ratios.items()}
    if single:
        least = min(single, key=single.get)
        lines.append(f"  the least: {single[least]:.2f} ({least}), goal {LEAST}: {'met' if single[least] >= LEAST else 'NOT met'}")
    return lines


def measure(o, show):
    """Shows each as it comes. Those that --seconds leaves no time for are named, as are those that failed."""
    until = time.monotonic() + o.seconds
    chosen = [d for d in draw(o.seed) if not o.only or o.only in d[0]]
    results, left = [], []
    for name, config, batch, flop in chosen:
        if time.monotonic() > until:
            left.append(name)
            continue
        networks.CONFIGS[name], steps.BATCH[name] = config, batch
        print(f"\n{name}: {describe(config, batch, flop)}", flush=True)
        for work, precision in WORKS:
            results.append(dict(steps.measure(o, name, work, precision), network=name, kind=work, precision=precision))
            show(o, results[-1])
    print(f"\ndrawn by seed {o.seed}, {len(chosen) - len(left)} of {UNETS} U-Nets" + (f"; no time for {', '.join(left)}" if left else ""))
    return results
