"""No line of C, OpenCL, Markdown and Python, nor of the scripts in tools/, is longer than .editorconfig says (tables of
Markdown aside), and none ends in a blank.

Run by hand: test_lines.py [TREE]."""
import os
import re
import sys
from pathlib import Path

SOURCES = (".c", ".h", ".cpp", ".cl", ".clh", ".md", ".py")
TOPS = ("backends", "core", "docs", "interop", "kernels", "plugins", "python", "tests", "tools", "README.md")


def pattern(glob):
    """A section of .editorconfig: {a,b}, ** of any characters, * of those but /; without a / of names in any folder."""
    special = {"**": ".*", "*": "[^/]*", "{": "(?:", "}": ")", ",": "|"}
    text = "".join(special.get(x, re.escape(x)) for x in re.findall(r"\*\*|.", glob))
    return re.compile(("" if "/" in glob else "(?:.*/)?") + text)


def limits_of(text):
    """[(pattern, columns)] in their order: the last that fits holds."""
    found, section = [], None
    for line in text.splitlines():
        if line.startswith("["):
            section = pattern(line.strip()[1:-1])
        elif section and (m := re.match(r"max_line_length *= *(\d+)", line)):
            found.append((section, int(m[1])))
    return found


def limit(limits, name):
    return next((columns for section, columns in reversed(limits) if section.fullmatch(name)), None)


def faults_of(name, text, columns):
    for i, line in enumerate(text.splitlines(), 1):
        if columns and len(line) > columns and not (name.endswith(".md") and line.lstrip().startswith("|")):
            yield f"{name}:{i}: {len(line)} columns; {columns} are the most"
        if line != line.rstrip():
            yield f"{name}:{i}: ends in a blank"


def files(root):
    for top in TOPS:
        paths = [root / top] if (root / top).is_file() else sorted((root / top).rglob("*"))
        yield from (p for p in paths if p.suffix in SOURCES and ".venv" not in p.parts)
    yield from (p for p in sorted((root / "tools").glob("*")) if p.is_file() and p.suffix not in SOURCES)


def main():
    assert len(list(faults_of("a.c", "x" * 121, 120))) == 1
    assert len(list(faults_of("a.c", "x" * 120, 120))) == 0
    assert len(list(faults_of("a.md", "| " + "x" * 121, 120))) == 0
    assert len(list(faults_of("a.md", "x" * 121 + " ", 120))) == 2
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DEMIST_SOURCE"])
    limits = limits_of((root / ".editorconfig").read_text())
    for name, columns in (("core/base/a.c", 120), ("README.md", 120), ("python/demist/a.py", 120), ("tests/cli/a.py", 200),
                          ("tools/demist/a.c", 120), ("tools/a.py", 200), ("tools/test", 200), ("meson.build", None)):
        assert limit(limits, name) == columns, (name, limit(limits, name))
    read = {str(p.relative_to(root)): p.read_text() for p in files(root)}
    faults = [f for name, text in read.items() for f in faults_of(name, text, limit(limits, name))]
    print("\n".join(faults + [f"{len(read)} files read, {len(faults)} faults"]))
    return 1 if faults or len(read) < 300 else 0


if __name__ == "__main__":
    sys.exit(main())
