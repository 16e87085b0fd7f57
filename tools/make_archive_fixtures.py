#!/usr/bin/env python3
"""Writes tests/unit/data/archives: images of tests/unit/data/images in zip and tar files as Python's programs write
them (StyleGAN's data set tool, webdataset): make_archive_fixtures.py OUT. Made with Python 3.11."""
import io
import json
import os
import sys
import tarfile
import zipfile

out = sys.argv[1]
IMAGES = ("rgb.png", "grey.png", "rgb.jpeg")
data = [open(f"{out}/images/{name}", "rb").read() for name in IMAGES]
ends = [name[name.rindex("."):] for name in IMAGES]
os.makedirs(f"{out}/archives", exist_ok=True)


class Pipe(io.RawIOBase):
    """Takes what is written, and cannot go back: zipfile writes the lengths behind each entry then."""

    def __init__(self):
        self.got = bytearray()

    def writable(self):
        return True

    def write(self, b):
        self.got += b
        return len(b)


def put_zip(name, entries, how, pipe=False):
    to = Pipe() if pipe else io.BytesIO()
    with zipfile.ZipFile(to, "w", how) as z:
        for path, content in entries:
            info = zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0))
            info.compress_type = how
            z.writestr(info, content)
    with open(f"{out}/archives/{name}", "wb") as f:
        f.write(to.got if pipe else to.getvalue())


def put_tar(name, entries, form):
    with tarfile.open(f"{out}/archives/{name}", "w", format=form) as t:
        for path, content in entries:
            info = tarfile.TarInfo(path)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))


def labels(values):
    return json.dumps({"labels": [[f"00000/img{i:08d}{ends[i]}", v] for i, v in enumerate(values)]}).encode()


stylegan = [(f"00000/img{i:08d}{ends[i]}", b) for i, b in enumerate(data)]
put_zip("stylegan.zip", [*stylegan, ("dataset.json", labels([2, 0, 2]))], zipfile.ZIP_STORED)
put_zip("vectors.zip", [("dataset.json", labels([[0.5, -1], [2, 3], [1e-3, 0]])), *stylegan], zipfile.ZIP_DEFLATED)
put_zip("streamed.zip", stylegan, zipfile.ZIP_DEFLATED, pipe=True)
put_zip("lzma.zip", stylegan, zipfile.ZIP_LZMA)
put_tar("web.tar", [e for i, b in enumerate(data) for e in ((f"s{i}{ends[i]}", b), (f"s{i}.cls", b"%d\n" % (4 - i)),
                                                             (f"s{i}.txt", b"words"))], tarfile.USTAR_FORMAT)
put_tar("folders.tar", [("./katzen/größe " + "x" * 120 + ".png", data[0]), ("./.hidden/a.png", b"no"),
                        ("./hunde/b.png", data[1]), ("./katzen/c.jpeg", data[2])], tarfile.PAX_FORMAT)
