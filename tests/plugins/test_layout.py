"""No field of the plugin interface has moved: a plugin that was built before reads what it read then. What is new is
known: in layout.h, and, by its version, in docs/plugin-changes.md."""
import os
import re
import struct
import subprocess
import sys

SOURCE = os.environ["DEMIST_SOURCE"]


def layout(text):
    """{"dm_ctx.cfg": 8} and {"dm_ctx": 32}."""
    return ({f"{t}.{f}": int(n) for t, f, n in re.findall(r"^AT\((\w+), (\w+), (\d+)\)$", text, re.M)},
            {t: int(n) for t, n in re.findall(r"^SIZE\((\w+), (\d+)\)$", text, re.M)})


if struct.calcsize("P") != 8:
    print("the places are those of 64 bits")
    sys.exit(77)
header = open(os.path.join(SOURCE, "core/api/demist/plugin.h")).read()
kept, sizes = layout(open(os.path.join(SOURCE, "tests/plugins/layout.h")).read())
now, sizes_now = layout(subprocess.check_output([sys.executable, os.path.join(SOURCE, "tools/make_plugin_layout.py")], text=True))
faults = [f"{field}: was at {at}, is at {now.get(field, 'no place')}" for field, at in kept.items() if now.get(field) != at]
for name, size in sizes.items():
    grows = f"{name}.size" in kept
    if sizes_now.get(name, 0) < size or (not grows and sizes_now[name] != size):
        faults.append(f"{name}: had {size} bytes, has {sizes_now.get(name)}")
faults += [f"{field}: is new; run tools/make_plugin_layout.py, raise DM_ABI and say so in docs/plugin-changes.md"
           for field in now if field not in kept]
major, minor = re.search(r"#define DM_ABI DM_ABI_OF\((\d+), (\d+)\)", header).groups()
if f"\n## {major}.{minor}\n" not in open(os.path.join(SOURCE, "docs/plugin-changes.md")).read():
    faults.append(f"docs/plugin-changes.md says nothing of {major}.{minor}")
assert len(kept) > 200 and len(sizes) > 30, (len(kept), len(sizes))
print("\n".join(faults) or f"{len(kept)} fields of {len(sizes)} structs are where they were")
sys.exit(1 if faults else 0)
