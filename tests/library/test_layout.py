"""An application that was built by the header that was kept works with the library of today: no field has moved, and what
structs have more lies behind all that they had, padding included. 1/demist is the header as the first applications got it,
and stays as it is: what came later is LATER in layout.c, and in the calls of abi.c that are of today."""
import hashlib
import os
import re
import subprocess
import sys

KEPT = {"demist.h": "4bea3e9e07be5171df39386dd246c6be28b76093a13f6aee667061b890349064",
        "plugin.h": "639ed4037df27ddfe66c6e7266b79416fa5942c6a9017838b5dd1f0013af1b26"}
HERE = os.path.dirname(os.path.abspath(__file__))


def lines(program):
    return dict(x.split(": ", 1) if ": " in x else (x, "") for x in subprocess.check_output([program], text=True).splitlines())


def numbers(where):
    """Bytes and offset of a field, bytes and alignment of a struct."""
    return [int(n) for n in re.findall(r"\d+", where)]


def compare(kept, now):
    faults = []
    for what, where in kept.items():
        if what not in now:
            faults.append(f"{what}: was {where}, is gone")
        elif "." in what or "bytes" not in where or what + ".size" not in kept:
            if now[what] != where:
                faults.append(f"{what}: was {where}, is {now[what]}")
        elif numbers(now[what])[0] < numbers(where)[0] or numbers(now[what])[1] != numbers(where)[1]:
            faults.append(f"{what}: was {where}, is {now[what]}")
    for what, where in now.items():
        struct = kept.get(what.split(".")[0])
        if "." in what and what not in kept and struct and numbers(where)[1] < numbers(struct)[0]:
            faults.append(f"{what}: lies at {numbers(where)[1]}, within the {numbers(struct)[0]} bytes of an older application, "
                          "where that has padding of any value; fields are added behind them")
    return faults


def fields_of(header):
    """What a header declares: "dm_images.x", ..."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    for struct, body in re.findall(r"typedef struct (dm_\w+) \{(.*?)\} \1;", text, re.S):
        for one in filter(None, map(str.strip, body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)", one)
            for part in [pointer[1]] if pointer else re.sub(r"\[.*?\]", "", one).split(","):
                yield f"{struct}.{re.findall(r'[A-Za-z_]+[0-9A-Za-z_]*', part)[-1]}"


def breaking_it():
    was = {"dm_a": "16 bytes, 8 aligned", "dm_a.size": "4 bytes at 0", "dm_a.p": "8 bytes at 8", "dm_b": "8 bytes, 8 aligned",
           "dm_b.x": "8 bytes at 0"}
    assert not compare(was, {**was, "dm_a": "24 bytes, 8 aligned", "dm_a.q": "8 bytes at 16"})
    for change in ({"dm_a.q": "1 bytes at 4"}, {"dm_a.p": "8 bytes at 16"}, {"dm_a": "8 bytes, 8 aligned"}, {"dm_b": "16 bytes, 8 aligned"}):
        assert len(compare(was, {**was, **change})) == 1, change
    assert list(fields_of("typedef struct dm_a {\n int64_t x, y[2]; /* z; */\n void (*f)(int q);\n} dm_a;")) == ["dm_a.x", "dm_a.y", "dm_a.f"]


breaking_it()
kept, now = lines(sys.argv[1]), lines(sys.argv[2])
faults = compare(kept, now)
for file, want in KEPT.items():
    if hashlib.sha256(open(os.path.join(HERE, "1/demist", file), "rb").read()).hexdigest() != want:
        faults.append(f"tests/library/1/demist/{file} was changed; it is what applications were built with, and stays as it is")
for header, printed in ((os.path.join(HERE, "1/demist/demist.h"), kept), (os.path.join(HERE, "../../core/api/demist/demist.h"), now)):
    declared = set(fields_of(open(header).read()))
    assert len(declared) > 150, header
    faults += [f"{f}: declared in {header}, and not in layout.c" for f in sorted(declared - printed.keys())]
print("\n".join(faults) or f"{len(kept)} sizes and offsets are as they were")
sys.exit(1 if faults else 0)
