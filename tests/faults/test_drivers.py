"""Drivers that are broken: what doctor says of .icd files whose library is missing, crashes or hangs (badicd.c), and what is said
of a crash in a driver (as_gpu.c)."""
import os
import shutil
import subprocess
import sys

from cli import DEMIST, DEVICE, demist, path, run_tests

BAD, AS_GPU = (os.path.abspath(p) for p in sys.argv[1:3])
VENDORS = os.environ.get("OCL_ICD_VENDORS") or "/etc/OpenCL/vendors"


def folder(name, **files):
    os.makedirs(path(name))
    good = [f for f in os.listdir(VENDORS) if f.endswith(".icd")] if files.pop("good", True) else []
    for f in good:
        shutil.copy(os.path.join(VENDORS, f), path(name, f))
    for f, text in files.items():
        with open(path(name, f + ".icd"), "w") as out:
            out.write(text + "\n")
    return {"OCL_ICD_VENDORS": path(name) + "/"}


def missing():
    out, _ = demist("doctor", env=folder("missing", stale="libnowhere.so.9"))
    line = next(x for x in out.splitlines() if x.startswith("WARN"))
    assert "stale.icd'" in line and "libnowhere.so.9" in line and "remove the file" in line and "FAIL" not in out, out
    out, err = demist("doctor", code=4, env=folder("alone", good=False, stale="libnowhere.so.9"))
    assert "stale.icd" in out and "apt-get" not in out.replace("libclblast", ""), out


def crashing():
    env = folder("bad", bad=BAD)
    calls = "clGetPlatformIDs", "clGetDeviceIDs", "clGetDeviceInfo"
    cases = [("crash", "crashes in {}: Segmentation fault", c) for c in calls]
    for how, does, at in cases + [("abort", "crashes in {}: Aborted", calls[0]), ("exit", "ends the program in {}", calls[2])]:
        out, err = demist("doctor", code=4, env={**env, "BADICD": how, "BADICD_AT": at})
        lines = [x for x in out.splitlines() if x.startswith("FAIL")]
        assert len(lines) == 1, (at, out)
        assert "bad.icd'" in lines[0] and BAD in lines[0] and does.format(at) in lines[0], (at, out)
        assert "set OCL_ICD_VENDORS to that folder" in lines[0] and "OK    cache" in out and "copy '" in out, (at, out)
    demist("doctor", env={**env, "BADICD": "none"})


def nothing_there():
    os.makedirs(path("empty"))
    for nothing in path("empty") + "/", "":
        out, err = demist("doctor", code=4 if nothing else None, env={"OCL_ICD_VENDORS": nothing})
        if not nothing and "FAIL  platforms" not in out:
            continue  # ocl-icd takes empty for unset, Khronos' loader for a place
        assert "OCL_ICD_VENDORS is set" in out + err and "apt-get install pocl" not in out + err, (out, err)


def cannot_be_looked_at():
    os.symlink("loop", path("loop"))
    out, _ = demist("doctor", code=4, env={"OCL_ICD_VENDORS": path("loop")})
    assert f"the drivers in '{path('loop')}' are not known: Too many levels of symbolic links" in out, out


# The check that crashes is the last that is shown.
def a_crash_names_the_check():
    env = {**os.environ, "LD_PRELOAD": AS_GPU, "AS_GPU": "amd", "AS_GPU_REFUSE": "crash:matmul/tiled.cl", "POCL_CACHE_DIR": path(),
           "DEMIST_CACHE": path("none")}
    p = subprocess.run([DEMIST, "selftest", "--device", DEVICE], capture_output=True, text=True, env=env)
    assert p.returncode == -6 and p.stdout.splitlines()[-1].endswith(", tiled ... "), (p.returncode, p.stdout[-300:])
    assert "crashed: abort" in p.stderr and f"empty '{path()}'" in p.stderr, p.stderr


# PoCL ends the program where what it keeps of a kernel cannot be loaded.
def a_damaged_cache():
    env = {"POCL_CACHE_DIR": path("kept")}
    os.makedirs(path("kept"))
    out, _ = demist("doctor", env=env)
    if "Portable Computing Language" not in out:
        return
    for folder_of, _, files in os.walk(path("kept")):
        for f in files:
            if f.endswith(".so"):
                with open(os.path.join(folder_of, f), "wb") as damaged:
                    damaged.write(b"not a library")
    _, err = demist("doctor", code=-6, env=env)
    assert f"empty '{path('kept')}'" in err, err


sanitized = "ASAN_OPTIONS" in os.environ
run_tests([missing, nothing_there, cannot_be_looked_at] if sanitized else [missing, crashing, nothing_there, cannot_be_looked_at, a_crash_names_the_check, a_damaged_cache])
