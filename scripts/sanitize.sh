#!/usr/bin/env bash
# Builds everything with the address and undefined-behaviour sanitizers (preset `asan`, build/asan) and runs the tests.
# Usage: scripts/sanitize.sh [ctest arguments, for example -R unit]
#
# Left out: tests of the GPU, whose runtime the sanitizer does not know; those of the memory that a rank takes (label `memory`, and
# serve.soak), because the sanitizer's own is counted with it; fault.out_of_memory, which limits the address space, of which the
# sanitizer takes terabytes; and library.package, which looks at the size of the program. Leaks are looked for in the unit tests
# alone: MPI's libraries keep memory to the end, and some are gone from the process when leaks are told, so that they cannot be left
# out by name. Everything is several times as slow as otherwise, hence the longer limit for a test and not part of scripts/test.sh.
. "$(dirname "$0")/lib/common.sh"
. scripts/lib/packages.sh
. scripts/lib/build.sh
. scripts/lib/mpi.sh

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
configure asan
build build/asan all
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
run_tests() { ctest --test-dir build/asan --output-on-failure --timeout 900 --parallel "$(nproc)" "$@"; }
failed=0
run_tests -L unit -E '^tools\.' --no-tests=error "$@" || failed=1
export ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=1/detect_leaks=0}
run_tests -R '^tools\.' "$@" || failed=1
run_tests -LE 'unit|gpu|memory' -E '^(fault\.out_of_memory|serve\.soak|library\.package)$' "$@" || failed=1
exit $failed
