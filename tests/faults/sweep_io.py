"""Every call that reads, writes or looks at a file fails once, in each command: with EIO, on a full disk, short, interrupted.
Wanted each time: exit 1 (6 on a full disk) and a message with the reason, or exit 0 with all output where only a cache was
lost. Never a crash, a file that is half written under its final name, a failed read that is called damage, or a run that does
not resume to the same weights.
  sweep_io.py IOFAULT.so [COMMAND...]"""
import errno
import hashlib
import json
import os
import sys

import faultsweep
from faultsweep import COMMANDS, WORK, prepare, run

LAST = "run/checkpoints/step-00000006.safetensors"
TRAIN = ["train.steps=6", "train.save_every=2", "train.sample_every=3", "train.sample_count=2", "train.validate_every=3",
         "train.log_every=1", "data.count=64"]
COMMANDS["train"] = (["train", "e.yaml", *TRAIN], [LAST])
COMMANDS["resume"] = (["resume", "run", "train.steps=6"], [LAST])
WRITES = {"write", "create", "fsync", "ftruncate", "mkdir", "mkdirat", "mkdtemp", "mkstemp", "fwrite", "fputs", "fputc", "putc", "puts",
          "putchar", "printf", "fprintf", "vfprintf", "fflush", "fclose", "tmpfile"}
FULL = {"IOFAULT_ERRNO": str(errno.ENOSPC), "IOFAULT_ON": "1"}
SHORT, INTERRUPTED = {"IOFAULT_SHORT": "1"}, {"IOFAULT_ERRNO": str(errno.EINTR)}


def variants(case):
    yield {"IOFAULT_ERRNO": str(errno.EIO)}
    if case.call in WRITES:
        yield FULL
    if case.call in ("read", "pread", "write"):
        yield from (SHORT, INTERRUPTED)


def content(path):
    """What must be the same in every run: not times, nor speeds."""
    name, b = os.path.basename(path), open(path, "rb").read()
    if name == "log.jsonl":
        return [{k: v for k, v in json.loads(line).items() if k != "images_per_s"} for line in b.splitlines()]
    if name.startswith("events."):
        return len(b)
    if name in ("log.txt", "lock") or name in ("loss.png", "sweep.png") and b[-8:-4] == b"IEND" or name == "env.json" and json.loads(b):
        return "there"
    if name.endswith((".json", ".csv", ".md", ".html")):
        return "there" if b.rstrip().endswith((b"}", b"]", b"</html>")) or name.endswith((".csv", ".md")) else "cut off"
    return hashlib.sha256(b).hexdigest()


def is_whole(path):
    """Whether a checkpoint has all that its header says."""
    b = open(path, "rb").read()
    size = int.from_bytes(b[:8], "little")
    return len(b) == 8 + size + max(t["data_offsets"][1] for k, t in json.loads(b[8:8 + size]).items() if k != "__metadata__")


def tree():
    files = {}
    for top in ("run", "kept", "sw", "out"):
        for folder, _, names in os.walk(os.path.join(WORK, top)):
            for name in names:
                path = os.path.join(folder, name)
                files[os.path.relpath(path, WORK)] = content(path)
    for name in ("out.png", "out.html", "out.safetensors", "new.yaml"):
        if os.path.exists(os.path.join(WORK, name)):
            files[name] = content(os.path.join(WORK, name))
    return files


GROWS = ("log.jsonl", "events.out.tfevents.0.demist")  # line by line
EXPECTED = {}


def expected(name):
    """The files before a command and after it."""
    if name not in EXPECTED:
        prepare(name)
        before = tree()
        code, _, err = run(COMMANDS[name][0])
        assert code == 0, err
        EXPECTED[name] = before, tree()
    return EXPECTED[name]


def broken_files(case, files, before, after):
    left = [f for f in files if f.endswith(".tmp")]
    if left and case.call not in ("unlink", "unlinkat"):
        return "left behind: " + os.path.splitext(left[0])[0].rstrip("0123456789")
    for f in files:
        if os.path.basename(f) in GROWS or f in left or files[f] in (before.get(f), after.get(f)):
            continue
        if os.path.basename(f) == "best.safetensors" and is_whole(os.path.join(WORK, f)):  # the best until then
            continue
        return f"written in part: {f}"
    gone = [f for f in before if f in after and f not in files]
    return f"gone: {gone[0]}" if gone else None


def resumes(name):
    """Whether the run goes on to the same end."""
    if not os.path.exists(os.path.join(WORK, "run/resolved.yaml")):
        args = ["train", "e.yaml", *TRAIN]
    else:
        args = ["resume", "run", "train.steps=6"]
    code, _, err = run(args)
    if code:
        return f"afterwards {args[0]} exits {code}: {err.strip()[-150:]}"
    files, want = tree(), expected(name)[1]
    differ = sorted(f for f in want if files.get(f) != want[f])
    left = sorted(f for f in files if f.endswith(".tmp"))
    return f"after {args[0]} differ: {differ}" if differ else f"after {args[0]} left: {left}" if left else None


def judge(case, variant, good, said):
    if not case.met:
        return None if case.code == 0 else f"not met, exit {case.code}: {case.last_line()}"
    files = tree()
    before, after = expected(case.command)
    if case.code == 0:
        lost = sorted(f for f in set(after) | set(files) if files.get(f) != after.get(f) and not f.endswith(".tmp"))
        told = os.strerror(int(variant.get("IOFAULT_ERRNO", 0))) in case.err
        if told and "warning: no " in case.err and all(f.endswith(".png") for f in lost):  # a picture of what is whole
            lost = []
        said_less = faultsweep.steady(case.out) != said and not told
        return f"exit 0, but not the same: {lost[:3] or 'standard output'}" if lost or said_less else None
    what = f"exit {case.code}: {case.last_line()}"
    if variant in (SHORT, INTERRUPTED):
        return "not tried again, " + what
    if case.code == 1 and "unable to write to standard output" in case.err:
        return None
    if case.command == "plugins" and case.code == 3 and os.strerror(int(variant["IOFAULT_ERRNO"])) in case.out:
        return None  # the list names it as refused
    if case.code != (6 if variant == FULL else 1):
        return what
    if os.strerror(int(variant["IOFAULT_ERRNO"])) not in case.err:
        return "without its reason, " + what
    wrong = broken_files(case, files, before, after)
    if not wrong and case.command in ("train", "resume"):
        wrong = resumes(case.command)
    return wrong and f"{what}; {wrong}"


if __name__ == "__main__":
    names = sys.argv[2:] or [n for n in COMMANDS if n != "formula"]
    faultsweep.main(sys.argv[1], names, variants, judge, {"FAULT_EACH": "3"})
