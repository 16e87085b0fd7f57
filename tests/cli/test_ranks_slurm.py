"""The batch script of docs/examples under Slurm's own daemons, on one machine: two ranks, a signal, exit code 75, the queue again. They run from a
folder of their own, and with what Debian installs (slurmctld, slurmd, slurm-client, munge); without them the test is skipped."""
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from cli import DEMIST, SOURCE, WORK, moons, path, run_tests

PROGRAMS = "munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "srun"
CONF = """ClusterName=demist
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
CredType=cred/munge
# The second one is how long a requeued job waits, less a second.
AuthInfo=socket={work}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
ENV = {**os.environ, "SLURM_CONF": path("slurm.conf"), "PATH": os.path.dirname(DEMIST) + ":" + os.environ["PATH"]}
daemons = []


def find(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")


def missing():
    """Why the test cannot run, or None."""
    if "ompi" not in os.environ["DEMIST_MPI_NAME"]:
        return "srun --mpi=pmix is Open MPI's"
    absent = [p for p in PROGRAMS if not find(p)]
    if absent:
        return f"{', '.join(absent)} not found (Debian: slurmctld slurmd slurm-client munge)"
    return None if len(os.sched_getaffinity(0)) > 1 else "needs two cores"


def free_ports(n):
    open_ = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in open_]
    for s in open_:
        s.close()
    return ports


def slurm(*words):
    return subprocess.run(words, capture_output=True, text=True, env=ENV, cwd=WORK, timeout=60)


def begin(*words):
    log = open(path(f"{os.path.basename(words[0])}.log"), "w")
    daemons.append(subprocess.Popen([find(words[0]), *words[1:]], stdout=log, stderr=subprocess.STDOUT, env=ENV, cwd=WORK))


def logs():
    return "".join(open(path(f)).read()[-1500:] for f in sorted(os.listdir(WORK)) if f.endswith((".log", ".out")))


def wait_for(what, ready, seconds=200):
    deadline = time.time() + seconds
    while not ready():
        assert time.time() < deadline, f"{what}: {logs()}"
        time.sleep(0.2)


def start_slurm():
    for folder in "state", "spool":
        os.mkdir(path(folder))
    with open(path("slurm.conf"), "w") as f:
        f.write(CONF.format(host=socket.gethostname().split(".")[0], ports=free_ports(2), work=WORK, cpus=len(os.sched_getaffinity(0)),
                            user=subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()))
    with open(os.open(path("munge.key"), os.O_CREAT | os.O_WRONLY, 0o400), "wb") as f:
        f.write(os.urandom(128))
    begin("munged", "--foreground", "--force", "--key-file", path("munge.key"), "--socket", path("munge.socket"), "--pid-file", path("munged.pid"),
          "--log-file", path("munged.txt"), "--seed-file", path("munged.seed"))
    wait_for("munged", lambda: os.path.exists(path("munge.socket")), 30)
    begin("slurmctld", "-D")
    begin("slurmd", "-D")
    wait_for("Slurm", lambda: "idle" in slurm("sinfo", "-h", "-o", "%T").stdout, 60)


def job(number):
    return dict(re.findall(r"(\w+)=(\S+)", slurm("scontrol", "show", "job", number).stdout))


def output():
    return "".join(open(path(f)).read() for f in os.listdir(WORK) if f.endswith(".out"))


def stopped_and_requeued():
    args = moons("run", "train.steps=1000000", "train.save_every=0", "train.decay=constant", "network.width=128")
    sent = slurm("sbatch", "--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1", "--time=10", "--job-name=demist-test",
                 os.path.join(SOURCE, "docs", "examples", "train.sbatch"), *args)
    assert sent.returncode == 0, (sent.stderr, logs())
    number = re.search(r"(\d+)$", sent.stdout.strip())[1]
    log = path("run", "log.jsonl")
    last = 0
    for restarts in "1", "2":
        wait_for("steps", lambda: os.path.exists(log) and open(log).read().count("\n") > last + 2)
        assert output().count("ranks: 2, by Open MPI") == int(restarts), output()
        assert slurm("scancel", "--signal=USR1", number).returncode == 0
        wait_for("the queue", lambda: job(number).get("Restarts") == restarts, 60)
        assert "exit code 75" in output() or "Exited with exit code 75" in output(), output()
        steps = [int(n) for n in re.findall(r"stopped at step (\d+) of 1000000, a checkpoint is saved", output())]
        assert len(steps) == int(restarts) and steps == sorted(steps), output()
        last = open(log).read().count("\n")
    wait_for("steps", lambda: open(log).read().count("\n") > last + 2)
    assert f"resuming at step {steps[-1]}" in output(), output()
    slurm("scancel", number)
    wait_for("the end", lambda: job(number).get("JobState") in (None, "CANCELLED"), 60)


if __name__ == "__main__":
    why = missing()
    if why:
        print(f"SKIP: the batch script under Slurm: {why}")
        shutil.rmtree(WORK, ignore_errors=True)
        sys.exit(77)
    try:
        start_slurm()
        run_tests([stopped_and_requeued])
    finally:
        for d in reversed(daemons):
            d.terminate()
        for d in reversed(daemons):
            d.wait(30)
