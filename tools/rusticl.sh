# Sourced by tools/test_all.sh: Mesa's OpenCL, rusticl, which runs on the CPU through llvmpipe, for the programs in build/.
# Debian 12's is too old (22.3), so that of trixie is unpacked below build/runtimes/ with all that it needs, the C library too,
# by whose loader a program that uses it is started. Defines: need_rusticl, on_rusticl, rusticl_as, rusticl_beside_pocl.

mesa=$root/build/runtimes/rusticl

# Once a run; says why where it is not to be had.
need_rusticl() {
  local said lib=
  said=$(tools/unpack --suite trixie "$mesa" mesa-opencl-icd 2>&1) && lib=$(find "$mesa/root/usr/lib" -name libRusticlOpenCL.so.1)
  if [ -z "$lib" ]; then
    say "rusticl: left out: ${said##*$'\n'}"
    skipped=$((skipped + 1))
    return 1
  fi
  mkdir -p "$mesa/alone" "$mesa/beside"
  printf '%s\n' "$lib" >"$mesa/alone/rusticl.icd"
  cp /etc/OpenCL/vendors/pocl.icd "$mesa/alone/rusticl.icd" "$mesa/beside/"
  # clang looks for opencl-c-base.h beside its own library, in ../lib/clang/VERSION/include.
  (cd "$mesa/root/usr/lib" && ln -sfn llvm-*/lib lib)
}

# on_rusticl PROGRAM ARGUMENT...: RUSTICL_AS is a profile of tests/faults/as_gpu.h; RUSTICL_VENDORS=beside has PoCL in the process
# too. Without a cache of its own Mesa compiles a kernel again each time that it is launched.
on_rusticl() {
  local lib faults=$root/build/tests/faults
  lib=$(dirname "$(<"$mesa/alone/rusticl.icd")")
  env -u LD_LIBRARY_PATH RUSTICL_ENABLE=llvmpipe MESA_SHADER_CACHE_DIR="$mesa/mesa" DEMIST_CACHE="$mesa/cache" \
    OCL_ICD_VENDORS="$mesa/${RUSTICL_VENDORS:-alone}" MOVED="/usr/lib/clc/=$mesa/root/usr/lib/clc/" AS_GPU="${RUSTICL_AS:-}" \
    timeout 1200 "$lib"/ld-linux*.so.* --library-path "$lib" \
    --preload "$faults/libmoved.so${RUSTICL_AS:+:$faults/libas_gpu.so}" "$@"
}

# Two at a time, as it compiles on one core.
rusticl_ops() {
  export root mesa DEMIST_TEST_SMALL=1
  export -f on_rusticl
  find build/tests/ops -maxdepth 1 -type f -name 'op_*' -print0 | sort -z | xargs -0 -n 1 -P 2 bash -c '
    said=$(on_rusticl "$1" 2>&1); rc=$?; printf "%s: %s\n%s\n" "$1" "$rc" "$said"; exit $((rc != 0))' -
  local rc=$?
  unset DEMIST_TEST_SMALL
  return $rc
}

# A step's gradients against PyTorch's, then a network of some size.
rusticl_training() {
  local run=$mesa/run-${RUSTICL_AS:-cpu}
  DEMIST_TEST_DATA=$root/tests/parity/data on_rusticl build/tests/parity/parity_gradients &&
    on_rusticl build/demist train configs/fashion-mnist.yaml tune=off train.steps=1 train.warmup=0 train.batch=2 train.sample_every=0 \
      output="$run" --overwrite &&
    on_rusticl build/demist sample "$run" sampler.steps=2 --count 2 --out "$run/samples.png" --force
}

# rusticl_as NAME PROFILE [STEP...]
rusticl_as() {
  local name=$1 s
  export RUSTICL_AS=$2 DEMIST_DEVICE=0:0; shift 2
  for s in "$@"; do
    case $s in
      selftest) step "rusticl-$name-selftest" on_rusticl build/demist selftest ;;
      *) step "rusticl-$name-$s" "rusticl_$s" ;;
    esac
  done
  unset RUSTICL_AS DEMIST_DEVICE
}

# Both drivers in one process, each with its own LLVM: described, a kernel of each, and two models at once.
rusticl_beside_pocl() {
  RUSTICL_VENDORS=beside on_rusticl build/demist doctor &&
    RUSTICL_VENDORS=beside DEMIST_DEVICE=0:0 DEMIST_BESIDE=1:0 DEMIST_SOURCE=$root on_rusticl build/tests/library/library_threads
}
