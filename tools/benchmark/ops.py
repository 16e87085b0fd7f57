"""Single ops: each implementation of demist's against oneDNN (through PyTorch) and OpenBLAS (through NumPy)."""
import os
import time

import workers

# The extents of the two networks' work at the batches of the bench, and a square product.
CASES = ["matmul 1024 1024 1024", "matmul 2048 256 256", "matmul_nt 512 512 128"] + \
        [f"{op} {e}" for e in ("8 32 32 128 128 3", "8 16 16 256 256 3", "8 16 16 512 256 3", "8 8 8 256 256 3", "8 4 4 256 256 3", "8 16 16 512 256 1",
                               "64 32 32 32 32 3", "64 16 16 64 64 3", "64 8 8 128 64 3") for op in ("conv2d", "conv2d_dx", "conv2d_dw")] + \
        [f"{op} {e}" for e in ("8 256 256 1", "64 256 64 1", "8 256 256 4") for op in ("attention", "attention_dx")] + \
        [f"{op} {e}" for e in ("8 1024 128 32", "8 256 512 32", "64 1024 32 32") for op in ("group_norm", "group_norm_dx")]
BUDGET = 0.3


def best(f):
    f()
    began, times = time.monotonic(), []
    while len(times) < 3 or time.monotonic() - began < BUDGET:
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return min(times)


def conv_peer(op, v):
    """In PyTorch's default layout and channels last: whichever is faster."""
    import torch
    n, h, w, c, o, k = v
    seconds = []
    for memory in (torch.contiguous_format, torch.channels_last):
        x, y = (torch.rand(n, ch, h, w).contiguous(memory_format=memory) for ch in (c, o))
        kernel = torch.rand(o, c, k, k).contiguous(memory_format=memory)
        mask = [op == "conv2d_dx", op == "conv2d_dw", False]
        if op == "conv2d":
            seconds.append(best(lambda: torch.conv2d(x, kernel, padding=k // 2)))
        else:
            seconds.append(best(lambda: torch.ops.aten.convolution_backward(y, x, kernel, None, [1, 1], [k // 2] * 2, [1, 1], False, [0, 0], 1, mask)))
    return min(seconds)


def backward(y, *leaves):
    import torch
    dy = torch.rand_like(y)
    return best(lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True))


def attention_peer(op, v):
    import torch
    n, length, width, heads = v
    q, k, u = (torch.rand(n, heads, length, width // heads, requires_grad=op.endswith("dx")) for _ in range(3))
    f = torch.nn.functional.scaled_dot_product_attention
    return best(lambda: f(q, k, u)) if op == "attention" else backward(f(q, k, u), q, k, u)


def norm_peer(op, v):
    import torch
    n, length, c, groups = v
    x, g, b = (torch.rand(*s, requires_grad=op.endswith("dx")) for s in ((n, c, length), (c,), (c,)))

    def f():
        return torch.nn.functional.silu(torch.nn.functional.group_norm(x, groups, g, b))
    return best(f) if op == "group_norm" else backward(f(), x, g, b)


def peers(case):
    import numpy as np
    import torch
    op, *v = case.split()
    v = [int(s) for s in v]
    if op.startswith("matmul"):
        m, n, k = v
        a, b = np.random.rand(m, k).astype(np.float32), np.random.rand(*((n, k) if op.endswith("nt") else (k, n))).astype(np.float32)
        b = b.T if op.endswith("nt") else b
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        return {"PyTorch": best(lambda: ta @ tb), "OpenBLAS": best(lambda: a @ b)}
    f = conv_peer if op.startswith("conv") else attention_peer if op.startswith("att") else norm_peer
    return {"PyTorch": f(op, v)}


def measure(o):
    import torch
    torch.set_num_threads(o.threads)
    rows = []
    for device in o.device:
        w = workers.Worker(f"demist {device}", [os.path.join(o.build, "tools/benchmark/bench_ops"), device])
        for case in CASES:
            if o.only and o.only not in case:
                continue
            a, theirs = w.ask(case), {}
            for _ in range(o.rounds):   # in turns
                for k, s in peers(case).items():
                    theirs[k] = min(theirs.get(k, s), s)
                for k, i in w.ask(case)["impls"].items():
                    a["impls"][k]["seconds"] = min(a["impls"][k]["seconds"], i["seconds"])
            rows.append({"op": case, "device": device, "flops": a["flops"], "bytes": a["bytes"], "impls": a["impls"], "peers": theirs})
            show(rows[-1])
        w.close()
    return {"work": "ops", "rows": rows, "absent": {}}


def show(r):
    def rate(s):
        return f"{r['flops'] / s / 1e9:7.0f} GFLOP/s" if r["flops"] > 4 * r["bytes"] else f"{r['bytes'] / s / 1e9:7.1f} GB/s   "
    ours = min(r["impls"].items(), key=lambda i: i[1]["seconds"])
    theirs = min(r["peers"].values())
    others = ", ".join(f"{k} {1e3 * i['seconds']:.2f} ms" for k, i in r["impls"].items() if k != ours[0])
    print(f"  {r['op']:32} {ours[0]:10} {1e3 * ours[1]['seconds']:8.3f} ms {rate(ours[1]['seconds'])}  "
          + "  ".join(f"{k} {1e3 * s:8.3f} ms {rate(s)}" for k, s in r["peers"].items())
          + f"  {theirs / ours[1]['seconds']:5.2f} x  differs {ours[1]['difference']:.0e}" + (f"  ({others})" if others else ""), flush=True)
