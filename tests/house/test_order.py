"""Every #include runs down the order of the folders in core/order.txt, and names its file; so does every symbol that
core, interop, backends and the program use of each other; plugins include the header for plugins alone; no files call
each other in a circle.

Run by hand on any tree: test_order.py [TREE]. Prints each include that runs against the order."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

COMMENT = r"(?:/\*(?:[^*]|\*(?!/))*\*/)"
BLANK = rf"(?:[ \t]|{COMMENT})*"
INCLUDE = re.compile(rf'^{BLANK}#{BLANK}include{BLANK}(?:"([^"]+)"|<([^>]+)>|(\w+))', re.M)
NOT_FOR_PLUGINS = ("core/api/demist/demist.h",)
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
            may[folder] = below | {folder}
        if folder.split("/")[0] in ("core", "interop"):
            below = below | {folder}
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
                line = text.count("\n", 0, match.start()) + 1
                if match.group(3):
                    faults.append(f"{file}:{line}: includes what the macro {match.group(3)} says; name the file")
                    continue
                to = target(root, reader, match.group(1) or match.group(2))
                theirs = to and folder_of(to, order)
                seen += bool(to)
                above = to and order[mine] is not None and theirs not in order[mine]
                if above or mine == "plugins" and to in NOT_FOR_PLUGINS:
                    faults.append(f"{file}:{line}: includes {to}, which {mine} may not use")
    return faults, seen


def test_breaking_it():
    """The check sees an include upwards, or of what is not named; and a file in no folder."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("core/base", "core/graph"):
            (root / folder).mkdir(parents=True)
        (root / "core/order.txt").write_text("core/base\ncore/format\ncore/graph: core/format\ncore/plan\nplugins:\n"
                                             "tools/one: core/*\ntools/two: core/*\n")
        (root / "core/graph/graph.h").write_text("")
        (root / "core/base/a.c").write_text('\n#include "graph/graph.h"\n')
        (root / "core/stray.c").write_text("")
        for name, text in (("core/graph/b.c", '"base/base.h"'), ("core/base/base.h", ""),
                           ("tools/one/a.c", '"base/base.h"'), ("tools/two/a.h", '"graph/graph.h"'),
                           ("tools/one/b.c", '"../two/a.h"'), ("core/plan/a.c", '"graph/graph.h"'),
                           ("core/base/c.c", "HEADER"), ("core/base/d.c", '/* */"graph/graph.h"'),
                           ("core/api/demist/demist.h", ""), ("plugins/a.c", "<demist/demist.h>")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text and f"#include {text}\n")
        faults, _ = faults_of(root)
        assert faults == ["core/api/demist/demist.h: lies in no folder of core/order.txt",
                          "core/base/a.c:2: includes core/graph/graph.h, which core/base may not use",
                          "core/base/c.c:1: includes what the macro HEADER says; name the file",
                          "core/base/d.c:1: includes core/graph/graph.h, which core/base may not use",
                          "core/graph/b.c:1: includes core/base/base.h, which core/graph may not use",
                          "core/stray.c: lies in no folder of core/order.txt",
                          "plugins/a.c:1: includes core/api/demist/demist.h, which plugins may not use",
                          "tools/one/b.c:1: includes tools/two/a.h, which tools/one may not use"], faults


OBJECTS = {"core": "core/libdemist_core.a.p", "interop": "interop/libdemist_interop.a.p",
           "backends": "backends/libdemist_backends.a.p", "tools/demist": "demist.p"}


def calls(root, build):
    """{file: {another: the functions and data of it that it uses}}, by the symbols of the build's objects."""
    files = {}
    for top, where in OBJECTS.items():
        for source in (root / top).rglob("*.c"):
            named = source.relative_to(root if top == "tools/demist" else root / top)  # as meson names objects
            obj = Path(build) / where / ("_".join(named.parts) + ".o")
            if obj.is_file():
                files[str(obj)] = str(source.relative_to(root))
    defined, needed = {}, {file: set() for file in files.values()}
    nm = ["nm", "-A", *sorted(files)] if files else ["true"]
    lines = subprocess.run(nm, capture_output=True, text=True, check=True).stdout.splitlines()
    for obj, _, line in (line.partition(":") for line in lines):
        kind, symbol = line.split()[-2:]
        if kind in "TDRBV":
            defined[symbol] = files[obj]
        elif kind == "U":
            needed[files[obj]].add(symbol)
    uses = {file: {} for file in needed}
    for file, symbols in needed.items():
        for s in symbols:
            if s in defined and defined[s] != file:
                uses[file].setdefault(defined[s], set()).add(s)
    return uses


def words_of(headers):
    return {w for h in headers for w in re.findall(r"\w+", h.read_text())}


def upward(uses, order, interface, public):
    """What a file uses of a folder that its own may not use. What a backend defines is used from outside it where the
    interface, the words of core/device's headers, has it; what the library exports, words of the public header, by every
    tool."""
    for file, used in uses.items():
        mine = folder_of(file, order)
        for other in sorted(used):
            theirs = folder_of(other, order)
            if not mine or order[mine] is None or theirs in order[mine]:
                continue
            other_backend = theirs.startswith("backends") and theirs.split("/")[:2] != mine.split("/")[:2]
            allowed = interface if other_backend else public if mine.startswith("tools") else set()
            if not used[other] <= allowed:
                yield f"{file}: uses {', '.join(sorted(used[other]))} of {other}, which {mine} may not use"


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
    order = {"core/base": {"core/base"}, "core/graph": {"core/base", "core/graph"}, "backends": {"core/base"},
             "backends/x/low": set(), "backends/x/high": set()}
    assert list(upward({"core/base/a.c": {"core/graph/ops/b.c": {"b"}},
                        "core/graph/c.c": {"core/base/a.c": {"a"}, "backends/o.c": {"o"}},
                        "core/graph/d.c": {"backends/o.c": {"o", "hidden"}},
                        "backends/x/low/e.c": {"backends/x/high/f.c": {"o"}}}, order, {"o"}, {"b"})) == \
        ["core/base/a.c: uses b of core/graph/ops/b.c, which core/base may not use",
         "core/graph/d.c: uses hidden, o of backends/o.c, which core/graph may not use",
         "backends/x/low/e.c: uses o of backends/x/high/f.c, which backends/x/low may not use"]
    build = os.environ.get("DEMIST_BUILD")
    if build:
        uses = calls(root, build)
        for top in OBJECTS:
            assert sum(f.startswith(top + "/") for f in uses) > 5, f"the build's objects of {top} were not found"
        faults += upward(uses, read_order(root / "core/order.txt"), words_of((root / "core/device").glob("*.h")),
                         words_of([root / "core/api/demist/demist.h"]))
        faults += [f"these files call each other in a circle: {', '.join(c)}" for c in circles(uses)]
    else:
        print("DEMIST_BUILD names no build folder: symbols were not read")
    print("\n".join(faults + [f"{seen} includes read, {len(faults)} faults"]))
    return 1 if faults or seen < 500 else 0


if __name__ == "__main__":
    sys.exit(main())
