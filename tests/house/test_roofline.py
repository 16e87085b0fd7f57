"""tools/gpu_isa.py on code written for it: loops are found, instructions counted, the busiest part named. tools/gpu_memory.py on
accesses written for it: segments of memory, banks of local memory.

Run by hand: DEMIST_SOURCE=TREE test_roofline.py."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tools"))
from gpu_isa import CARDS, kernels_of  # noqa: E402
from gpu_memory import Access, coalesced, conflicts, read_trace, used  # noqa: E402

# A loop of two FMA on what it loads, in a loop that stores; the way in is no part of either. 'helper' is called, 'other' is not.
AMD = """
one:                                    ; @one
; %bb.0:
	s_load_dwordx4 s[0:3], s[4:5], 0x0
	v_mov_b32_e32 v0, 0
	s_getpc_b64 s[6:7]
	s_add_u32 s6, s6, helper@rel32@lo+4
.LBB0_1:                                ; =>This Loop Header: Depth=1
                                        ;     Child Loop BB0_2 Depth 2
	v_mul_lo_u32 v1, v1, v2
.LBB0_2:                                ;   Parent Loop BB0_1 Depth=1
                                        ; =>  This Inner Loop Header: Depth=2
	ds_read2_b32 v[2:3], v1 offset1:4
	ds_read_b128 v[4:7], v1
	s_waitcnt lgkmcnt(0)
	v_pk_fma_f32 v[8:9], v[2:3], v[4:5], v[8:9]
	v_fmac_f32_e32 v10, v2, v4
	s_cbranch_scc1 .LBB0_2
; %bb.3:                                ;   in Loop: Header=BB0_1 Depth=1
	global_store_dwordx4 v[0:1], v[8:11], off
	s_cbranch_scc1 .LBB0_1
; %bb.4:
	s_endpgm
.Lfunc_end0:
helper:                                 ; @helper
; %bb.0:
	v_exp_f32_e32 v0, v0
	s_setpc_b64 s[30:31]
.Lfunc_end1:
other:                                  ; @other
; %bb.0:
	global_load_ushort v0, v[0:1], off
	scratch_store_dword off, v0, s0
.Lfunc_end2:
"""

# What is made in a loop is stored in one within, whose tail lies in private memory.
STORES = """
stores:                                 ; @stores
; %bb.0:
	s_nop 0
.LBB0_1:                                ; =>This Loop Header: Depth=1
                                        ;     Child Loop BB0_2 Depth 2
	v_fma_f32 v0, v0, v0, v0
	v_fma_f32 v0, v0, v0, v0
	v_fma_f32 v0, v0, v0, v0
	v_fma_f32 v0, v0, v0, v0
	v_fma_f32 v0, v0, v0, v0
	v_fma_f32 v0, v0, v0, v0
.LBB0_2:                                ;   Parent Loop BB0_1 Depth=1
                                        ; =>  This Inner Loop Header: Depth=2
	buffer_load_dword v0, v1, s[0:3], 0 offen
	global_store_dword v[0:1], v0, off
.Lfunc_end0:
"""

# A number that is short or long, lane by lane; one that is loaded or zero, all lanes alike.
SIDES = """
sides:                                  ; @sides
; %bb.0:
	s_cbranch_execz .LBB0_2
; %bb.1:
	v_mul_lo_u32 v0, v0, v0
	v_mul_lo_u32 v0, v0, v0
	v_mul_lo_u32 v0, v0, v0
.LBB0_2:
	s_andn2_saveexec_b64 s[0:1], s[0:1]
	s_cbranch_execz .LBB0_4
; %bb.3:
	v_mul_lo_u32 v0, v0, v0
.LBB0_4:
	s_cbranch_scc1 .LBB0_6
; %bb.5:
	v_mov_b32_e32 v0, 0
	s_branch .LBB0_7
.LBB0_6:
	v_mov_b32_e32 v1, 0
	v_mov_b32_e32 v2, 0
	global_load_dword v0, v[1:2], off
.LBB0_7:
	s_endpgm
.Lfunc_end0:
"""

NVIDIA = """
	.section	.text.one,"ax",@progbits
.text.one:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.128 R4, [R2.64] ;
.L_x_0:
        /*0020*/                   LDS.64 R8, [R3] ;
        /*0030*/                   FFMA R9, R8, R4, R9 ;
        /*0040*/               @P0 BRA `(.L_x_0) ;
        /*0050*/                   HMMA.16816.F32 R4, R8, R10, R4 ;
        /*0060*/              @!P1 BRA `(.L_x_1) ;
        /*0070*/                   EXIT ;
"""


TRACE = """kernel 0123456789abcdef one 64
at global 4 128
round 0:1000 1:1004
at local 16 2
round 0:0 1:16
round 0:32 1:48
kernel 0123456789abcdef two 64
"""


def access(space, size, address, items=64, times=None):
    a = Access(space, size, times or items)
    a.rounds.append({i: address(i) for i in range(items)})
    return a


def rounded(accesses, lanes=64, segment=64):
    return round(coalesced(accesses, lanes, segment), 3)


def memory():
    rows = access("global", 4, lambda i: 4096 + 4 * i)
    assert rounded([rows]) == 1 and used([rows], 64) == 1
    assert rounded([access("global", 4, lambda i: 4100 + 4 * i)]) == 0.8, "four segments would do, five are touched"
    assert rounded([access("global", 4, lambda i: 4096)]) == 1, "one word for all is one segment"
    columns = access("global", 4, lambda i: 4096 + 256 * i)
    assert rounded([columns]) == round(4 / 64, 3) and rounded([columns], 32, 32) == round(4 / 32, 3) and used([columns], 64) == 1 / 16
    # 4 of 8 segments, thrice as often as 4 of 64.
    assert rounded([access("global", 4, lambda i: 4096 + 8 * i, times=192), columns]) == round((3 * 4 + 4) / (3 * 8 + 64), 3)
    # What one instruction leaves, the next one takes.
    assert used([access("global", 4, lambda i, j=j: 4096 + 16 * i + 4 * j) for j in range(4)], 64) == 1
    assert coalesced([access("local", 4, lambda i: 4 * i)], 64, 64) is None

    def banks(size, address):
        return [conflicts([access("local", size, address)], by_words) for by_words in (False, True)]
    assert banks(4, lambda i: 4 * i) == [1, 1] and banks(4, lambda i: 0) == [1, 1]
    assert banks(4, lambda i: 8 * i) == [2, 2] and banks(4, lambda i: 128 * i) == [32, 32] and banks(4, lambda i: 132 * i) == [1, 1]
    assert banks(16, lambda i: 16 * i) == [1, 4], "vectors side by side, or their words one after another"
    assert banks(2, lambda i: 2 * i) == [1, 1]
    assert conflicts([rows], False) is None

    with tempfile.NamedTemporaryFile("w+") as f:
        f.write(TRACE)
        f.flush()
        (key, name, accesses), two = read_trace(f.name)
    assert (key, name, two[1], two[2]) == ("0123456789abcdef", "one", "two", []), two
    assert [(a.space, a.size, a.times, a.weight()) for a in accesses] == [("global", 4, 128, 64), ("local", 16, 2, 0.5)], accesses
    assert accesses[1].rounds == [{0: 0, 1: 16}, {0: 32, 1: 48}]


def main():
    memory()
    mi = CARDS["gfx90a"]
    found = kernels_of("gfx90a", AMD, mi, {"one", "other"})
    assert set(found) == {"one", "other"}, found
    code, depth, nest = found["one"]
    assert depth == 2 and code.instructions == 5 and code.fma == 2 and code.flops == 6, vars(code)
    assert code.bytes == {"local": 24}, code.bytes
    assert dict(code.cycles) == {"local memory": 12, "vectors": 2, "scalars": 1}, code.cycles
    assert code.least() == ("local memory", 12)
    assert code.fma_rate(mi) == 6 * 64 / 256 / 12 and code.memory_rate(mi) == 0
    # Of the loop around it an eighth of each: a multiplication of 4 cycles, a store of 16 bytes, a branch.
    assert nest.bytes == {"local": 24, "global": 2} and nest.cycles["vectors"] == 2.5 and nest.cycles["cache"] == 2, vars(nest)
    whole, depth, _ = found["other"]
    assert depth == 0 and whole.bytes == {"global": 2, "private": 4} and whole.cycles["cache"] == 8, vars(whole)

    code, depth, nest = kernels_of("gfx90a", STORES, mi, {"stores"})["stores"]
    assert depth == 1 and code.flops == 12 and code.bytes == {"private": 32, "global": 32} and code.cycles == nest.cycles, vars(code)

    sides = kernels_of("gfx90a", SIDES, mi, {"sides"})["sides"][0]
    assert sides.cycles["vectors"] == 4 + 3 and sides.bytes == {"global": 4}, vars(sides)

    a100 = CARDS["sm_80"]
    code, depth, nest = kernels_of("sm_80", NVIDIA, a100, {"one"})["one"]
    # The matrix instruction outweighs the loop within.
    assert depth == 1 and code.fma == 1 and code.matrix_flops == 128 and code.bytes == {"global": 16}, vars(code)
    assert code.cycles["matrix"] == 4 and code.cycles["cache"] == 8 and code.fma_rate(a100) == 0.5, vars(code)
    assert nest is not code
    print("loops and accesses are as written")


if __name__ == "__main__":
    sys.exit(main())
