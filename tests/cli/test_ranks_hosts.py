"""Ranks on two hosts, as far as one machine can have them: network namespaces, each with a host name of its own, joined by a
virtual cable. What goes from one to the other goes by TCP. Needs root and iproute2; skips where the machine does not allow it."""
import os
import re
import signal
import subprocess
import sys
import time

import mpi
from cli import log_lines, moons, path, run_tests, same_tensors
from mpi import LAST, finish, processes, ranks, start, wait_for_steps

HOSTS = {"demist-a": "10.213.77.1", "demist-b": "10.213.77.2"}
A, B = HOSTS
# mpirun's way to start its daemon on a host: this in place of ssh.
AGENT = f"""#!/bin/sh
shift
exec ip netns exec {B} unshare --uts sh -c 'hostname {B}; exec sh -c "$*"' sh "$@"
"""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


def make_hosts():
    """Why they cannot be made, or None."""
    if "ompi" not in os.environ["DEMIST_MPI_NAME"]:
        return "the options are Open MPI's"
    if os.geteuid():
        return "needs root"
    remove_hosts()
    commands = [["netns", "add", h] for h in HOSTS] + [["link", "add", "demist-a", "netns", A, "type", "veth", "peer", "name", "demist-b", "netns", B]]
    for h, address in HOSTS.items():
        commands += [["-n", h, "addr", "add", address + "/24", "dev", h], ["-n", h, "link", "set", "lo", "up"], ["-n", h, "link", "set", h, "up"]]
    for c in commands:
        try:
            done = ip(*c)
        except FileNotFoundError:
            return "iproute2's ip is not there"
        if done.returncode:
            return f"'ip {' '.join(c)}' failed: {done.stderr.strip()}"
    with open(path("agent"), "w") as f:
        f.write(AGENT)
    os.chmod(path("agent"), 0o755)
    mpi.MPIRUN[:] = ["ip", "netns", "exec", A, "unshare", "--uts", "sh", "-c", f'hostname {A}; exec "$@"', "sh", *mpi.MPIRUN, "--mca", "plm_rsh_agent",
                     path("agent"), "--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--host", ",".join(f"{address}:8" for address in HOSTS.values()),
                     "--map-by", "node", *(w for name in sorted(os.environ) if re.match("DEMIST|OCL|LD_LIB|POCL|ASAN|UBSAN|LSAN", name) for w in ("-x", name))]
    return None


def remove_hosts():
    for h in HOSTS:
        if os.path.exists(f"/run/netns/{h}"):
            ip("netns", "del", h)


def sent():
    """Bytes that the first host has sent."""
    return int(re.search(r"TX:.*\n +(\d+)", ip("-n", A, "-s", "link", "show", A).stdout)[1])


def train(n, out, *more, **how):
    return ranks(n, "train", *moons(out, "train.steps=10", "train.log_every=1", "train.save_every=5", "train.micro_batch=8", "--deterministic", *more), **how)


def the_same_on_hosts():
    """The bits of one rank; who is where; and all gradients go by the cable."""
    before = sent()
    out = train(2, "two")
    assert all(re.search(rf"rank {k}: 16 examples a step, on device .* of {h}$", out, re.M) for k, h in enumerate(HOSTS)), out
    assert "share device" not in out, out
    parameters = int(re.search(r"network: (\d+) parameters", out)[1])
    assert sent() - before > 10 * 4 * parameters, (before, sent(), parameters)
    train(1, "one", "-q")
    train(4, "four", "-q")
    for run in "two", "four":
        assert not same_tensors(path("one", LAST % 10), path(run, LAST % 10)), run
    assert len(log_lines(path("two"))) == 10


def checkpoints(run):
    return [int(n) for n in re.findall(r"step-(\d+)\.safetensors ", " ".join(os.listdir(path(run, "checkpoints"))) + " ")]


def a_host_fails():
    """A rank of the other host that is killed ends the job; the run goes on from its checkpoint."""
    p = start(2, "train", *moons("killed", "train.steps=1000000", "train.save_every=5", "train.log_every=1", "train.decay=constant", "network.width=256"))
    assert wait_for_steps(p, "killed")
    while not checkpoints("killed"):
        assert p.poll() is None
        time.sleep(0.05)
    os.kill(processes(p)[1], signal.SIGKILL)
    out = finish(p, None, 30)
    assert p.returncode and re.search(r"rank 1\b.*signal 9", out, re.S), out
    ranks(2, "resume", path("killed"), f"train.steps={max(checkpoints('killed')) + 2}", "-q")


if __name__ == "__main__":
    why = make_hosts()
    if why:
        print(f"SKIP: hosts as network namespaces: {why}")
        remove_hosts()
        sys.exit(77)
    try:
        run_tests([the_same_on_hosts, a_host_fails])
    finally:
        remove_hosts()
