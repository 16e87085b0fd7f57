# Sourced by tools/quickstart and tools/test: installs what is missing and sets the environment of the
# OpenCL runtimes. Defines: need_packages, need_intel_runtime, reference_python, build_in.

say() { printf '%s\n' "$*"; }

run_packages="ocl-icd-libopencl1 pocl-opencl-icd libclblast1 gnuplot-nox dataset-fashion-mnist liblapacke
  libopenblas0-serial"
build_packages="gcc libc6-dev pkg-config meson ninja-build python3 ocl-icd-opencl-dev opencl-headers libclblast-dev libyaml-dev
  libjansson-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libexif-dev libarchive-dev zlib1g-dev libmd-dev
  libmimalloc-dev libmuparser-dev"
test_packages="libopenmpi-dev openmpi-bin libcmocka-dev g++ python3-venv binutils strace zsh fish
  abigail-tools"
all_packages="oclgrind debhelper lintian clang libclang-rt-14-dev clang-16 clang-19 clang-22"

# need_packages PACKAGE...: Debian packages that are not there are installed, by root or sudo.
need_packages() {
  local missing=() p sudo=()
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing+=("$p")
  done
  if [ ${#missing[@]} -eq 0 ]; then say "packages: all there"; return 0; fi
  command -v apt-get >/dev/null || { say "error: this needs Debian's packages: ${missing[*]}"; return 1; }
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  say "packages: installing ${missing[*]}"
  "${sudo[@]}" apt-get update -q >"$logs/apt.log" 2>&1 || { tail -5 "$logs/apt.log"; return 1; }
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
    >>"$logs/apt.log" 2>&1 || { tail -5 "$logs/apt.log"; say "error: installing failed; see $logs/apt.log"; return 1; }
}

# Intel's OpenCL runtime for CPUs, from PyPI, in a folder of its own; with PoCL beside it.
need_intel_runtime() {
  local venv=$root/build/runtimes/intel icd=$root/build/runtimes/icd
  if [ ! -e "$venv/lib/libintelocl.so" ]; then
    say "Intel's OpenCL runtime: installing from PyPI"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check intel-opencl-rt intel-cmplr-lib-rt \
      >"$logs/intel.log" 2>&1 || { tail -5 "$logs/intel.log" 2>/dev/null; say "error: installing Intel's runtime failed"; return 1; }
  fi
  mkdir -p "$icd"
  # Only what differs is written, and whole: another run may be reading (a loader that finds an empty file hangs).
  local made f
  made=$(mktemp -d "$icd.XXXXXX")
  cp /etc/OpenCL/vendors/*.icd "$made/" 2>/dev/null || true
  printf '%s\n' "$venv/lib/libintelocl.so" >"$made/intel-cpu.icd"
  for f in "$made"/*.icd; do cmp -s "$f" "$icd/${f##*/}" || mv "$f" "$icd/"; done
  rm -rf "$made"
  export OCL_ICD_VENDORS=$icd/ LD_LIBRARY_PATH=$venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# Prints a Python that has torch, diffusers and safetensors: $DEMIST_REFERENCE, or one made in build/reference from PyPI.
reference_python() {
  local venv=$root/build/reference python=${DEMIST_REFERENCE:-$root/build/reference/bin/python}
  if [ -z "${DEMIST_REFERENCE:-}" ] && ! "$python" -c 'import torch, diffusers, safetensors, torchsde' 2>/dev/null; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 safetensors numpy scipy torchsde; } \
      >"$logs/reference.log" 2>&1 || { tail -5 "$logs/reference.log" >&2; say "error: installing torch and diffusers failed" >&2; return 1; }
  fi
  "$python" -c 'import torch, diffusers, safetensors, torchsde' || return 1
  printf '%s\n' "$python"
}

# build_in FOLDER [MESON OPTION...]: configures once, builds $targets, or all.
build_in() {
  local dir=$1; shift
  if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@" >"$logs/$(basename "$dir").log" 2>&1 || { tail -20 "$logs/$(basename "$dir").log"; return 1; }
  else
    meson setup --reconfigure "$dir" "$@" >"$logs/$(basename "$dir").log" 2>&1 || { tail -20 "$logs/$(basename "$dir").log"; return 1; }
  fi
  ninja -C "$dir" ${targets:-} >>"$logs/$(basename "$dir").log" 2>&1 || { grep -E 'error|FAILED' "$logs/$(basename "$dir").log" | head -20
    say "error: building failed; see $logs/$(basename "$dir").log"; return 1; }
  say "built in $(basename "$dir")/"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/build/logs
mkdir -p "$logs"
