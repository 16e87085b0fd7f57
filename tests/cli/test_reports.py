"""Reports: all parts in one file that needs nothing else, whatever lies in the run folder."""
import html.parser
import json
import os
import re
import shutil
import struct
import zlib

from cli import demist, moons, path, run_tests


# Every tag with its attributes, every text; what is unbalanced is an error.
class Page(html.parser.HTMLParser):
    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        self.text += data


ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td", "div", "figure", "img", "figcaption", "pre", "code"}


def page(*args, code=0):
    demist("report", path("run"), *args, "--out", path("out.html"), "--force", code=code)
    text = open(path("out.html"), "rb").read().decode("utf-8")
    p = Page(text)
    assert {t for t, _ in p.tags} <= ALLOWED, {t for t, _ in p.tags} - ALLOWED
    for tag, attrs in p.tags:
        assert not any(k.startswith("on") or k in ("href", "srcdoc") for k in attrs), (tag, attrs)
        if "src" in attrs:
            assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", attrs["src"]), attrs["src"][:80]
    assert "default-src 'none'" in text
    return p


# As demist eval --metric nll writes it for pixels; points have no such bound.
def likelihood():
    mean = lambda m: {"mean": m, "error": 0.01}
    json.dump({"step": 40, "count": 9, "steps": 3, "variance": "learned", "bits_per_dim": mean(3.3210625), "L_T": mean(0.01), "L_between": mean(2),
               "L_0": mean(1.3110625), "terms": [{"t": t, "mean": 3.0 / t, "error": 0.1} for t in (1, 2, 3)]}, open(path("run/eval/nll.json"), "w"))


def everything_is_in_it():
    demist("train", *moons("run", "data.limit=500", "train.steps=40"))
    p = page("--no-samples")
    assert "Samples" not in p.text and "Quality" not in p.text and "Sweep" not in p.text and "use: toy2d" in p.text
    quality = ("--metric", "quality", "--features", path("run"), "--count", "100")
    demist("eval", path("run"), *quality, "sampler.steps=7")
    demist("sweep", path("run"), "--over", "sampler.steps=2,2000", "--over", "sampler.use=ddpm,ddim", *quality)
    likelihood()
    demist("eval", path("run"), "--metric", "loss", "--weights", "all", "--count", "50")
    p = page("sampler.steps=5")
    report = json.load(open(path("run/eval/quality.json")))
    loss = json.load(open(path("run/eval/loss.json")))["weights"]
    assert len(loss) > 1
    for row in loss:
        for number in (row["loss"], row["bands"][2]["loss"]):
            assert f"{number:.4g}" in p.text, (row, p.text)
    for words in ("step 40", "Samples", "Training", "Quality of samples", "Sweep", "Experiment", "floor: test images", "ceiling: noise",
                  f"{report['samples']['frechet']:.4g}", report["features"]["sha256"], "sampler.steps=7", "steps=5", "more than the schedule's 1000",
                  "Likelihood", "3.321", "learned variance", "images/s", json.load(open(path("run/env.json")))["device"], "use: toy2d"):
        assert words in p.text, (words, p.text)
    images = [a for t, a in p.tags if t == "img"]
    assert "Samples of each cell" in p.text and "steps=2, use=ddpm: frechet" in p.text, p.text
    assert len(images) >= (5 if os.path.exists(path("run/sweep/sweep.png")) else 1), len(images)
    # By default it lies in the run folder, goes with the run, and is written over.
    for _ in range(2):
        out = demist("report", path("run"), "--no-samples")[0]
        assert out.strip() == path("run/report.html") and os.path.exists(path("run/report.html"))


# Whatever the folder's files say, no markup of theirs gets into the page, and it has the rest.
def hostile_files():
    evil = '<script>alert(1)</script><img src=x onerror=alert(1)>"\'&\x01\u202e]]>-->'
    deep = "[" * 100000
    q = path("run/eval/quality.json")
    whole = open(q).read()
    env = open(path("run/env.json")).read()
    bad = [deep, "", "[]", "nul", '{"samples": 1, "floor": [], "features": "x", "step": "y"}', "{" + '"a":1,' * 3 + '"a":2}', '{"step": 1e999}',
           json.dumps({"samples": {"frechet": evil, "kid": 1e308}, "features": {"sha256": evil * 50, "layer": evil, "run": evil}, "sampling": evil,
                       "overrides": [evil, 5, None, {}] * 30, "step": -1e18}), "\xff\xfe" + whole]
    for text in bad:
        open(q, "w", encoding="latin-1", errors="replace").write(text)
        p = page("--no-samples", code=None)
        assert "Experiment" in p.text and "use: toy2d" in p.text
    assert "<script>alert(1)</script>" not in open(path("out.html")).read()
    open(q, "w").write(whole)
    open(path("run/env.json"), "w").write(json.dumps({"device": evil, "driver": ["x"], "libraries": evil, "started": "\ud800x".encode("utf-8", "replace").decode()}))
    p = page("--no-samples", code=None)
    assert "<script>alert(1)</script>" in p.text, "text is shown as it reads"
    open(path("run/env.json"), "w").write(env)
    for text in (deep, json.dumps({"terms": [evil, 5, {"t": evil, "mean": []}, {"t": -1, "mean": 1e308}, {"t": 2, "mean": -1}] * 50, "L_T": evil,
                                   "bits_per_dim": {"mean": evil}, "variance": evil, "count": [], "overrides": evil}), '{"terms": {}, "L_T": {}}'):
        open(path("run/eval/nll.json"), "w").write(text)
        assert "Experiment" in page("--no-samples", code=None).text
    likelihood()
    s = path("run/sweep/sweep.json")
    shutil.copy(path("run/sweep/sweep.png"), path("outside.png"))
    shutil.copy(path("outside.png"), path("run/outside.png"))
    os.symlink(path("outside.png"), path("run/sweep/cells", "a" * 24 + "-16.png"))
    kept = open(s).read()
    for text in (deep, "{}", json.dumps({"keys": [evil] * 100, "figures": [evil, 3] * 60, "rows": [{"values": [evil, 1], "figures": [evil], "state": "done"},
                 5, None, {"state": evil, "reason": evil, "values": {}}] * 2000, "checkpoint": evil}),
                 json.dumps({"keys": [evil], "figures": [5], "rows": [{"values": [evil], "figures": [1], "state": "done", "picture": x} for x in
                             (evil, "../outside.png", "cells/../../outside.png", "cells/" + "0" * 24 + "-1.png/../../../outside.png", "/etc/passwd", 5,
                              "cells/" + "a" * 24 + "-16.png")]})):
        open(s, "w").write(text)
        p = page("--no-samples", code=None)
        assert "Experiment" in p.text and "Samples of each cell" not in p.text
    open(s, "w").write(kept)
    # A picture that is none is left out; one that says more than it is, is only bytes to the page.
    png = path("run/sweep/sweep.png")
    for data in (b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n" + b"\0" * 8,
                 b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 2**31, 1) + bytes(5) + struct.pack(">I", zlib.crc32(b""))):
        open(png, "wb").write(data)
        p = page("--no-samples", code=None)
        assert "Result against time" not in p.text
    os.remove(png)
    open(path("run/log.jsonl"), "a").write('{"step": 1e999}\n{"step": 50, "loss": "<b>"}\nnonsense')
    page("--no-samples", code=None)


def refuses():
    for args, code, says in ((("report",), 2, "give a run"), (("report", path("nowhere")), 2, "nowhere"), (("report", path()), 2, "not a run folder"),
                             (("report", path("run"), "--out", path("out.html")), 2, "--force"), (("report", path("run"), "--out", path("x.pdf")), 2, ".html"),
                             (("report", path("run"), "--out", path("run/log.txt/x.html")), 2, "a file has that name")):
        err = demist(*args, code=code)[1]
        assert says in err, (args, err)
    # A part that is damaged is left out, said, and in the exit code.
    keep = open(path("run/eval/loss.json")).read()
    for text, says in (("{", "is not JSON"), ("[]", "is not an object")):
        open(path("run/eval/loss.json"), "w").write(text)
        _, err = demist("report", path("run"), "--no-samples", code=5)
        assert "the report is without eval/loss.json" in err and says in err, err
        assert os.path.exists(path("run/report.html"))
    open(path("run/eval/loss.json"), "w").write(keep)
    # What cannot be drawn is said in the page, which has the rest, and in the exit code.
    p = page("sampler.steps=5000", code=2)
    assert "None: " in p.text and "use: toy2d" in p.text


run_tests([everything_is_in_it, hostile_files, refuses])
