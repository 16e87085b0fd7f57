"""Every allocation of each command fails once. Wanted each time: exit 6 and a message that names memory, or exit 0 and the
same output where only a cache was lost. Never a crash, another exit code, or an output that differs.
  sweep_allocations.py ALLOCFAULT.so [COMMAND...]"""
import sys

import faultsweep

# libwebp 1.5 itself crashes where it has no memory for one table of a lossless image's alpha, and muParser throws through C.
KNOWN = {-11: "WebPDecode", -6: "mupCreate"}


def judge(case, _, good, said):
    if case.code == 6 and "memory" in case.err or case.code == 0 and (not case.met or case.same_output(good, said)):
        return None
    return "known" if KNOWN.get(case.code) in case.frames() else f"exit {case.code}: {case.last_line()}"


if __name__ == "__main__":
    faultsweep.main(sys.argv[1], sys.argv[2:] or list(faultsweep.COMMANDS), lambda _: [{}], judge)
