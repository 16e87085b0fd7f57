#!/usr/bin/env python3
"""Counts one meson test log: prints "PASSED FAILED SKIPPED", then a line for each test that did not pass.

A cmocka program counts as the tests that it reports; any other test counts as one. A skip says why in a line "SKIP: reason"."""
import json
import re
import sys

passed = failed = skipped = 0
notes = []
for line in open(sys.argv[1]):
    t = json.loads(line)
    out = t.get("stdout", "") + t.get("stderr", "")
    good = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", out, re.M))
    bad = [n for n in re.findall(r"^\[  FAILED  \] (\S+)$", out, re.M)]
    why = re.findall(r"^SKIP: (.*)$", out, re.M)
    if t["result"] == "SKIP":
        skipped += 1
        notes.append(f"  skipped {t['name']}: {why[0] if why else 'no reason given'}")
    elif t["result"] in ("OK", "EXPECTEDFAIL"):
        passed += max(good, 1)
        for w in why:
            skipped += 1
            notes.append(f"  skipped in {t['name']}: {w}")
    else:
        failed += max(len(set(bad)), 1)
        passed += good
        notes.append(f"  FAILED {t['name']} ({t['result']}): {', '.join(sorted(set(bad)))}")
        notes += ["    " + x for x in out.strip().split("\n")[-12:]]
print(passed, failed, skipped)
print("\n".join(notes))
