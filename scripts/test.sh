#!/usr/bin/env bash
# Installs what is missing, checks, builds and tests. Arguments are passed to ctest, for example: scripts/test.sh -R golden
# The closing lines are ctest's summary of the CPU build's tests; the exit code tells of all.
. "$(dirname "$0")/lib/common.sh"
. scripts/lib/packages.sh
. scripts/lib/build.sh
. scripts/lib/mpi.sh

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"

failed=()
check() {
  local name=$1
  shift
  say "check: $name"
  "$@" || failed+=("$name")
}
format_sources() {
  git ls-files -z '*.h' '*.cuh' '*.cpp' '*.cu' | xargs -0 --no-run-if-empty clang-format-14 --dry-run --Werror
}
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  check "clang-format" format_sources
  check "text files" python3 scripts/check_text.py
fi
check "import direction" python3 scripts/check_includes.py

# LOCKSTEP_FUZZ_SECONDS: how long each fuzzer runs; unset: their corpora are only replayed, as tests.
if [ -n "${LOCKSTEP_FUZZ_SECONDS:-}" ]; then
  check "fuzzers" bash scripts/fuzz.sh "$LOCKSTEP_FUZZ_SECONDS"
fi

build_all all

# The GPU tests come first: on a machine without a GPU they all skip themselves, which is no closing line to judge a run by.
if [ -e build/cuda/CTestTestfile.cmake ] && cuda_toolkit >/dev/null; then
  check "GPU tests" ctest --test-dir build/cuda -L gpu --output-on-failure --timeout 600 "$@"
fi
for name in "${failed[@]}"; do say "FAILED before the CPU tests: $name"; done
say "$(python3 tests/cluster/cluster_test.py --why-not)"
say "CPU tests"
ctest --test-dir build/cpu -LE gpu --output-on-failure --no-tests=error --timeout 600 --parallel "$(nproc)" "$@" || failed+=("CPU tests")
[ ${#failed[@]} -eq 0 ]
