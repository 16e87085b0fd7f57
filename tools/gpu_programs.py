"""What demist builds on GPUs that are not here, and the compilers that make GPUs' code of it; for compile-gpus and gpu-roofline."""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AMD, NVIDIA, INTEL = ("gfx900", "gfx90a", "gfx1030", "gfx1100"), ("sm_75", "sm_80", "sm_90"), ("tgllp", "dg2", "pvc")


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


# ---- the compilers --------------------------------------------------------------------------------


class Compilers:
    """Where they are; what is missing is None, and *why says it."""

    def __init__(self, folder):
        self.folder, self.root, self.why = folder, os.path.join(folder, "root"), {}
        os.makedirs(self.root, exist_ok=True)
        self.clang = shutil.which("clang-22") or self.unpacked("clang-22", "usr/lib/llvm-22/bin/clang")
        self.clc = self.unpacked("libclc-22", "usr/lib/clc")
        self.ocloc = self.unpacked("intel-opencl-icd", "usr/bin/ocloc")
        nvcc = "nvidia-cuda-nvcc-cu12"
        self.ptxas = shutil.which("ptxas") or self.of_cuda("bin/ptxas") or self.from_pypi(nvcc, "bin/ptxas")
        self.libdevice = self.of_cuda("nvvm/libdevice/libdevice.10.bc") or self.from_pypi(nvcc, "nvvm/libdevice/libdevice.10.bc")
        libraries = glob.glob(os.path.join(self.root, "usr/lib/*/libigc.so.1"))
        self.environment = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(libraries[0]) if libraries else ""}

    def unpacked(self, package, file):
        """From Debian, with the packages that it needs and that are not installed."""
        path = os.path.join(self.root, file)
        if os.path.exists(path):
            return path
        got = run(os.path.join(ROOT, "tools", "unpack"), self.folder, package)
        if not os.path.exists(path):
            self.why[package] = (got.stdout.strip().splitlines() or ["it is not to be had"])[-1]
            return None
        return path

    def of_cuda(self, file):
        found = sorted(glob.glob(os.path.join("/usr/local/cuda*", file)))
        return found[-1] if found else None

    def disassembler(self):
        return shutil.which("nvdisasm") or self.of_cuda("bin/nvdisasm") or self.from_pypi("nvidia-cuda-nvdisasm", "bin/nvdisasm")

    def from_pypi(self, package, file):
        there = os.path.join(self.folder, package)
        if not os.path.isdir(there):
            run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", there, package)
        found = glob.glob(os.path.join(there, "nvidia", "*", file))
        if not found:
            self.why[os.path.basename(file)] = f"PyPI's {package} is not to be had"
        return found[0] if found else None


# ---- the programs ---------------------------------------------------------------------------------

TRAIN = ("train.steps=1", "train.batch=2", "train.validate_every=0", "train.sample_every=0", "tune=off", "data.limit=64",
         "train.warmup=0")


class Program:
    def __init__(self, path):
        source = open(path).read()
        files = [f for f in re.findall(r'^#line 1 "([^"]+)"', source, re.M) if f != "common.clh"]
        self.path, self.key = path, os.path.basename(path)[:-3]
        self.file = next((f for f in files if f.endswith(".cl")), files[0] if files else "CLBlast")
        self.options = open(path[:-3] + ".opt").read().split()
        self.defines = " ".join(o[2:] for o in self.options if o.startswith("-D"))
        self.half = any(o.startswith("-DF16") for o in self.options)
        self.ptx = "-DPTX" in self.options
        self.first = False


def usual(device):
    """Commands that train a step and sample."""
    trained = [("train", "configs/fashion-mnist.yaml", f"device={device}", f"output=RUN-{p}", f"precision={p}", *TRAIN)
               for p in ("fp32", "bf16")]
    return trained + [("sample", "RUN-fp32", f"device={device}", f"precision={p}", "sampler.steps=2", "--tensors", "RUN.safetensors",
                       "--force") for p in ("fp32", "bf16")]


def built(build, profile, folder, device, commands, preload="", more={}):
    """What the commands build on a device that pretends to be this GPU."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for command in commands:
            done = run(os.path.join(build, "demist"), *(c.replace("RUN", scratch + "/run") for c in command), cwd=ROOT, env={
                **os.environ, "LD_PRELOAD": preload + os.path.join(build, "tests/faults/libas_gpu.so"), "AS_GPU": profile,
                "AS_GPU_SOURCES": folder, "DEMIST_CACHE": os.path.join(scratch, "cache"), "DEMIST_DEVICE": device, **more})
            if done.returncode:
                raise SystemExit(f"demist {' '.join(command)} as {profile}: exit {done.returncode}\n{done.stdout[-2000:]}")
    return {os.path.basename(p)[:-3] for p in glob.glob(os.path.join(folder, "*.cl"))}


def programs(build, profile, folder, device, all_of_them):
    """Those of training and sampling, which such a GPU chooses, and those of all implementations that it could run."""
    if not os.path.exists(folder + "/first"):
        first = built(build, profile, folder, device, usual(device))
        with open(folder + "/first", "w") as f:
            f.write("\n".join(sorted(first)))
    if all_of_them and not os.path.exists(folder + "/all"):
        built(build, profile, folder, device, [("selftest", "--device", device)])
        open(folder + "/all", "w").close()
    first = open(folder + "/first").read().split()
    out = [Program(p) for p in sorted(glob.glob(os.path.join(folder, "*.cl")))]
    for p in out:
        p.first = p.key in first
    return [p for p in out if p.first or all_of_them]


# ---- compiling --------------------------------------------------------------------------------------


class Kernel:
    def __init__(self, program, target, name, registers, local, private, spills):
        self.program, self.target, self.name = program, target, name
        self.registers, self.local, self.private, self.spills = registers, local, private, spills


def amd(c, p, target, base):
    done = run(c.clang, "-x", "cl", *p.options, "--target=amdgcn-amd-amdhsa", "-mcpu=" + target, "-nogpulib", "-O3", "-Wno-pass-failed",
               "-Xclang", "-mlink-builtin-bitcode", "-Xclang", os.path.join(c.clc, "amdgcn-amd-amdhsa.bc"), "-S", "-o", base + ".s", p.path)
    if done.returncode:
        return None, done.stdout
    text = open(base + ".s").read()
    kernels = []
    for block in re.split(r"\n  - (?=\.)", text[text.find("amdhsa.kernels:"):])[1:]:
        number = {k: int(v) for k, v in re.findall(r"^\s*\.(\w+):\s+(\d+)$", block, re.M)}
        name = re.search(r"^    \.name:\s+(\S+)", block, re.M)
        if name:
            kernels.append(Kernel(p, target, name.group(1), number["vgpr_count"], number["group_segment_fixed_size"],
                                  number["private_segment_fixed_size"], number.get("vgpr_spill_count", 0) + number.get("sgpr_spill_count", 0)))
    return kernels, ""


def nvidia(c, p, target, base):
    clc = next(f for f in ("nvptx64--nvidiacl.bc", "nvptx64-nvidia-nvidiacl.bc", "nvptx64--.bc") if os.path.exists(os.path.join(c.clc, f)))
    done = run(c.clang, "-x", "cl", *p.options, "--target=nvptx64--nvidiacl", "-Xclang", "-target-cpu", "-Xclang", target, "-Xclang",
               "-target-feature", "-Xclang", "+ptx80", "-nogpulib", "-O3", "-Wno-pass-failed", "-Xclang", "-mlink-builtin-bitcode",
               "-Xclang", os.path.join(c.clc, clc), "-Xclang", "-mlink-builtin-bitcode", "-Xclang", c.libdevice, "-S", "-o", base + ".ptx", p.path)
    if done.returncode:
        return None, done.stdout
    done = run(c.ptxas, "-arch=" + target, "-v", base + ".ptx", "-o", base + ".cubin")
    if done.returncode:
        return None, done.stdout
    kernels = []
    for name, body in re.findall(r"Compiling entry function '(\S+)'(.*?)(?=Compiling entry|\Z)", done.stdout, re.S):
        number = {what: int(n) for n, what in re.findall(r"(\d+) bytes (stack frame|spill stores|smem)", body)}
        registers = re.search(r"Used (\d+) registers", body)
        kernels.append(Kernel(p, target, name, int(registers.group(1)), number.get("smem", 0), number.get("stack frame", 0),
                              number.get("spill stores", 0)))
    return kernels, ""


def intel(c, p, target, base):
    done = run(c.ocloc, "compile", "-file", p.path, "-device", target, "-options", " ".join(p.options), "-output", os.path.basename(base),
               "-out_dir", os.path.dirname(base), env=c.environment, timeout=300)
    if done.returncode or "Build succeeded" not in done.stdout:
        return None, done.stdout
    spilled = dict(re.findall(r"kernel (\w+)\s.*?spilled around (\d+)", done.stdout))
    return [Kernel(p, target, name, None, None, None, int(n)) for name, n in sorted(spilled.items())] or \
        [Kernel(p, target, "(all)", None, None, None, 0)], ""


def compile_one(job):
    how, c, p, target, base = job
    try:
        kernels, said = how(c, p, target, base)
    except subprocess.TimeoutExpired:
        kernels, said = None, "it did not end in 300 s"
    return p, target, kernels, said, base


# ---- the programs' common part --------------------------------------------------------------------------


def arguments(about, targets):
    """What both programs are told: an open parser of it."""
    a = argparse.ArgumentParser(description=about.split("\n")[0])
    a.add_argument("--build", default=os.path.join(ROOT, "build"), type=os.path.abspath)
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "0:0"), help="the CPU device that pretends")
    a.add_argument("--targets", default=",".join(targets))
    a.add_argument("--docs", help="the page whose table is written anew")
    a.add_argument("--keep", type=os.path.abspath,
                   help="a folder for the programs and what was made of them; programs that are there are not built again")
    return a


def compiled(c, o, all_of_them):
    """Each program compiled for each target: (program, target, kernels or None, what the compiler said, its files without ending).
    Not *all_of_them: those alone that training and sampling choose."""
    makers = {"amd": (AMD, amd, c.clang and c.clc), "nvidia": (NVIDIA, nvidia, c.clang and c.clc and c.ptxas and c.libdevice),
              "intel": (("tgllp", "dg2"), intel, c.ocloc), "intel-hpc": (("pvc",), intel, c.ocloc)}
    for what, why in c.why.items():
        print(f"left out, as {what} is not there: {why}")
    if o.keep:
        os.makedirs(o.keep, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        folder, jobs = o.keep or scratch, []
        for profile, (mine, how, there) in makers.items():
            targets = [t for t in o.targets.split(",") if t in mine]
            if not there or not targets:
                continue
            all_of_it = programs(o.build, profile, os.path.join(folder, profile), o.device, all_of_them)
            print(f"{profile}: {len(all_of_it)} programs, {sum(p.first for p in all_of_it)} of them in training", flush=True)
            # Half precision on NVIDIA's path has no builtins in libclc; its driver has no cl_khr_fp16 either. PTX is for sm_80 on.
            jobs += [(how, c, p, t, os.path.join(folder, f"{p.key}-{t}")) for t in targets for p in all_of_it
                     if not (profile == "nvidia" and p.half) and not (p.ptx and t == "sm_75")]
        yield from pool.map(compile_one, jobs)


def write_docs(path, marks, lines):
    text = open(path).read()
    begin, end = text.index(marks[0]) + len(marks[0]), text.index(marks[1])
    with open(path, "w") as f:
        f.write(text[:begin] + "\n" + "\n".join(lines).rstrip() + "\n" + text[end:])
