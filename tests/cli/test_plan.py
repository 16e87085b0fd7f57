"""demist plan: the table of a model, what it is made of, and what is refused."""
import re

from cli import demist, moons, run_tests

NET = ("--bandwidth", "1", "--latency", "10")
SMALL = moons("plan", "train.steps=200", "train.batch=32")


def rows(out):
    """{ranks: the numbers of its row}"""
    return {int(line.split()[0]): [float(x.rstrip("%")) for x in line.split()[1:9]] for line in re.findall(r"^ *\d+ +\d+ +.*%.*[a-z]$", out, re.M)}


def by_speed():
    out, _ = demist("plan", *SMALL, "--ranks", 100, *NET, "--speed", "0.001")
    assert list(rows(out)) == [1, 2, 4, 8, 16, 32] and "    64         - more ranks than train.batch has examples" in out, out
    assert rows(out)[1][0] == 32 and rows(out)[32][0] == 1 and rows(out)[1][2:4] == [0, 0]
    flop = float(re.search(r"(\S+) GFLOP an example", out)[1])
    assert abs(rows(out)[1][1] / (32 * flop * 1e9 / 1e6) - 1) < 1e-3, (flop, out)
    parameters = int(re.match(r"(\d+) parameters", out)[1])
    n, ring = 16, rows(out)[16][2]
    assert abs(ring - (2 * (n - 1) * 10e-6 + 2 * (n - 1) / n * 4 * parameters / 1e9)) < 0.02 * ring, (ring, parameters)
    assert "Young" not in out, out  # of 100 ranks there is nothing to simulate
    out, _ = demist("plan", *SMALL, "--ranks", 10000, *NET, "--each", "--speed", "0.001", "--failure", "10", "--restart", "1")
    assert list(rows(out))[-2:] == [8192, 10000] and rows(out)[10000][0] == 32, out
    assert re.search(r"10000 ranks: one fails every 0\.001 h", out) and re.search(r"Young [\d.]+, Daly [\d.]+", out), out
    every = [int(x) for x in re.findall(r"^ +(\d+) +\d+ +\S+ +\S+ +[\d.]+%$", out, re.M)]
    assert len(every) == 5 and int(re.search(r"the least time of these: train.save_every=(\d+)", out)[1]) in every, out
    assert out == demist("plan", *SMALL, "--ranks", 10000, *NET, "--each", "--speed", "0.001", "--failure", "10", "--restart", "1")[0]


def measured():
    out, _ = demist("plan", *SMALL, "--ranks", 2, *NET)
    assert re.search(r"as measured on \d+:\d+ '.+' with batches of 32 and 1: \S+ s an example and \S+ s a step", out), out
    assert rows(out)[1][1] > 0 and rows(out)[2][7] > 0 and "train.save_every=" in out, out


def hides():
    """Of a deep network most of the sum passes during the backward pass, where that takes longer; of one bucket nothing."""
    deep = *SMALL, "network.width=512", "network.depth=8"  # 21 MB of gradients
    rate = "--ranks", 2, "--bandwidth", "10", "--latency", "1"
    slow, fast = (rows(demist("plan", *deep, *rate, "--speed", s)[0]) for s in ("1", "1e9"))
    assert 0 < 0.5 * slow[2][2] < slow[2][4] < slow[2][2], slow
    assert slow[1][4] == 0 and 0 <= fast[2][4] < 0.01 * fast[2][2], (slow, fast)
    for _, compute, ring, tree, hidden, rate_ in (r[:6] for r in (slow[2], fast[2])):
        assert abs(32 / rate_ - (compute + min(ring, tree) - hidden)) < 2e-3 * 32 / rate_, (slow, fast)
    assert rows(demist("plan", *SMALL, *rate, "--speed", "1")[0])[2][4] == 0


def refusals():
    for args, says in (((), "give --ranks, --bandwidth and --latency"), (("--ranks", "2", "--bandwidth", "0", "--latency", "1"), "--bandwidth is '0'"),
                       (("--ranks", "2", *NET, "--tail", "1"), "--tail is '1'; it must be a number from 1.01 to 100"),
                       (("--ranks", "2", *NET, "--speed", "nan"), "--speed is 'nan'"), (("--ranks", "10001", *NET), "--ranks")):
        err = demist("plan", *SMALL, *args, code=2)[1]
        assert says in err, (args, err)
    assert "1 error in the experiment" in demist("plan", *SMALL, "train.btch=1", "--ranks", 2, *NET, code=2)[1]


run_tests([by_speed, hides, measured, refusals])
