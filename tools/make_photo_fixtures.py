#!/usr/bin/env python3
"""Writes tests/unit/data/photos, images as cameras, print shops and icon sets have them, and photos.safetensors, what
Pillow shows of each (turned, over white, as RGB): make_photo_fixtures.py OUT. Needs gcc and libjpeg's headers for the
YCCK file, which Pillow reads but does not write. Made with Python 3.11, numpy 2.4.6, safetensors 0.8.0, pillow 13.0.0."""
import io
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

out = sys.argv[1]
os.makedirs(f"{out}/photos", exist_ok=True)
rng = np.random.default_rng(0)
W, H = 7, 5
rgb = rng.integers(0, 256, (H, W, 3)).astype(np.uint8)
alpha = rng.integers(0, 256, (H, W, 1)).astype(np.uint8)
smooth = Image.fromarray(rgb).resize((W, H), Image.BICUBIC, (2, 2, 4, 3))
colour, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 0].copy())
want = {}

YCCK = """
#include <stdio.h>
#include <jpeglib.h>
int main(int argc, char **argv)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    unsigned char row[4 * %d];
    JSAMPROW rows[] = {row};
    FILE *f = fopen(argv[1], "wb");
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = %d, c.image_height = %d, c.input_components = 4, c.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, JCS_YCCK);
    jpeg_set_quality(&c, 95, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height && fread(row, 1, sizeof row, stdin) == sizeof row)
        jpeg_write_scanlines(&c, rows, 1);
    jpeg_finish_compress(&c);
    return fclose(f);
}
""" % (W, W, H)


def shown(data):
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if im.mode == "CMYK":
        return np.array(im.convert("RGB"))
    im = im.convert("RGBA")
    return np.array(Image.alpha_composite(Image.new("RGBA", im.size, "white"), im).convert("RGB"))


def put(name, data):
    open(f"{out}/photos/{name}", "wb").write(data)
    want[name] = shown(data).transpose(2, 0, 1).copy()


def save(name, im, kind, **options):
    b = io.BytesIO()
    im.save(b, kind, **options)
    put(name, b.getvalue())


def turn(k):
    exif = Image.Exif()
    exif[0x0112] = k
    exif[0x010f] = "a camera"
    return exif


for k in range(1, 9):
    save(f"turn{k}.jpg", smooth, "JPEG", quality=95, subsampling=0, exif=turn(k))
save("turn6.png", colour, "PNG", exif=turn(6))
save("turn5-alpha.png", Image.fromarray(np.concatenate([rgb, alpha], 2)), "PNG", exif=turn(5))
save("turn8.webp", colour, "WEBP", lossless=True, exif=turn(8))
save("rgba.png", Image.fromarray(np.concatenate([rgb, alpha], 2)), "PNG")
save("grey-alpha.png", Image.fromarray(np.concatenate([rgb[:, :, :1], alpha], 2)), "PNG")
save("palette-alpha.png", colour.quantize(9), "PNG", transparency=bytes([0, 128, 255]))
save("alpha.webp", Image.fromarray(np.concatenate([rgb, alpha], 2)), "WEBP", lossless=True, exact=True)
save("lossy.webp", smooth, "WEBP", quality=90)
save("cmyk.jpg", smooth.convert("CMYK"), "JPEG", quality=95, subsampling=0)
with tempfile.TemporaryDirectory() as d:
    open(f"{d}/y.c", "w").write(YCCK)
    subprocess.run(["gcc", f"{d}/y.c", "-o", f"{d}/y", "-ljpeg"], check=True)
    ink = 255 - np.array(smooth.convert("CMYK"))  # as Adobe's programs store it: what is left of the light
    subprocess.run([f"{d}/y", f"{d}/ycck.jpg"], input=ink.tobytes(), check=True)
    put("ycck.jpg", open(f"{d}/ycck.jpg", "rb").read())
save_file(want, f"{out}/photos.safetensors")
