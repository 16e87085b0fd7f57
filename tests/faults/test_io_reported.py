"""Calls that fail while something is looked for, or locked, are reported as what they are: not as a missing file, nor as
another process.
  test_io_reported.py IOFAULT.so"""
import os
import shutil
import sys

from faultsweep import COMMANDS, WORK, Case, call_stacks, make_inputs

# A command, and the calls of it that fail, each stack of them once.
CASES = [("formula", {"realpath", "lstat"}), ("sweep", {"flock"})]
COMMANDS["sweep"] = (["sweep", "kept", "--over", "sampler.steps=1", "--metric", "loss", "--out", "sw", "--samples", "0"], [])

module, wrong = os.path.abspath(sys.argv[1]), []
make_inputs()
for name, calls in CASES:
    tried = [Case(name, line) for line in call_stacks(name, module, {"FAULT_EACH": "3"}) if line.split()[1] in calls]
    assert {c.call for c in tried} == calls, (name, calls)
    for c in tried:
        c.run(module, {})
        if c.met and (c.code != 1 or "Input/output error" not in c.err):
            wrong.append((name, c.call, c.code, c.frames(), c.err[-400:]))
    if name == "sweep":
        assert any(c.code == 1 and "unable to lock" in c.err for c in tried), [c.err for c in tried]
    print(name, len(tried), "calls failed", [c.code for c in tried])
shutil.rmtree(WORK)
print(*wrong, sep="\n")
sys.exit(1 if wrong else 0)
