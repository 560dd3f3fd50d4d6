#!/usr/bin/env bash
# clang-tidy with the project's .clang-tidy over src/, or over the files given, by the commands that build/cpu was compiled with. It takes
# some seconds a file, hence not part of scripts/test.sh. Usage: scripts/tidy.sh [FILE.cpp…]
. "$(dirname "$0")/lib/common.sh"
. scripts/lib/packages.sh
. scripts/lib/build.sh

install_packages "${BUILD_PACKAGES[@]}" "${TIDY_PACKAGES[@]}"
configure cpu
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(find src -name '*.cpp' -not -path '*/cuda/*' | sort)
fi
say "clang-tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 clang-tidy-16 -p "${LOCKSTEP_TIDY_BUILD:-build/cpu}" --quiet --warnings-as-errors='*' 2>/dev/null ||
  die "clang-tidy has something to say (above)"
