# Sourced after common.sh: build/cpu always, build/cuda where a CUDA toolkit with NCCL is found.
# shellcheck shell=bash disable=SC2153

# build/cpu and build/cuda share most sources: ccache compiles each once. Paths are hashed relative to the root, and the debug
# information may name the other build directory.
export CCACHE_DIR=$ROOT/.cache/ccache CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=true

# cuda_toolkit: prints the toolkit's root, or fails. A toolkit without nccl.h or libnccl does not count.
cuda_toolkit() {
  local nvcc root
  nvcc=$(command -v nvcc || true)
  [ -n "$nvcc" ] || nvcc=/usr/local/cuda/bin/nvcc
  [ -x "$nvcc" ] || return 1
  root=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  has_nccl "$root" || return 1
  printf '%s\n' "$root"
}

has_nccl() {
  local root=$1 header library
  for header in "$root"/include/nccl.h "$root"/targets/*/include/nccl.h /usr/include/nccl.h /usr/local/include/nccl.h; do
    [ -e "$header" ] || continue
    for library in "$root"/lib64/libnccl.so "$root"/targets/*/lib/libnccl.so /usr/lib/*/libnccl.so /usr/lib64/libnccl.so /usr/local/lib/libnccl.so; do
      [ -e "$library" ] && return 0
    done
  done
  return 1
}

# cuda_architectures: LOCKSTEP_CUDA_ARCHITECTURES, else this machine's own GPUs, else 90a (one architecture keeps the build short;
# without this setting the preset builds for all that the project supports).
cuda_architectures() {
  if [ -n "${LOCKSTEP_CUDA_ARCHITECTURES:-}" ]; then
    printf '%s\n' "$LOCKSTEP_CUDA_ARCHITECTURES"
  elif has_gpu; then
    # "9.0" -> 90a-real: the instructions behind the fast path exist only in 90a.
    nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d '. ' | sort -u | sed 's/^90$/90a/; s/$/-real/' | paste -sd ';'
  else
    printf '90a-real\n'
  fi
}

# configure preset [cmake option…]: when there is no build yet or the options changed.
configure() {
  local preset=$1 directory=build/$1 stamp options
  stamp=$directory/.configured
  options=$(printf '%s\n' "$*" "${LOCKSTEP_WERROR:-OFF}" && cksum CMakePresets.json)
  if [ -e "$directory/build.ninja" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$options" ]; then return 0; fi
  shift
  say "configuring $directory (log: $directory/configure.log)"
  mkdir -p "$directory"
  cmake --preset "$preset" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "-DLOCKSTEP_WERROR=${LOCKSTEP_WERROR:-OFF}" "$@" >"$directory/configure.log" 2>&1 || {
    tail -n 40 "$directory/configure.log" >&2
    die "cmake --preset $preset failed (above)"
  }
  printf '%s' "$options" >"$stamp"
}

# build directory [target…]: ninja decides what there is to do.
build() {
  local directory=$1
  shift
  say "building $directory"
  cmake --build "$directory" --parallel "${LOCKSTEP_BUILD_JOBS:-$(nproc)}" --target "${@:-all}" >&2 || die "the build of $directory failed (above)"
}

# build_all [target…]: the presets that the machine can build. Every script configures alike, so that none undoes another's work.
build_all() {
  local toolkit
  configure cpu
  build build/cpu "$@"
  if toolkit=$(cuda_toolkit); then
    configure cuda "-DCMAKE_CUDA_COMPILER=$toolkit/bin/nvcc" "-DCMAKE_CUDA_ARCHITECTURES=$(cuda_architectures)"
    build build/cuda "$@"
  else
    say "no CUDA toolkit with NCCL found: the CPU build only"
  fi
}
