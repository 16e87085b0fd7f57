"""How a group's accesses fall on memory's segments and on the banks of local memory, from what gpu_trace.cpp wrote."""
import glob
import os
import shutil
from collections import Counter

from gpu_programs import ROOT, Program, built, run, usual

BANKS, WORD = 32, 4


class Access:
    """An instruction of a kernel: the first rounds of its accesses, [{item: address}], and how often it was run in all."""

    def __init__(self, space, size, times):
        self.space, self.size, self.times, self.rounds = space, size, times, []

    def weight(self):
        """For how many rounds one of those that are known stands."""
        return self.times / max(1, sum(map(len, self.rounds)))


def waves(items, lanes):
    """A round's addresses, wave by wave, in the order of the lanes."""
    out = {}
    for item in sorted(items):
        out.setdefault(item // lanes, []).append(items[item])
    return out.values()


def segments(addresses, size, segment):
    """Those that a wave touches, and the fewest that hold as many bytes."""
    touched, held = set(), set()
    for a in addresses:
        touched.update(range(a // segment, (a + size - 1) // segment + 1))
        held.update(range(a, a + size))
    return len(touched), -(-len(held) // segment)


def coalesced(accesses, lanes, segment):
    """The fewest segments over those that are touched, instruction by instruction; None without global memory."""
    touched = fewest = 0
    for a in accesses:
        if a.space == "global":
            for items in a.rounds:
                for addresses in waves(items, lanes):
                    t, f = segments(addresses, a.size, segment)
                    touched += t * a.weight()
                    fewest += f * a.weight()
    return fewest / touched if touched else None


def used(accesses, segment):
    """The share of all segments' bytes that the group uses at all, if a cache keeps them until it has."""
    touched, held = set(), set()
    for a in accesses:
        if a.space == "global":
            for address in (x for items in a.rounds for x in items.values()):
                touched.update(range(address // segment, (address + a.size - 1) // segment + 1))
                held.update(range(address, address + a.size))
    return len(held) / (segment * len(touched)) if touched else None


def cycles(addresses, size):
    """Those that the banks need for a wave, and those that they need without conflicts. Each cycle serves as many lanes as have all
    banks' bytes; a word that several lanes read is read once."""
    at_once, needed, least = max(1, BANKS * WORD // max(size, WORD)), 0, 0
    for i in range(0, len(addresses), at_once):
        words = {w for a in addresses[i:i + at_once] for w in range(a // WORD, (a + size - 1) // WORD + 1)}
        needed += max(Counter(w % BANKS for w in words).values())
        least += 1
    return needed, least


def conflicts(accesses, by_words):
    """Cycles over those without conflicts: 1 is none. *by_words*: vectors are accessed word by word, as some compilers do it."""
    needed = least = 0
    for a in accesses:
        if a.space != "local":
            continue
        parts = [(WORD * i, WORD) for i in range(a.size // WORD)] if by_words and a.size > WORD else [(0, a.size)]
        for items in a.rounds:
            for addresses in waves(items, 64):
                for offset, size in parts:
                    n, l = cycles([x + offset for x in addresses], size)
                    needed += n * a.weight()
                    least += l * a.weight()
    return needed / least if least else None


# ---- the trace ------------------------------------------------------------------------------------------------


def trace(build, folder):
    """[(program, kernel, accesses)] of the first group of each kernel that a training step and sampling run on Oclgrind, which
    pretends to be AMD's; nothing, and why, where Oclgrind or a C++ compiler is missing."""
    to, icd, compiler = os.path.join(folder, "trace.txt"), glob.glob("/usr/lib*/oclgrind/liboclgrind-rt-icd.so"), shutil.which("c++")
    if not os.path.exists(to):
        if not icd or not compiler:
            return [], "Oclgrind or a C++ compiler is not there"
        plugin, vendors = os.path.join(folder, "gpu_trace.so"), os.path.join(folder, "vendors")
        made = run(compiler, "-std=c++17", "-fno-rtti", "-O1", "-shared", "-fPIC", "-DCL_TARGET_OPENCL_VERSION=120", "-o", plugin,
                   os.path.join(ROOT, "tools", "gpu_trace.cpp"), "-l:liboclgrind-21.10.so", "-ldl")
        if made.returncode:
            return [], "gpu_trace.cpp does not compile: " + made.stdout.strip()[-300:]
        os.makedirs(vendors, exist_ok=True)
        with open(os.path.join(vendors, "oclgrind.icd"), "w") as f:
            f.write(icd[0] + "\n")
        built(build, "amd", os.path.join(folder, "traced"), "0:0", usual("0:0"), preload=plugin + ":", more={
            "OCL_ICD_VENDORS": vendors + "/", "OCLGRIND_PLUGINS": plugin, "GPU_TRACE": to + ".part", "GPU_TRACE_LAUNCHES": "2"})
        os.rename(to + ".part", to)
    found = {}
    return [(found.setdefault(key, Program(os.path.join(folder, "traced", key + ".cl"))), name, accesses)
            for key, name, accesses in read_trace(to)], ""


def read_trace(path):
    """[(program's key, kernel, accesses)] of each launch."""
    out = []
    for line in open(path):
        what, *words = line.split()
        if what == "kernel":
            out.append((words[0], words[1], []))
        elif what == "at":
            out[-1][2].append(Access(words[0], int(words[1]), int(words[2])))
        else:
            out[-1][2][-1].rounds.append({int(i): int(a) for i, a in (w.split(":") for w in words)})
    return out
