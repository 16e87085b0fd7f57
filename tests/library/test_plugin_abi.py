"""The interface of plugins does not change under one version: abidiff finds no difference between the header that was
kept and that of today while DM_ABI is the same, and none that breaks a plugin while the major version is the same and
above 0. A change raises DM_ABI, is told in docs/plugin-changes.md, and its header is kept:
    cp core/api/demist/plugin.h tests/library/plugin_kept/demist/
"""
import os
import re
import subprocess
import sys
import tempfile

CC, ABIDIFF, SOURCE = sys.argv[1], sys.argv[2], os.environ["DEMIST_SOURCE"]
NOW = open(os.path.join(SOURCE, "core/api/demist/plugin.h")).read()
KEPT = open(os.path.join(SOURCE, "tests/library/plugin_kept/demist/plugin.h")).read()
CHANGED, BROKEN = 4, 8  # bits of abidiff's exit code; 1 and 2 are its own failures


def version(header):
    return tuple(map(int, re.search(r"#define DM_ABI DM_ABI_OF\((\d+), (\d+)\)", header).groups()))


def compare(kept, now, work):
    """abidiff's exit code and words for two headers."""
    for name, text in (("kept", kept), ("now", now)):
        os.makedirs(os.path.join(work, name, "demist"), exist_ok=True)
        open(os.path.join(work, name, "demist/plugin.h"), "w").write(text)
        subprocess.run([*CC.split(), "-std=c11", "-g", "-shared", "-fPIC", "-I", os.path.join(work, name), "-o",
                        os.path.join(work, name + ".so"), os.path.join(SOURCE, "tests/library/plugin_abi.c")], check=True)
    p = subprocess.run([ABIDIFF, "--harmless", os.path.join(work, "kept.so"), os.path.join(work, "now.so")], capture_output=True, text=True)
    assert not p.returncode & 3, p.stderr
    return p.returncode, p.stdout


def fault(kept, now, work):
    """What is wrong between the two, None where nothing is."""
    code, said = compare(kept, now, work)
    before, after = version(kept), version(now)
    if before == after and code & CHANGED:
        return f"plugin.h differs from what is kept, and DM_ABI is {after[0]}.{after[1]} in both:\n{said}"
    if before[0] == after[0] > 0 and code & BROKEN:
        return f"a plugin built by {before[0]}.{before[1]} no longer works, so the major version has to rise:\n{said}"
    return None


def breaking_it(work):
    """A field that moved, one that was added, a type and a constant that changed are each seen."""
    for old, new in (("struct dm_affine { double c_skip, c_out,", "struct dm_affine { double c_out, c_skip,"),
                     ("int32_t k, stride, pad[2];", "int32_t k, stride, pad[2], dilation;"),
                     ("typedef struct dm_rms { uint32_t size;", "typedef struct dm_rms { uint64_t size;"),
                     ("DM_EABI = -9,", "DM_EABI = -90,")):
        assert old in NOW, old
        assert fault(NOW, NOW.replace(old, new), work), f"not seen: {new}"
    assert not fault(NOW, NOW.replace("/* ", "/*  "), work)


with tempfile.TemporaryDirectory(prefix="demist-abi-") as work:
    breaking_it(work)
    what = fault(KEPT, NOW, work)
    changes = open(os.path.join(SOURCE, "docs/plugin-changes.md")).read()
    told = "## %d.%d\n" % version(NOW) in changes
    print(what or "plugin.h is what is kept, or its version is another")
    if not told:
        print("docs/plugin-changes.md has no section %d.%d" % version(NOW))
    sys.exit(1 if what or not told else 0)
