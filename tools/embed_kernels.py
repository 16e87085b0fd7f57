#!/usr/bin/env python3
"""Writes a C table of the kernel sources: embed_kernels.py OUT.c ROOT FILE..."""
import sys

out, root, files = sys.argv[1], sys.argv[2], sorted(sys.argv[3:])
with open(out, "w") as f:
    f.write('/* Made by tools/embed_kernels.py from kernels/. */\n#include "embedded.h"\n\n')
    for i, name in enumerate(files):
        data = open(f"{root}/{name}", "rb").read()
        f.write(f"static const unsigned char k{i}[] = {{")
        for j, b in enumerate(data + b"\0"):
            f.write(("\n    " if j % 24 == 0 else "") + f"{b},")
        f.write("\n};\n")
    f.write("\nconst dm_embedded dm_embedded_kernels[] = {\n")
    for i, name in enumerate(files):
        f.write(f'    {{"{name}", (const char *)k{i}, sizeof k{i} - 1}},\n')
    f.write("    {0, 0, 0},\n};\n")
