"""Kernels need no more than OpenCL C 1.2 promises where they are not inline assembly: each source, with each option that
changes what it does, is compiled by clang for devices of 64 and of 32 bits, as the compilers of GPUs do first. In the result no
number has become an address, no address has changed its space, no builtin of clang is left that SPIR-V does not have, nothing is
of double precision, and the arguments of each kernel fit what every device takes.

Run by hand: test_kernels.py CLANG [TREE]."""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LANES = ["-DW=16", "-DW=4"]
TYPED = [f"{w}{t}" for w in LANES for t in ("", " -DBF16", " -DF16")]
TILES = ["", "-DSPLIT"]
PRODUCTS = ["-DOP=0 -DTA=0 -DTB=0 -DVEC_A=0 -DVEC_B=0", "-DOP=0 -DTA=1 -DTB=1 -DVEC_A=1 -DVEC_B=1",
            *(f"-DOP={op} -DVEC_A={v} -DVEC_B={v}" for op in (1, 2, 3) for v in (0, 1))]
FLASH = [f"-DW={w} -DTX={tx} -DTY={128 // tx}{more}{which}" for which in ("", " -DBACKWARD_Q", " -DBACKWARD_KV")
         for w, tx, more in ((32, 16, ""), (64, 8, " -DVECTORS -DSIMD=8"), (128, 16, " -DFULL -DVECTORS -DPACK -DDK=16 -DVK=8"))]
# Options below kernels/; a folder's are those of its files.
OPTIONS = {
    "attention": TILES, "attention/attention.cl": ["-DW=8", "-DW=4"], "attention/attention_vec16.cl": ["-DMR=8 -DNV=2", "-DMR=4 -DNV=1"],
    "attention/rope.cl": TYPED, "attention/flash.cl": ["-DDELTAS", *FLASH],
    "conv": TILES, "conv/conv2d_bf16.cl": ["", "-DY_F32", "-DSPLIT -DY_F32"], "conv/bf16_probe.cl": [""],
    "conv/conv2d_vec16.cl": ["-DMR=6 -DNV=2 -DTILES=1", "-DMR=12 -DNV=1 -DTILES=1"], "conv/conv2d_dw_vec16.cl": ["-DMB=4 -DNV=2 -DSWAP=0"],
    "conv/conv2d_portable.cl": [""], "conv/grouped.cl": LANES, "conv/im2col.cl": ["", "-DBF16", "-DF16"],
    "conv/winograd.cl": ["-DMR=12 -DNV=2 -DTAIL=1", "-DMR=6 -DNV=1 -DTAIL=0", "-DTILE=2 -DMR=12 -DNV=2 -DTAIL=1"],
    "conv/winograd_dw.cl": ["-DNV=2 -DTAIL=1", "-DTILE=2 -DNV=2 -DTAIL=1"],
    "conv/winograd_tiled.cl": [""], "eltwise": TYPED, "embed": LANES, "loss": LANES, "matmul/matmul_portable.cl": LANES,
    "matmul/rows.cl": LANES, "matmul/tiled.cl": [f"{o} -DWM={m}" for o in PRODUCTS for m in (4, 8)],
    "matmul/mma.cl": [f"{o} -DMI=2{t}" for o in PRODUCTS[2:] for t in ("", " -DBF16")], "memory": LANES, "norm/group_norm.cl":
    TYPED + ["-DW=1", "-DW=1 -DBF16"], "norm/group_norm_vec16.cl": ["", "-DBF16"], "norm/layer_norm.cl": LANES, "norm/rms_norm.cl": TYPED,
    "optim": LANES, "random": LANES, "reduce": TYPED, "sampling": ["-DW=4 -DGROUP=1", "-DW=4 -DGROUP=128"], "shape": TYPED, "small.cl": LANES}
# What clang makes of plain OpenCL C, and what SPIR-V has.
KNOWN = re.compile(r"llvm\.(memcpy|memset|memmove|lifetime|fmuladd|fma|experimental\.noalias|trap|ctlz|fabs|u?s?min|u?s?max|fshl)\b")
NULL = re.compile(r"addrspacecast \(ptr addrspace\(4\) null to ptr(?: addrspace\(\d\))?\)")  # as newer compilers write it
NOT_THERE = re.compile(r"^.*(?:\binttoptr\b|\baddrspacecast\b|\bdouble\b|@llvm\.[a-z.]+).*$", re.M)
KERNEL = re.compile(r"^define .*spir_kernel void @(\w+)\((.*?)\)(?= [^,)]*\{$)", re.M)
ARGUMENTS = 1024                   # bytes that a kernel may take: the least CL_DEVICE_MAX_PARAMETER_SIZE of OpenCL 1.2
SIZES = {"float": 4, "half": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8}


def options_of(name):
    return OPTIONS.get(name, OPTIONS.get(name.split("/")[0]))


def faults_in(llvm):
    llvm = NULL.sub("null", llvm)
    large = [f"'{name}' takes {n} bytes of arguments, more than {ARGUMENTS}" for name, n in argument_bytes(llvm) if n > ARGUMENTS]
    return large + [m.group().strip() for m in NOT_THERE.finditer(llvm) if not KNOWN.search(m.group())]


def size_of(argument):
    """Of a pointer 8 bytes, whatever the target."""
    if "*" in argument or argument.startswith("ptr"):
        return 8
    lanes, element = m.groups() if (m := re.match(r"<(\d+) x (\w+)>", argument)) else (1, argument.split()[0])
    return int(lanes) * SIZES[element]


def argument_bytes(llvm):
    """Name and bytes of each kernel, each argument at a multiple of its size."""
    for name, arguments in KERNEL.findall(llvm):
        end = 0
        for size in map(size_of, filter(None, arguments.split(", "))):
            end = (end + size - 1) // size * size + size
        yield name, end


def whole(kernels, name, seen):
    """The text with its includes, each once, as the host makes it."""
    if name in seen:
        return ""
    seen.add(name)
    lines = (kernels / name).read_text().splitlines()
    return "".join(whole(kernels, m.group(1), seen) if (m := re.match(r'#include "(.*)"', line)) else line + "\n" for line in lines)


def compiled(clang, kernels, name, options, bits):
    target = "spir64-unknown-unknown" if bits == 64 else "spir-unknown-unknown"
    command = [clang, "-x", "cl", "-cl-std=CL1.2", f"--target={target}", "-Xclang", "-finclude-default-header", "-cl-mad-enable",
               "-cl-no-signed-zeros", "-Wall", "-Wpedantic", "-Werror", "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unknown-pragmas", "-Wno-pass-failed",
               "-O0", "-S", "-emit-llvm", "-o", "-", *options.split(), "-"]
    seen = set()
    source = whole(kernels, "common.clh", seen) + whole(kernels, name, seen)
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode:
        return [done.stderr.strip()[:2000]]
    return sorted(set(faults_in(done.stdout))) if any(argument_bytes(done.stdout)) else ["no kernel is found in it"]


def main():
    clang = sys.argv[1]
    root = Path(sys.argv[2] if len(sys.argv) > 2 else os.environ["DEMIST_SOURCE"])
    kernels = root / "kernels"
    names = sorted(str(p.relative_to(kernels)) for p in kernels.rglob("*.cl"))
    jobs = [(n, o, bits) for n in names for o in options_of(n) or [None] for bits in (64, 32)]
    unknown = [n for n, o, _ in jobs if o is None]
    assert not unknown, f"no options are known of {unknown}"
    assert faults_in("  %1 = inttoptr i64 %0 to i8*") and faults_in("declare void @llvm.prefetch.p0i8(i8*)")
    assert not faults_in("  call void @llvm.memcpy.p0i8.p0i8.i64(i8* %1)")
    assert faults_in("  %3 = fmul double %2, 5.000000e-01")
    for many, too_large in (63, False), (64, True):
        call = "define dso_local spir_kernel void @k(" + "<4 x i32> noundef %0, " * many + "float addrspace(1)* noundef %1) #0 {"
        assert bool(faults_in(call)) == too_large, faults_in(call)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda j: compiled(clang, kernels, *j), jobs))
    faults = [f"{n} {o} ({b} bits): {f}" for (n, o, b), found in zip(jobs, results) for f in found[:3]]
    print("\n".join(faults + [f"{len(jobs)} programs compiled, {len(faults)} faults"]))
    return 1 if faults or len(jobs) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
