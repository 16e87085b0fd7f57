"""Several ranks under MPI on one machine: starting them, finding their processes."""
import os
import subprocess
import time

from cli import DEMIST, WORK, path

MPIRUN = os.environ["DEMIST_MPIRUN"].split()
# As root, and with more ranks than processors, Open MPI wants to be told; MPICH does not heed these.
ENV = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_btl_base_warn_component_unused": "0"}
if "DEMIST_PRELOAD" in os.environ:
    # Before the sanitizer's own library, which objects unless told. MPI's libraries keep no frame pointers, so only the
    # slow way finds out whose an allocation is.
    ENV |= {"LD_PRELOAD": os.environ["DEMIST_PRELOAD"],
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:fast_unwind_on_malloc=0"
            ":malloc_context_size=8"}
LAST = os.path.join("checkpoints", "step-%08d.safetensors")


def own_program(own):
    return ["env", *(f"{k}={v}" for k, v in own.items()), DEMIST] if isinstance(own, dict) else [DEMIST, *own]


def start(n, *args, env=None, preexec=None):
    """mpirun of so many ranks; or of ranks with their own arguments, or environment, where n is a list of lists or dicts of them."""
    each = [["-n", "1", *own_program(own), *args] for own in n] if isinstance(n, list) else [["-n", str(n), DEMIST, *args]]
    words = [str(w) for i, one in enumerate(each) for w in ([":"] if i else []) + one]
    return subprocess.Popen(MPIRUN + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=WORK,
                            env={**ENV, **(env or {})}, preexec_fn=preexec)


def finish(p, code=0, seconds=300):
    out, _ = p.communicate(timeout=seconds)
    assert code is None or p.returncode == code, (p.returncode, out[-3000:])
    return out


def ranks(n, *args, code=0, **how):
    return finish(start(n, *args, **how), code)


def processes(launcher):
    """{rank: process} of what the launcher has started, here."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe") != os.path.realpath(DEMIST) or not descends(pid, launcher.pid):
                continue
            env = dict(e.split("=", 1) for e in open(f"/proc/{pid}/environ").read().split("\0") if "=" in e)
        except OSError:
            continue
        found[int(env.get("OMPI_COMM_WORLD_RANK", env.get("PMI_RANK", "0")))] = int(pid)
    return found


def descends(pid, ancestor):
    while int(pid) > 1 and int(pid) != ancestor:
        pid = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]
    return int(pid) == ancestor


def wait_for_steps(p, run, since=0):
    """Whether the run has written a line since then; it may have ended before."""
    log, deadline = path(run, "log.jsonl"), time.time() + 100
    while not os.path.exists(log) or not os.path.getsize(log) or os.stat(log).st_mtime <= since:
        if p.poll() is not None:
            return False
        assert time.time() < deadline
        time.sleep(0.02)
    return True
