"""No line of C, OpenCL or Markdown is longer than 120 columns (tables of Markdown aside), and none ends in a blank.

Run by hand: test_lines.py [TREE]."""
import os
import sys
from pathlib import Path

SOURCES = (".c", ".h", ".cpp", ".cl", ".clh", ".md")
TOPS = ("backends", "core", "docs", "interop", "kernels", "plugins", "python", "tests", "tools", "README.md")
COLUMNS = 120


def faults_of(name, text):
    for i, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS and not (name.endswith(".md") and line.lstrip().startswith("|")):
            yield f"{name}:{i}: {len(line)} columns; {COLUMNS} are the most"
        if line != line.rstrip():
            yield f"{name}:{i}: ends in a blank"


def files(root):
    for top in TOPS:
        paths = [root / top] if (root / top).is_file() else sorted((root / top).rglob("*"))
        yield from (p for p in paths if p.suffix in SOURCES and ".venv" not in p.parts)


def main():
    assert len(list(faults_of("a.c", "x" * 121))) == 1
    assert len(list(faults_of("a.c", "x" * 120))) == 0
    assert len(list(faults_of("a.md", "| " + "x" * 121))) == 0
    assert len(list(faults_of("a.md", "x" * 121 + " "))) == 2
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DEMIST_SOURCE"])
    read = list(files(root))
    faults = [f for p in read for f in faults_of(str(p.relative_to(root)), p.read_text())]
    print("\n".join(faults + [f"{len(read)} files read, {len(faults)} faults"]))
    return 1 if faults or len(read) < 300 else 0


if __name__ == "__main__":
    sys.exit(main())
