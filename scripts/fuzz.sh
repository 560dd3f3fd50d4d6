#!/usr/bin/env bash
# Builds the fuzzers of tests/fuzz and runs each for some seconds, beginning with its committed corpus.
# Usage: scripts/fuzz.sh [SECONDS for each, default 600] [TARGET…, default all; the NAME of tests/fuzz/fuzz_NAME.cpp]
# What they learn is kept in build/fuzz/corpus, what they find in build/fuzz/findings; a finding becomes a file in
# tests/fuzz/corpus/NAME, which every test run replays. LOCKSTEP_FUZZ_JOBS: how many run at once (default: one a core).
. "$(dirname "$0")/lib/common.sh"
. scripts/lib/packages.sh
. scripts/lib/build.sh

seconds=${1:-600}
case $seconds in '' | *[!0-9]* | 0) die "'$seconds' is not a number of seconds; usage: scripts/fuzz.sh [SECONDS] [TARGET…]" ;; esac
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/fuzz_*.cpp; do
    name=$(basename "$source" .cpp)
    targets+=("${name#fuzz_}")
  done
fi
for name in "${targets[@]}"; do [ -e "tests/fuzz/fuzz_$name.cpp" ] || die "there is no target '$name' (tests/fuzz/fuzz_$name.cpp)"; done

install_packages "${BUILD_PACKAGES[@]}" "${FUZZ_PACKAGES[@]}"
configure fuzz
build build/fuzz fuzzers
mkdir -p build/fuzz/findings build/fuzz/log

# fuzz_one name: runs one target; its last lines say how much it tried.
fuzz_one() {
  local name=$1 log=build/fuzz/log/$1
  mkdir -p "build/fuzz/corpus/$name"
  if build/fuzz/bin/fuzz_"$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix=build/fuzz/findings/"$name"- "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null; then
    say "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
  else
    tail -n 60 "$log" >&2
    say "$name: FOUND something: see $log and build/fuzz/findings"
    return 1
  fi
}
export -f fuzz_one say
export seconds
say "fuzzing ${targets[*]}, $seconds s each"
printf '%s\n' "${targets[@]}" | xargs -P "${LOCKSTEP_FUZZ_JOBS:-$(nproc)}" -I{} bash -euo pipefail -c 'fuzz_one "$1"' fuzz {} ||
  die "a fuzzer found something (above)"
