"""Every file that the documentation names exists: links, paths in backticks and in commands.

Run by hand: test_docs.py [TREE]."""
import os
import re
import sys
from pathlib import Path

TOPS = ("backends", "configs", "core", "docs", "interop", "kernels", "plugins", "python", "tests", "tools")
# A path from the root of the tree with a folder in it.
PATH = re.compile(r"(?<![\w./-])(?:" + "|".join(TOPS) + r")/[\w./*-]*\w\*?")
# The name of a source file alone: it lies anywhere. NEW are what a reader is told to write.
NAME = re.compile(r"`(\w+\.(?:c|cl|clh|h|py|yaml))`")
NEW = {"my_curve.c", "resolved.yaml"}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def names_of(text):
    """Each path in a page, with its line, and whether it is relative to the page."""
    for i, line in enumerate(text.splitlines(), 1):
        yield from ((i, m[1], True) for m in LINK.finditer(line) if "://" not in m[1])
        yield from ((i, m[0].rstrip("."), False) for m in PATH.finditer(LINK.sub("", line)))


def missing(root, page, sources):
    text = page.read_text()
    for i, line in enumerate(text.splitlines(), 1):
        yield from (f"{page.relative_to(root)}:{i}: there is no file named {n}" for n in NAME.findall(line)
                    if n not in sources | NEW)
    for line, name, relative in names_of(text):
        at = page.parent if relative else root
        # `core/model/net` may stand for net.c and net.h, `tools/bench growth` for a folder or a program.
        if not (at / name).exists() and not list(at.glob(name + (".*" if "*" not in name else ""))):
            yield f"{page.relative_to(root)}:{line}: {name} does not exist"


def main():
    sample = "see [a](b.md#c), `core/x.c` and build/core/y.c: tools/z."
    assert [n for _, n, _ in names_of(sample)] == ["b.md", "core/x.c", "tools/z"], list(names_of(sample))
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DEMIST_SOURCE"])
    pages = [root / "README.md", root / "python/README.md", *sorted((root / "docs").glob("*.md"))]
    named = sum(1 for p in pages for _ in names_of(p.read_text()))
    sources = {p.name for t in TOPS for p in (root / t).rglob("*.*")}
    faults = [f for p in pages for f in missing(root, p, sources)]
    print("\n".join(faults + [f"{len(pages)} pages read, {named} paths, {len(faults)} faults"]))
    return 1 if faults or len(pages) < 10 or named < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
