"""The Python package as a user has it: installed by pip in a venv, with numpy alone beside it, over the built library."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import SOURCE, WORK, path, run_tests

VENV = os.environ["DEMIST_VENV"]
PYTHON = os.path.join(VENV, "bin/python")
HERE = os.path.dirname(os.path.abspath(__file__))


def call(*args, **more):
    p = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=600, **more)
    assert p.returncode == 0, f"{' '.join(map(str, args))}\n{p.stdout[-3000:]}\n{p.stderr[-3000:]}"
    return p.stdout


def pip(*args):
    call(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *args)


def make_venv(*more):
    shutil.rmtree(VENV, ignore_errors=True)
    call(sys.executable, "-m", "venv", *more, VENV)


def venv():
    """Kept from run to run. Without a network, what this machine's Python has will do."""
    ready = os.path.join(VENV, "ready")
    if os.path.exists(ready):
        return
    make_venv()
    try:
        pip("numpy", "setuptools>=70.1")
    except AssertionError as why:
        print(f"no packages from a registry, so those of this machine are taken: {str(why)[-300:]}")
        make_venv("--system-site-packages")
        call(PYTHON, "-c", "import numpy, setuptools")
    open(ready, "w").close()


def installs():
    venv()
    shutil.copytree(os.path.join(SOURCE, "python"), path("python"))  # building writes beside the sources
    pip("--no-build-isolation", "--no-deps", "--force-reinstall", path("python"))
    where = call(PYTHON, "-c", "import demist; print(demist.__file__)", cwd=WORK).strip()
    assert where.startswith(VENV) and os.path.exists(os.path.join(os.path.dirname(where), "py.typed")), where
    assert "Requires: numpy\n" in call(PYTHON, "-m", "pip", "show", "demist"), "more than numpy is needed"


def in_the_venv():
    """What is in python_cases.py, by the package that was installed."""
    p = subprocess.run([PYTHON, os.path.join(HERE, "python_cases.py"), WORK], text=True, cwd=WORK, timeout=600)
    assert p.returncode == 0


def notebook():
    p = subprocess.run([PYTHON, os.path.join(HERE, "run_notebook.py"),
                        os.path.join(SOURCE, "python/examples/moons.ipynb")], capture_output=True, text=True, cwd=WORK,
                       timeout=600)
    assert p.returncode == 0, p.stdout[-2000:] + p.stderr[-3000:]
    assert "InvalidArgument" not in p.stderr and "stepz" in p.stdout, p.stdout


def without_the_library():
    env = {**os.environ, "DEMIST_LIBRARY": "/nonexistent/libdemist.so"}
    p = subprocess.run([PYTHON, "-c", "import demist; demist.version()"], capture_output=True, text=True, env=env)
    assert p.returncode == 1 and "set DEMIST_LIBRARY to the path of libdemist.so.1" in p.stderr, p.stderr


if "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ:
    print("SKIP: a library with sanitizers cannot be loaded into this Python")
    sys.exit(77)
run_tests([installs, in_the_venv, notebook, without_the_library])
