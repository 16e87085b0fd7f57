# Sourced by tools/test: what takes long, a function a step. Uses tests, step, count, build_in of tools/test and tools/setup.sh.
. tools/rusticl.sh
# Steps that keep all cores busy, and those that keep one: these run one after another beside the former.
wide="compared killed compiled sanitized raced forced held rusticl fuzzed report"
narrow="allocations oclgrind pretended offline io folders package bundle apart opened plugins"
steps="$wide $narrow"

# Each compiler that Debian has, each level of optimisation; and what a packager builds.
compiled() {
  step warnings python3 tools/compiler_warnings.py build
  step release release_build
}
release_build() {
  rm -rf build-release
  meson setup build-release -Dbuildtype=release -Db_lto=true -Dwerror=true -Dtests=false && ninja -C build-release
}

# The tests again under AddressSanitizer and UBSan, on the first platform: both watch what the host does, which is the
# same on each, so ops are tried at their smallest shapes. Only what the OpenCL runtimes leak is suppressed, by module.
# Warnings are no errors there: gcc's sanitizers bring false ones. (The runtimes' compiler gives threads signal stacks of
# its own, which AddressSanitizer cannot take back.)
sanitized() {
  build_in build-sanitize -Db_sanitize=address,undefined -Db_lundef=false || { failed=$((failed + 1)); return; }
  export ASAN_OPTIONS=detect_leaks=1:handle_segv=1:allocator_may_return_null=1:use_sigaltstack=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
  local wrapper=$root/tools/once_more
  tests sanitize-host build-sanitize host --no-suite memory_limits --timeout-multiplier 6
  DEMIST_TEST_SMALL=1 DEMIST_DEVICE=$first tests sanitize-device build-sanitize device --no-suite long \
    --no-suite memory_limits --timeout-multiplier 8
  unset ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
}

# Two threads with a model each, and threads on one device and several, under ThreadSanitizer on the first platform.
raced() {
  targets="all_plugins tests/library/library_threads tests/unit/unit_device_threads" \
    build_in build-thread -Db_sanitize=thread -Db_lundef=false || { failed=$((failed + 1)); return; }
  TSAN_OPTIONS=suppressions=$root/tests/tsan.supp DEMIST_DEVICE=$first \
    tests threads build-thread device --timeout-multiplier 20 library_threads device_threads
}

# Oclgrind interprets each kernel: races and bad accesses, on the smallest shapes. (Its check for uninitialised values does not
# know an instruction that its own compiler makes, freeze.)
oclgrind_one() {
  local log=$logs/oclgrind-$(basename "$1").txt
  OCL_ICD_VENDORS= DEMIST_TEST_SMALL=1 DEMIST_DEVICE=auto timeout 1500 oclgrind --data-races --log "$log" "$1" || return 1
  [ ! -s "$log" ] || { head -20 "$log"; return 1; }
}
oclgrind() {
  local t
  for t in build/tests/ops/op_*; do
    [ -x "$t" ] && [ -f "$t" ] && step "oclgrind-$(basename "$t")" oclgrind_one "$t"
  done
}

# Devices that are pretended: what they choose, on the first platform.
pretended() {
  DEMIST_PROFILES=all DEMIST=$root/build/demist DEMIST_SOURCE=$root DEMIST_DEVICE=$first PYTHONPATH=tests/cli \
    step profiles python3 tests/faults/test_profiles.py build/tests/faults/libas_gpu.so build/tests/ops
}

# What compilers for GPUs make of the kernels.
offline() {
  rm -rf build/gpu-programs
  step gpus tools/compile-gpus --device "$first" --keep build/gpu-programs
  step roofline tools/gpu-roofline --device "$first" --keep build/gpu-programs
}

# Gradients, and ops in graphs, with each implementation forced where it serves.
forced() {
  local impl
  for impl in $(build/demist devices --implementations); do
    DEMIST_IMPL=$impl DEMIST_DEVICE=$first tests "forced-$impl" build planned --timeout-multiplier 20
  done
}

# An x86 processor held to less than it has: ops and gradients, selftest and a training step, on each platform.
held() {
  local cpu id
  [ "$(uname -m)" = x86_64 ] || return 0
  for cpu in avx2 sse; do
    export DEMIST_CPU=$cpu
    [ "$cpu" != sse ] || export DEMIST_TEST_SMALL=1   # a call of a function for each fma of a lane
    while read -r id _; do
      DEMIST_DEVICE=$id tests "held-$cpu-${id/:/-}" build kernels --timeout-multiplier 20
      step "selftest-$cpu-${id/:/-}" build/demist selftest --device "$id"
      step "train-$cpu-${id/:/-}" build/demist train configs/fashion-mnist.yaml device="$id" train.steps=1 train.warmup=0 \
        train.batch=4 output="$logs/train-$cpu" --overwrite
    done <<<"$platforms"
    unset DEMIST_CPU DEMIST_TEST_SMALL
  done
}

# Mesa's OpenCL in the usual run: as a GPU, whose kernels no other compiler there is given work-item by work-item.
rusticl_quick() {
  need_rusticl || return 0
  rusticl_as gpu amd selftest ops
}

# Mesa's OpenCL, as the CPU device that it is and as a GPU, then beside PoCL.
rusticl() {
  need_rusticl || return 0
  rusticl_as cpu "" selftest ops training
  rusticl_as gpu amd selftest ops training
  step rusticl-beside-pocl rusticl_beside_pocl
}

# A minute for each parser, guided by what it covers: clang's libFuzzer, in a build of its own. What fails is in found/ there.
fuzzed() {
  CC=clang targets=guided build_in build-fuzz -Dfuzzer=true -Db_sanitize=address,undefined -Db_lundef=false || { failed=$((failed + 1)); return; }
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 DEMIST_FUZZ_SECONDS=${DEMIST_FUZZ_SECONDS:-60} \
    tests fuzz build-fuzz guided --timeout-multiplier 60
}

# Every allocation of each command fails once, 20 minutes at most.
allocations() {
  DEMIST=$root/build/demist DEMIST_SOURCE=$root DEMIST_DEVICE=$first \
    step allocations python3 tests/faults/sweep_allocations.py build/tests/faults/allocfault.so
}

# Each call for a file fails once in each command, for ten minutes.
io() {
  FAULT_SECONDS=600 DEMIST=$root/build/demist DEMIST_SOURCE=$root DEMIST_DEVICE=$first \
    step io python3 tests/faults/sweep_io.py build/tests/faults/iofault.so
}

# Many more kills while training and saving.
killed() { DEMIST_KILLS=100 tests kills build kills --timeout-multiplier 20; }

# Ranks on hosts of their own, and under Slurm, where the machine has what these take.
apart() { DEMIST_DEVICE=$first tests apart build apart --timeout-multiplier 4; }

# Each name of a run folder as a link, a FIFO, a folder and a file, for each command that reads or writes one.
folders() { DEMIST_FOLDERS=all DEMIST=$root/build/demist DEMIST_SOURCE=$root step folders python3 tests/cli/test_folders.py; }

# Debian's packages, from what is committed, without a word from lintian.
build_package() {
  local dir=$root/build/debian
  rm -rf "$dir" && mkdir -p "$dir/demist" && git -C "$root" archive HEAD | tar -x -C "$dir/demist" || return 1
  (cd "$dir/demist" && env -u CC -u LD_LIBRARY_PATH dpkg-buildpackage -b -us -uc) && lintian --allow-root --fail-on error,warning "$dir"/*.changes
}

package() { step package build_package; }

# The archive for any folder, in a root that has libc and a driver alone.
bundle_in_root() { tools/bundle && tools/bundle_in_root; }
bundle() { step bundle bundle_in_root; }

# The report of a device, whole, with PyTorch beside it.
make_report() {
  local python
  python=$(reference_python) && rm -rf build/gpu-report || return 1
  tools/gpu-report --out build/gpu-report --device "$first" --batch 2 --repeats 2 --python "$python" --torch cpu
}
report() { step report make_report; }

# A thousand models and data sets opened and closed.
opened() { DEMIST_OPENS=1000 DEMIST_SOURCE=$root step opens build/tests/library/library_opens; }

# demist's own plugins, the skeletons and the guide's, each through all checks for its kind.
plugins() {
  DEMIST=$root/build/demist DEMIST_SOURCE=$root DEMIST_DEVICE=$first PYTHONPATH=tests/cli \
    DEMIST_PLUGIN_PATH=$root/build/tests/plugins/misbehaving DEMIST_TEST_QUIET=$root/build/tests/plugins/quiet \
    DEMIST_TEST_PLUGINS=$root/build/plugins step plugins python3 tests/plugins/test_plugin_test.py own
}

# What demist reads and writes of others' models, live against diffusers and PyTorch.
compared() {
  local python id what
  python=$(reference_python) || { failed=$((failed + 1)); return; }
  while read -r id _; do
    for what in diffusers half schedulers solvers convert export training; do
      DEMIST=$root/build/demist DEMIST_DEVICE=$id step "compare-$what-${id/:/-}" "$python" "tools/compare_$what.py"
    done
  done <<<"$platforms"
}

# in_lane NAME...: these of the wanted steps, in a shell of their own; what they counted is in lane.counts.
in_lane() {
  local name
  passed=0 failed=0 skipped=0
  for name in "$@"; do $name; done
  echo "$passed $failed $skipped" >"$logs/lane.counts"
}

# run_steps NAME...: the first platform is the one that steps of one platform run on.
run_steps() {
  local name beside=() others=()
  first=$(awk '{print $1; exit}' <<<"$platforms")
  for name in "$@"; do
    if grep -qw -e "$name" <<<"$narrow"; then beside+=("$name"); else others+=("$name"); fi
  done
  rm -f "$logs/lane.counts"
  [ ${#beside[@]} -eq 0 ] || in_lane "${beside[@]}" &
  for name in "${others[@]}"; do $name; done
  wait
  [ ${#beside[@]} -eq 0 ] || add_lane
}

add_lane() {
  local p f s
  read -r p f s <"$logs/lane.counts" || { say "error: the steps beside the others ended early"; failed=$((failed + 1)); return; }
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}
