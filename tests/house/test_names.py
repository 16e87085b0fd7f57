"""No program of Python beside which others stand is named like a module of Python itself: it would be imported in its place.

Run by hand: test_names.py [TREE]."""
import os
import sys
from pathlib import Path

TOPS = ("python", "tests", "tools")


def faults_of(path):
    if path.suffix == ".py" and path.stem in sys.stdlib_module_names:
        yield f"{path}: Python's own module '{path.stem}' is hidden by it; give it another name"


def main():
    assert len(list(faults_of(Path("tools/warnings.py")))) == 1
    assert len(list(faults_of(Path("tools/compiler_warnings.py")))) == 0
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DEMIST_SOURCE"])
    found = [f for top in TOPS for p in sorted((root / top).rglob("*.py")) if ".venv" not in p.parts
             for f in faults_of(p.relative_to(root))]
    print("\n".join(found) or "no program of Python hides a module of Python")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
