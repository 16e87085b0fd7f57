"""Writes tests/plugins/layout.h from plugin.h: where each field of each of its structs lies, as the compiler has it.

    tools/make_plugin_layout.py > tests/plugins/layout.h

Run it when the interface grew: lines that it changes or removes are fields that moved, which is a new major version."""
import os
import re
import subprocess
import sys
import tempfile

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../core/api/demist/plugin.h")


def structs(text):
    """(name, the struct's fields), in the order of the header."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for match in re.finditer(r"^(?:typedef )?struct (dm_\w+) \{([^{}]*)\}[^;{}]*;", text, re.S | re.M):
        fields = []
        for part in re.split(r";", match[2]):
            part = part.strip()
            pointer = re.search(r"\(\*(\w+)\)\s*\(", part)
            if pointer:
                fields.append(pointer[1])
            elif part:
                fields += [re.search(r"(\w+)(?:\[\w+\])*$", one.strip())[1] for one in part.split(",")]
        yield match[1], fields


def main():
    rows = list(structs(open(HEADER).read()))
    with tempfile.TemporaryDirectory() as work:
        program = os.path.join(work, "t")
        with open(program + ".c", "w") as f:
            f.write("#include <demist/plugin.h>\nint main(void) {\n")
            for name, fields in rows:
                for field in fields:
                    f.write(f'printf("AT({name}, {field}, %zu)\\n", offsetof({"struct " + name}, {field}));\n')
                f.write(f'printf("SIZE({name}, %zu)\\n", sizeof(struct {name}));\n')
            f.write("}\n")
        subprocess.run(["cc", "-std=c11", "-I", os.path.join(os.path.dirname(HEADER), ".."), program + ".c", "-o", program], check=True)
        sys.stdout.write("/* Made by tools/make_plugin_layout.py. */\n" + subprocess.check_output([program], text=True))


main()
