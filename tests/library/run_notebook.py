"""Runs the code cells of a notebook in order, as Jupyter would, without Jupyter; the first that fails is shown."""
import json
import sys

with open(sys.argv[1]) as f:
    cells = [c for c in json.load(f)["cells"] if c["cell_type"] == "code"]
assert cells and not any(c["outputs"] for c in cells), "a notebook is kept without its outputs"
names = {"__name__": "__main__"}
for i, cell in enumerate(cells):
    exec(compile("".join(cell["source"]), f"cell {i + 1}", "exec"), names)
