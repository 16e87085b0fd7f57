"""Compiled code of GPUs, read: a kernel's loops, what their instructions are, and the rates that they allow at most.

All cycles are those that a unit of the GPU (AMD's CU, NVIDIA's SM) needs for 64 work-items: one wave of 64, or two of 32. Each
part of the unit works beside the others, so a loop takes the time of its busiest part, or more.
"""
import re
from collections import Counter

DEEPER = 8   # rounds that a loop is taken to have, where the hottest is looked for


class Card:
    """A unit's rates in a cycle, from what its vendor publishes, and what the whole card has in floating point and memory."""

    def __init__(self, name, units, ghz, fma, local, cache, gbytes, matrix):
        self.name, self.fma, self.local, self.cache, self.matrix = name, fma, local, cache, matrix
        self.memory = gbytes / (units * ghz)
        self.flops = 2 * fma * units * ghz / 1000


CARDS = {   # FMA lanes, bytes of local memory, bytes of the first cache, FLOP of matrix instructions of 16 bits
    "gfx90a": Card("MI210", 104, 1.7, 128, 128, 64, 1638, 1024),
    "gfx1030": Card("RX 6900 XT", 80, 2.25, 64, 128, 128, 512, 0),
    "sm_80": Card("A100, 40 GB", 108, 1.41, 64, 128, 128, 1555, 2048),
}


class Code:
    """Instructions that run together, as sums: an instance for each of them, added up."""

    def __init__(self):
        self.instructions, self.fma, self.flops, self.matrix_flops = 0, 0, 0, 0
        self.bytes = Counter()    # global, local, private: of one work-item
        self.cycles = Counter()   # by part

    def add(self, *more):
        for m in more:
            self.instructions += m.instructions
            self.fma += m.fma
            self.flops += m.flops
            self.matrix_flops += m.matrix_flops
            self.bytes += m.bytes
            self.cycles += m.cycles
        return self

    def times(self, rounds):
        """The same as often."""
        out = Code()
        out.instructions, out.fma, out.flops, out.matrix_flops = (
            rounds * x for x in (self.instructions, self.fma, self.flops, self.matrix_flops))
        out.bytes, out.cycles = (Counter({k: rounds * v for k, v in c.items()}) for c in (self.bytes, self.cycles))
        return out

    def moves(self, card, where, size, items=1):
        """*size* bytes of each work-item; *items* share them. A narrow access takes as long as one of four bytes."""
        self.bytes[where] += size / items
        if where == "local":
            self.cycles["local memory"] += max(size, 4) * 64 / card.local
        elif items == 1:
            self.cycles["cache"] += max(size, 4) * 64 / card.cache

    def work(self):
        return self.flops + self.matrix_flops + self.bytes["global"] + self.bytes["local"]

    def least(self):
        """The busiest part and its cycles."""
        return max(self.cycles.items(), key=lambda c: c[1], default=("", 0))

    def fma_rate(self, card):
        """The share of the card's FMA rate (of its matrix rate for matrix instructions) that this code reaches at most."""
        ideal = self.flops * 64 / (2 * card.fma) + (self.matrix_flops * 64 / card.matrix if self.matrix_flops else 0)
        return min(1, ideal / self.least()[1]) if self.least()[1] else 0

    def memory_rate(self, card):
        """The share of the card's memory rate that it reaches at most, where no cache serves it."""
        return min(1, self.bytes["global"] * 64 / card.memory / self.least()[1]) if self.least()[1] else 0

    def rate(self, card):
        return max(self.fma_rate(card), self.memory_rate(card))


# ---- AMD ------------------------------------------------------------------------------------------------------

SIZES = {"ubyte": 1, "sbyte": 1, "byte": 1, "ushort": 2, "sshort": 2, "short": 2, "dword": 4, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16,
         "dwordx8": 32, "dwordx16": 64}
SLOW = re.compile(r"v_(mul_lo_u32|mul_hi_[iu]32|mad_[iu]64_[iu]32|(exp|log|rcp|rcp_iflag|rsq|sqrt|sin|cos)_f(16|32))(_|$)")
FUSED = re.compile(r"v_(pk_)?(fma|fmac|fmaak|fmamk|mad|mac|madak|madmk|fma_mix|fma_mixlo|fma_mixhi|dot2|dot2c)_f(16|32)")
PLAIN = re.compile(r"v_(pk_)?(add|sub|subrev|mul)_f(16|32)")
MATRIX = re.compile(r"v_(?:mfma|wmma)_f32_(\d+)x(\d+)x(\d+)")


def amd_size(name):
    """Bytes that an instruction of memory moves for each work-item."""
    word = re.search(r"_(?:load|store|read|write)2?(?:st64)?_([a-z]+[0-9x]*)", name)
    if not word:
        return 8 if name.endswith(("_x2", "64")) else 4   # atomics, swaps between lanes
    size = SIZES.get(word[1]) or int(re.sub(r"\D", "", word[1]) or 32) // 8
    return size * (2 if re.search(r"(read|write|load|store)2", name) else 1)


def amd_one(name, card, lanes):
    c = Code()
    if name.startswith(("s_waitcnt", "s_nop", "s_barrier", "s_endpgm", "s_inst_prefetch", "s_delay")):
        return c   # time passes, no part works
    c.instructions = 1
    if name.startswith(("global_", "flat_")):
        c.moves(card, "global", amd_size(name))
    elif name.startswith(("buffer_", "scratch_")):   # OpenCL's buffers are global_: these are private memory
        if "load" in name or "store" in name:
            c.moves(card, "private", amd_size(name))
    elif name.startswith("ds_"):
        c.moves(card, "local", amd_size(name))
    elif name.startswith(("s_load", "s_buffer_load")):
        c.moves(card, "global", amd_size(name), items=lanes)
        c.cycles["scalars"] = 64 / lanes
    elif name.startswith("s_"):
        c.cycles["scalars"] = 1
    elif MATRIX.match(name):
        m, n, k = map(int, MATRIX.match(name).groups())
        c.fma, c.matrix_flops = 1, 2 * m * n * k / lanes
        c.cycles["matrix"] = c.matrix_flops * 64 / card.matrix if card.matrix else 0
    else:
        wide = 2 if name.startswith(("v_pk_", "v_dot2")) else 1
        c.fma = int(bool(FUSED.match(name)))
        c.flops = wide * (2 if c.fma else 1 if PLAIN.match(name) else 0)
        c.cycles["vectors"] = 4 if SLOW.match(name) else 1
    return c


def amd_kernels(text):
    """{function: [(block's loop or None, instructions)]}, {loop: (parent, depth)} of assembly that clang wrote, whose notes name the
    loops. What a function calls is part of it."""
    out, loops, calls, function, blocks = {}, {}, {}, None, []
    for line in text.splitlines():
        start = re.match(r"(\w+):\s*; @\1", line)
        label = re.match(r"(?:\.L(BB\d+_\d+):|; %bb\.\d+:)", line)
        if start:
            function, blocks = start[1], []
            out[function] = blocks
        elif line.startswith(".Lfunc_end"):
            function = None
        elif function and label:
            blocks.append([label[1], None, None, [], {}])   # label, loop, parent, instructions, {branch: its label}
        if not function or not blocks:
            continue
        note = line[line.index(";"):] if ";" in line else ""
        parent, head, within = (re.search(r, note) for r in (r"Parent Loop (BB\d+_\d+)", r"Loop Header: Depth=(\d+)",
                                                             r"in Loop: Header=(BB\d+_\d+)"))
        if parent:
            blocks[-1][2] = parent[1]   # the last is the nearest
        if head:
            blocks[-1][1] = blocks[-1][0]
            loops[blocks[-1][0]] = (blocks[-1][2], int(head[1]))
        if within:
            blocks[-1][1] = within[1]
        code = re.match(r"\t([a-z]\w+)(.*)", line)
        if code:
            blocks[-1][3].append(code[1])
            if code[1].startswith(("s_branch", "s_cbranch")):
                blocks[-1][4][code[1]] = code[2].split(".L")[-1].split()[0]
            calls.setdefault(function, set()).update(re.findall(r"(\w+)@\w*rel32", code[2]))
    likely = {f: [(b[1], b[3]) for b in shorter_sides(bs)] for f, bs in out.items()}
    return {f: [b for g in (f, *sorted(called(f, calls) & set(out))) for b in likely[g]] for f in out}, loops


def moving(name):
    return name.startswith(("global_", "flat_", "ds_"))


def shorter_sides(blocks):
    """A function's blocks without the longer side of each branch that has two in the same loop, unless that one alone moves anything:
    compilers divide 64-bit numbers that way, long ones and short ones, and vectors at the end of a row are taken that way."""
    at = {b[0]: i for i, b in enumerate(blocks) if b[0]}
    pairs = []
    for i, block in enumerate(blocks):
        for j in (at.get(l, 0) for name, l in block[4].items() if name != "s_branch"):
            if j <= i + 1:
                continue
            if "s_branch" in blocks[j - 1][4]:   # a side ends with a jump over the other
                pairs.append((range(i + 1, j), range(j, at.get(blocks[j - 1][4]["s_branch"], 0)), block[1]))
            elif any(re.match(r"s_(andn2|or)_saveexec", n) for n in blocks[j][3]):   # lanes take either
                pairs.append((range(i + 1, j), range(j + 1, at.get(blocks[j][4].get("s_cbranch_execz"), 0)), block[1]))
    gone = set()
    for first, second, loop in sorted(pairs, key=lambda p: len(p[0]) + len(p[1])):
        if second and all(blocks[b][1] == loop for b in (*first, *second)):
            short, long = sorted(([n for b in side if b not in gone for n in blocks[b][3]] for side in (first, second)), key=len)
            if any(map(moving, short)) or not any(map(moving, long)):
                gone.update(first if sum(len(blocks[b][3]) for b in first if b not in gone) == len(long) else second)
    return [b for i, b in enumerate(blocks) if i not in gone]


def called(function, calls):
    """All functions that a function may come to."""
    seen, new = set(), {function}
    while new:
        seen |= new
        new = set().union(*(calls.get(f, ()) for f in new)) - seen
    return seen - {function}


def amd_lanes(target):
    return 32 if target.startswith("gfx1") else 64   # clang's choice for OpenCL


# ---- NVIDIA -----------------------------------------------------------------------------------------------------


def nvidia_one(name, card, lanes):
    c, part = Code(), name.split(".")
    if part[0] in ("NOP", "BSSY", "BSYNC", "BAR", "EXIT", "WARPSYNC", "YIELD"):
        return c
    c.instructions = 1
    c.cycles["issue"] = 0.5   # four warps of 32 in a cycle
    size = next((int(p) // 8 for p in part[1:] if p in ("64", "128")),
                next((int(p[1:]) // 8 for p in part[1:] if re.fullmatch(r"[US](8|16)", p)), 4))
    if part[0] in ("LDG", "STG", "LD", "ST", "ATOMG", "ATOM", "RED"):
        c.moves(card, "global", size)
    elif part[0] in ("LDS", "STS", "ATOMS", "LDSM"):
        c.moves(card, "local", 4 * int(part[-1]) if part[0] == "LDSM" and part[-1].isdigit() else size)
    elif part[0] in ("LDL", "STL"):
        c.moves(card, "private", size)
    elif part[0] == "HMMA":
        m, k = {"1688": (16, 8), "16816": (16, 16)}.get(part[1], (16, 16))
        c.fma, c.matrix_flops = 1, 2 * m * 8 * k / lanes
        c.cycles["matrix"] = c.matrix_flops * 64 / card.matrix
    elif part[0] == "MUFU" or part[0] in ("I2F", "F2I", "F2F", "FRND", "POPC", "FLO"):
        c.cycles["special"] = 4
    elif part[0] in ("FFMA", "FADD", "FMUL", "HFMA2", "HADD2", "HMUL2"):
        c.fma = int(part[0] in ("FFMA", "HFMA2"))
        c.flops = (2 if c.fma else 1) * (2 if part[0].startswith("H") else 1) * (name != "HFMA2.MMA")   # that one moves a number
        c.cycles["FMA"] = 1
    elif part[0] == "IMAD":
        c.cycles["FMA"] = 1
    elif not part[0].startswith("U") and part[0] not in ("BRA", "CALL", "RET", "BREAK"):
        c.cycles["integers"] = 1
    return c


def nvidia_kernels(text):
    """The same of what nvdisasm writes. A loop is what lies between a label and a branch back to it."""
    out, loops = {}, {}
    for name, body in re.findall(r"^\.text\.(\w+):\n(.*?)(?=^\s*\.section|\Z)", text, re.S | re.M):
        code, labels, spans = [], {}, {}
        for line in re.split(r"^\$.*__internal_", body, flags=re.M)[0].splitlines():   # without what divides long numbers
            label = re.match(r"(\.L_x_\d+):", line)
            if label:
                labels[label[1]] = len(code)
            one = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[0-9T]+\s+)?([A-Z][\w.]*)(.*)", line)
            if one:
                back = re.search(r"`\((\.L_x_\d+)\)", one[2])
                if one[1].startswith("BRA") and back and back[1] in labels and labels[back[1]] < len(code):
                    spans[back[1]] = (labels[back[1]], len(code) + 1)
                code.append(one[1])
        spans = {f"{name} {l}": s for l, s in spans.items()}
        around = {l: sorted((o for o, t in spans.items() if o != l and t[0] <= s[0] and s[1] <= t[1]), key=lambda o: spans[o][0] - spans[o][1])
                  for l, s in spans.items()}   # the outermost first
        loops.update({l: (a[-1] if a else None, len(a) + 1) for l, a in around.items()})
        inner = [max((l for l, s in spans.items() if s[0] <= i < s[1]), key=lambda l: loops[l][1], default=None) for i in range(len(code))]
        out[name] = [(inner[i], [c]) for i, c in enumerate(code)]
    return out, loops


# ---- the hottest loop -------------------------------------------------------------------------------------------


def hottest(blocks, loops, one):
    """Where a kernel spends its time, as Code: the loop whose own instructions do the most FLOPs and move the most bytes, if each loop
    has DEEPER rounds, with the loops within if it moves nothing itself; its depth; and the same with all loops of the nest that it is
    in, for each of its rounds. Loops over private memory, where compilers keep a vector whose last lanes are taken one by one, count only if there is no other. Without a loop, the
    whole kernel and 0."""
    own, all_of_it = {}, Code()
    for loop, names in blocks:
        of_block = Code().add(*map(one, names))
        own.setdefault(loop, Code()).add(of_block)
        all_of_it.add(of_block)
    inside = {l: c for l, c in own.items() if l}
    if not inside:
        return all_of_it, 0, all_of_it
    main = {l: c for l, c in inside.items() if not c.bytes["private"] and c.work()} or inside
    best = max(main, key=lambda l: main[l].work() * DEEPER ** loops[l][1])
    code, depth = inside[best], loops[best][1]
    if not code.bytes["global"] and not code.bytes["local"]:   # what it makes is stored in loops within
        code.add(*(c.times(DEEPER ** (loops[l][1] - depth)) for l, c in inside.items() if best in around(l, loops)))
    nest = (around(best, loops) or [best])[-1]
    deep = [l for l in main if l == nest or nest in around(l, loops)]
    whole = Code().add(code, *(inside[l].times(DEEPER ** (loops[l][1] - depth)) for l in deep if l != best and best not in around(l, loops)))
    return code, depth, whole


def around(loop, loops):
    """The loops around one, from the nearest."""
    out = []
    while loops.get(loop, (None,))[0]:
        loop = loops[loop][0]
        out.append(loop)
    return out


def kernels_of(target, text, card, wanted):
    """{kernel: (its hottest loop as Code, the depth, its nest)} of a target's assembly, of those that are *wanted*."""
    amd = target.startswith("gfx")
    kernels, loops = amd_kernels(text) if amd else nvidia_kernels(text)
    lanes = amd_lanes(target) if amd else 32
    one = amd_one if amd else nvidia_one
    return {name: hottest(blocks, loops, lambda n: one(n, card, lanes)) for name, blocks in kernels.items()
            if name in wanted}
