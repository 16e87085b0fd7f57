#!/usr/bin/env python3
"""Writes a C table of files: embed_files.py OUT.c NAME ROOT FILE..."""
import sys

out, table, root, files = sys.argv[1], sys.argv[2], sys.argv[3], sorted(sys.argv[4:])
with open(out, "w") as f:
    f.write('/* Made by tools/embed_files.py. */\n#include "embedded.h"\n\n')
    for i, name in enumerate(files):
        data = open(f"{root}/{name}", "rb").read()
        f.write(f"static const unsigned char k{i}[] = {{")
        for j, b in enumerate(data + b"\0"):
            f.write(("\n    " if j % 24 == 0 else "") + f"{b},")
        f.write("\n};\n")
    f.write(f"\nconst dm_embedded {table}[] = {{\n")
    for i, name in enumerate(files):
        f.write(f'    {{"{name}", (const char *)k{i}, sizeof k{i} - 1}},\n')
    f.write("    {0, 0, 0},\n};\n")
