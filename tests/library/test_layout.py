"""An application that was built by the header that was kept works with the library of today: no field has moved."""
import subprocess
import sys


def lines(program):
    return dict(x.split(": ", 1) if ": " in x else (x, "") for x in subprocess.check_output([program], text=True).splitlines())


kept, now = lines(sys.argv[1]), lines(sys.argv[2])
assert len(kept) > 200, kept
faults = []
for what, where in kept.items():
    if "." in what or "bytes" not in where:
        if now.get(what) != where:
            faults.append(f"{what}: was {where}, is {now.get(what)}")
    elif int(now[what].split()[0]) < int(where.split()[0]) or now[what].split()[2] != where.split()[2]:
        faults.append(f"{what}: was {where}, is {now[what]}")
print("\n".join(faults) or f"{len(kept)} sizes and offsets are as they were")
sys.exit(1 if faults else 0)
