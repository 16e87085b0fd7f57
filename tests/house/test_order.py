"""Every #include runs down the order of the folders in core/order.txt, and so does every symbol that core and interop use
of each other; no files call each other in a circle.

Run by hand on any tree: test_order.py [TREE]. Prints each include that runs against the order."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
SOURCES = (".c", ".h", ".cpp", ".cl", ".clh")


def read_order(path):
    """{folder: the set of folders it may use, None for all}, lowest first."""
    may, below = {}, {"core/api"}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        folder, limited, named = line.partition(":")
        if limited:
            all_of = {f for n in named.split() if n.endswith("/*") for f in may if f.startswith(n[:-1])}
            may[folder] = None if named.strip() == "*" else {folder, "core/api", *named.split()} | all_of
        else:
            below = below | {folder}
            may[folder] = below
    return may


def folder_of(path, order):
    return max((f for f in order if path.startswith(f + "/")), key=len, default=None)


def target(root, reader, name):
    """The file of the tree that an include names; None for one of a library."""
    for start in (reader.parent, root, root / "core", root / "core/api", root / "kernels", root / "backends",
                  root / "tools/demist"):
        there = start / name
        if there.is_file():
            return os.path.relpath(there.resolve(), root.resolve())
    return None


def faults_of(root):
    order = read_order(root / "core/order.txt")
    faults, seen = [], 0
    for top in sorted({f.split("/")[0] for f in order}):
        for reader in sorted((root / top).rglob("*")):
            if reader.suffix not in SOURCES:
                continue
            file = str(reader.relative_to(root))
            mine = folder_of(file, order)
            if not mine:
                faults.append(f"{file}: lies in no folder of core/order.txt")
                continue
            text = reader.read_text()
            for match in INCLUDE.finditer(text):
                to = target(root, reader, match.group(1) or match.group(2))
                theirs = to and folder_of(to, order)
                seen += bool(to)
                if to and order[mine] is not None and theirs not in order[mine]:
                    line = text.count("\n", 0, match.start()) + 1
                    faults.append(f"{file}:{line}: includes {to}, which {mine} may not use")
    return faults, seen


def test_breaking_it():
    """The check sees an include upwards, and a file in no folder."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("core/base", "core/graph"):
            (root / folder).mkdir(parents=True)
        (root / "core/order.txt").write_text("core/base\ncore/graph\ntools/one: core/*\ntools/two: core/*\n")
        (root / "core/graph/graph.h").write_text("")
        (root / "core/base/a.c").write_text('\n#include "graph/graph.h"\n')
        (root / "core/stray.c").write_text("")
        for name, text in (("core/graph/b.c", '"base/base.h"'), ("core/base/base.h", ""), ("tools/one/a.c", '"base/base.h"'),
                           ("tools/two/a.h", '"graph/graph.h"'), ("tools/one/b.c", '"../two/a.h"')):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text and f"#include {text}\n")
        faults, _ = faults_of(root)
        assert faults == ["core/base/a.c:2: includes core/graph/graph.h, which core/base may not use",
                          "core/stray.c: lies in no folder of core/order.txt",
                          "tools/one/b.c:1: includes tools/two/a.h, which tools/one may not use"], faults


def calls(build):
    """{file: the files whose functions and data it uses}, by the symbols of the build's objects; core/base/a.c is core/base_a."""
    files = {str(obj): top + obj.name[:-len(".c.o")]
             for top, pattern in (("core/", "core/libdemist_core.a.p/*.o"), ("interop/", "interop/libdemist_interop.a.p/*.o"),
                                  ("", "demist.p/tools_demist_*.o")) for obj in Path(build).glob(pattern)}
    defined, needed = {}, {file: set() for file in files.values()}
    lines = subprocess.run(["nm", "-A", *sorted(files)], capture_output=True, text=True, check=True).stdout.splitlines() if files else []
    for obj, _, line in (line.partition(":") for line in lines):
        kind, symbol = line.split()[-2:]
        if kind in "TDRBV":
            defined[symbol] = files[obj]
        elif kind == "U":
            needed[files[obj]].add(symbol)
    return {f: {defined[s] for s in n if s in defined} - {f} for f, n in needed.items()}


def upward(uses, order):
    """What a file of core or interop uses of a folder above its own."""
    def folder(file):
        return folder_of(file.replace("_", "/", 1) + "/", order)

    for file, used in uses.items():
        for other in sorted(used):
            if folder(file) and folder(other) and folder(other) not in (order[folder(file)] or {folder(other)}):
                yield f"{file}.c: uses a symbol of {other}.c, which {folder(file)} may not use"


def circles(uses):
    """Tarjan's strongly connected components of more than one file."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on.add(v)
        for w in uses[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = set()
            while v not in part:
                part.add(stack.pop())
            on.difference_update(part)
            if len(part) > 1:
                found.append(sorted(part))

    for v in uses:
        if v not in index:
            visit(v)
    return found


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DEMIST_SOURCE"])
    test_breaking_it()
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == [["a", "b"]]
    faults, seen = faults_of(root)
    order = {"core/base": {"core/base"}, "core/graph": {"core/base", "core/graph"}}
    assert list(upward({"core/base_a": {"core/graph_ops_b"}, "core/graph_c": {"core/base_a"}}, order)) == \
        ["core/base_a.c: uses a symbol of core/graph_ops_b.c, which core/base may not use"]
    build = os.environ.get("DEMIST_BUILD")
    if build:
        uses = calls(build)
        assert len(uses) > 50, "the build's objects were not found"
        faults += upward(uses, read_order(root / "core/order.txt"))
        faults += [f"these files call each other in a circle: {', '.join(c)}" for c in circles(uses)]
    else:
        print("DEMIST_BUILD names no build folder: symbols were not read")
    print("\n".join(faults + [f"{seen} includes read, {len(faults)} faults"]))
    return 1 if faults or seen < 500 else 0


if __name__ == "__main__":
    sys.exit(main())
