"""What comes of the tables of commands and options: faults of usage, suggestions, help, manual pages, completion."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

from cli import DEMIST, demist, path, run_tests

COMMANDS = re.findall(r"^  ([a-z][a-z-]*) {2,}\S", demist("--help")[0], re.M)
OPTION = re.compile(r"^  (?:-(\w), )?--([a-z][a-z-]*)", re.M)


def options_of(command):
    return {name for _, name in OPTION.findall(demist(command, "--help")[0])}


def complete(*words):
    """{word: help} and the line that asks for files, if any."""
    lines = demist("complete", "--", *words)[0].splitlines()
    return dict(x.split("\t") for x in lines if not x.startswith(":")), [x for x in lines if x.startswith(":")]


def fault(*args, says):
    err = demist(*args, code=2)[1]
    assert says in err.splitlines()[0], (says, err)
    return err


def faults_of_usage():
    fault("sample", "x", "--count", "0", says="--count is '0'; it must be an integer from 1 to 16777216")
    for number in "1x", "", "1e3", "99999999999999999999":
        fault("sample", "x", f"--count={number}", says=f"--count is '{number}'; it must be an integer")
    fault("sample", "x", "--count", says="option '--count' needs a value")
    fault("sample", "--force=1", "x", says="--force takes no value")
    fault("sample", "x", "-fqz", says="unknown option '-z'")
    fault("sample", "x", "--t", "f", says="option '--t' may be --tensors, --trace")
    fault("eval", "x", "--metric", "qualty", says="--metric is 'qualty'; it must be quality, nll, loss or accuracy; did you mean 'quality'?")
    fault("plugins", "--color", "blue", says="--color is 'blue'; it must be auto, always or never")
    fault("cache", "burn", says="unexpected 'burn'; it must be clear")
    fault("init", path("a.yaml"), "image", says="did you mean 'images'?")
    fault("devices", "a", says="'a'")
    fault("predict", "x", says="--in and --out are needed")
    fault("predict", "x", "--in", "a", says="--out is needed")
    fault("export", "a", "--to", "diffusers", says="give the folder to write to")
    fault("export", "a", "--to", "onnx", "b", says="--to is 'onnx'; it must be diffusers")
    fault("export", "a", "--to", "diffusers", "b=c", says="the folder comes last")
    axes = [x for i in range(9) for x in ("--over", f"k{i}=1")]
    fault("sweep", "a.yaml", *axes, "--metric", "loss", says="--over is given more than 8 times")
    err = fault("sample", says="give a run")
    assert "usage: demist sample RUN [key=value ...]" in err and "demist sample --help shows more" in err, err


def as_before():
    """Names that are cut where one alone begins so, values with '=' and without, bundles, '--', and any order."""
    _, err = demist("devices", "--li", code=None)
    assert "unknown" not in err
    fault("sample", path("none"), "--out=a.png", "-qvf", "--cou", "3", says=f"{path('none')}")
    fault("sample", "--out", path("a.png"), "--", path("none"), says=f"{path('none')}")
    fault("sample", "sampler.steps=5", "--out", path("a.png"), says="sampler.steps=5")
    assert demist("sample", "--count", "3", "--help", "x")[0] == demist("help", "sample")[0]


def suggestions():
    for wrong, right in (("smaple", "sample"), ("trian", "train"), ("new-pluign", "new-plugin")):
        fault(wrong, says=f"unknown command '{wrong}'; did you mean '{right}'?")
    fault("fly", says="unknown command 'fly'; demist --help lists them")
    fault("docs", "--man", "smaple", says="there is no command 'smaple'; did you mean 'sample'?")
    fault("sample", "x", "--cuont", "3", says="unknown option '--cuont'; did you mean --count?")
    fault("sample", "x", "--step", "5", says="unknown option '--step'; did you mean the key sampler.steps=5?")
    fault("sample", "x", "--steps=50", says="did you mean the key sampler.steps=50?")
    fault("sample", "x", "--sampler.steps", "50", says="did you mean the key sampler.steps=50?")
    fault("sample", "x", "--eta", "1", says="did you mean the key sampler.eta=1?")
    fault("sample", "x", "--device", "gpu", says="did you mean the key device=gpu?")
    fault("train", "a.yaml", "--steps", "5", says="the key sampler.steps=5 or train.steps=5?")
    fault("train", "a.yaml", "--batch-size", "5", says="unknown option '--batch-size'")
    err = fault("devices", "--steps", says="unknown option '--steps'")
    assert "key" not in err, err


def help_and_manuals():
    program = demist("docs", "--man")[0]
    assert not any(line.startswith("complete ") or line == "complete" for line in demist("--help")[0].splitlines())
    for command in COMMANDS:
        text, page = demist(command, "--help")[0], demist("docs", "--man", command)[0]
        assert text.startswith(f"usage: demist {command}"), text
        assert f".BR demist\\-{command.replace('-', chr(92) + '-')} (1)" in program, command
        assert page.startswith(f".TH DEMIST") and ".SH SYNOPSIS" in page and ".SH EXIT STATUS" in page
        for name in options_of(command):
            assert "\\-\\-" + name.replace("-", "\\-") in page, (command, name)
        if shutil.which("groff"):
            p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True)
            assert p.returncode == 0 and not p.stderr, (command, p.stderr)
        # What the text says of options, its line of usage included, is in its table.
        own = options_of(command)
        synopsis = text.split("\n\n")[0]
        assert set(re.findall(r"--([a-z][a-z-]*)", synopsis)) <= own, command


def completion():
    assert complete("")[0].keys() >= set(COMMANDS) and "complete" not in complete("")[0]
    assert set(complete("sa")[0]) == {"sample"}
    for command in COMMANDS:
        assert {x[2:] for x in complete(command, "--")[0]} == options_of(command), command
    assert complete("sample", "runs/")[1] == [":files .safetensors"]
    assert complete("train", "")[1] == [":files .yaml|.yml"]
    assert complete("train", "a.yaml", "data.folder=x")[1] == [":value-files"]
    assert complete("sample", "x", "--out", "")[1] == [":files .png"] and complete("sample", "x", "--out=")[1] == [":value-files .png"]
    assert complete("export", "x", "--to", "diffusers", "")[1] == [":folders"]
    assert set(complete("eval", "x", "--metric", "")[0]) == {"quality", "nll", "loss", "accuracy"}
    assert set(complete("eval", "x", "--metric=n")[0]) == {"--metric=nll"}
    assert {"sampler.steps=", "sampler.eta=", "sampler.use="} <= set(complete("sample", "x", "sampler.")[0])
    assert not complete("sample", "x", "train.")[0] and "train.lr=" in complete("train", "x", "train.")[0]
    assert {"sampler.use=ddim", "sampler.use=ddpm"} <= set(complete("sample", "x", "sampler.use=dd")[0])
    assert set(complete("train", "x", "precision=")[0]) == {"precision=fp32", "precision=bf16", "precision=fp16"}
    assert set(complete("train", "x", "deterministic=")[0]) == {"deterministic=true", "deterministic=false"}
    assert {"auto", "cpu", "gpu"} <= set(complete("tune", "--device", "")[0])
    assert "schedule/cosine" in complete("plugins", "schedule/c")[0] and "sampler" in complete("new-plugin", "")[0]
    assert set(complete("docs", "--man", "trai")[0]) == {"train"} and set(complete("help", "trai")[0]) == {"train"}
    assert "grid.use=" not in complete("sample", "x", "--tensors", "")[0]


def typed(shell, setup, keys, until, cwd):
    """What an interactive shell shows after these keys."""
    pid, fd = pty.fork()
    if not pid:
        os.chdir(cwd)
        os.environ.update(PS1="$ ", TERM="dumb", HISTFILE="/dev/null", HOME=cwd,
                          PATH=os.path.dirname(os.path.abspath(DEMIST)) + ":" + os.environ["PATH"])
        os.execvp(shell[0], shell)
    out, deadline = "", time.time() + 60

    def wait_for(mark):
        nonlocal out
        while mark not in out and time.time() < deadline:
            if select.select([fd], [], [], 1)[0]:
                try:
                    out += os.read(fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return mark in out

    try:
        os.write(fd, (setup + "; echo re''ady\n").encode())
        assert wait_for("ready"), out
        out = ""
        os.write(fd, keys.encode())
        found = wait_for(until)
        assert found, (shell, keys, until, out)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)


def tree_for_shells():
    where = path("shells")
    os.makedirs(os.path.join(where, "a run/checkpoints"), exist_ok=True)
    for name in "first.yaml", "other.txt", "seen.png":
        open(os.path.join(where, name), "w").close()
    for flag, name in ("--bash", "demist.bash"), ("--zsh", "_demist"), ("--fish", "demist.fish"):
        open(os.path.join(where, name), "w").write(demist("docs", flag)[0])
    return where


CASES = (("demist sam\t", "demist sample"), ("demist sample x sampler.use=ddp\t", "sampler.use=ddpm"),
         ("demist eval x --metric=q\t", "--metric=quality"), ("demist train f\t", "first.yaml"),
         ("demist train first.yaml data.file=oth\t", "data.file=other.txt"), ("demist sample x --out s\t", "seen.png"),
         ("demist train first.yaml sampler.step\t", "sampler.steps="), ("demist plot a\t", "a\\ run/"))


def bash_completes():
    where = tree_for_shells()
    for keys, until in CASES:
        typed(["bash", "--norc", "--noprofile", "-i"], "source ./demist.bash; bind 'set enable-bracketed-paste off'", keys, until, where)
    # More than one: both are listed.
    typed(["bash", "--norc", "--noprofile", "-i"], "source ./demist.bash", "demist sample x sampler.use=dd\t\t", "ddim  ddpm", where)


def zsh_completes():
    where = tree_for_shells()
    if not shutil.which("zsh"):
        return print("zsh is not there: its completion is not tried")
    setup = f"PS1='$ '; fpath=({where} $fpath); autoload -Uz compinit; compinit -u -D; zstyle ':completion:*' menu no"
    for keys, until in CASES:
        typed(["zsh", "-f", "-i"], setup, keys, until, where)


def fish_completes():
    where = tree_for_shells()
    if not shutil.which("fish"):
        return print("fish is not there: its completion is not tried")
    for keys, until in CASES:
        line = keys[:-1]
        p = subprocess.run(["fish", "--no-config", "-c", f"source demist.fish; complete -C '{line}'"], capture_output=True, text=True, cwd=where,
                           env={**os.environ, "HOME": where, "PATH": os.path.dirname(os.path.abspath(DEMIST)) + ":" + os.environ["PATH"]})
        found = [x.split("\t")[0] for x in p.stdout.splitlines()]
        last = until.split(" ")[-1] if "\\" not in until else "a run/"
        assert last in found and not p.stderr, (line, last, p.stdout, p.stderr)


if __name__ == "__main__":
    run_tests([faults_of_usage, as_before, suggestions, help_and_manuals, completion, bash_completes, zsh_completes, fish_completes])
