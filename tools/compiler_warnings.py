"""Compiles every source of a build folder with each compiler that is installed, at levels of optimisation, and
prints the warnings: none is the only good result.

    tools/compiler_warnings.py BUILD [--compiler NAME] [--level=-O2]    both may be repeated"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

COMPILERS = ("gcc", "clang-14", "clang-16", "clang-19", "clang-22")
LEVELS = {"gcc": ("-O0", "-O1", "-O2", "-O3"), "clang": ("-O0", "-O3")}  # clang warns before it optimises


def command(entry, compiler, level):
    """The build's own command for a file, with another compiler, at another level, to nowhere."""
    words = shlex.split(entry["command"])
    words = words[2:] if Path(words[0]).name == "ccache" else words[1:]
    kept, skip = [], False
    for w in words:
        if skip or w in ("-o", "-MF", "-MQ"):
            skip = not skip
        elif w not in ("-MD", "-Werror", "-g", "-c") and not w.startswith("-O"):
            kept.append(w)
    return [compiler, *kept, level, "-fdiagnostics-color=never", "-c", "-o", "/dev/null"]


def warnings(entry, compiler, level):
    done = subprocess.run(command(entry, compiler, level), cwd=entry["directory"], capture_output=True, text=True,
                          check=False)
    found = re.findall(r"^\S+: (?:warning|error|fatal error): .*$", done.stderr, re.M)
    if done.returncode and not found:
        found = [f"{entry['file']}: {compiler} {level} failed: {done.stderr.strip()[:200]}"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--compiler", action="append")
    parser.add_argument("--level", action="append")
    args = parser.parse_args()
    entries = [e for e in json.loads((args.build / "compile_commands.json").read_text()) if e["file"].endswith(".c")]
    total = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiler in args.compiler or COMPILERS:
            if not shutil.which(compiler):
                print(f"{compiler}: not installed")
                continue
            for level in args.level or LEVELS[compiler.split("-")[0]]:
                found = sorted({w for ws in pool.map(lambda e: warnings(e, compiler, level), entries) for w in ws})
                total += len(found)
                print("\n".join([f"{compiler} {level}: {len(entries)} files, {len(found)} warnings", *found]), flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
