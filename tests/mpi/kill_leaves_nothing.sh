#!/usr/bin/env bash
# kill -9 of any rank at any time ends the job and leaves nothing of ours in /dev/shm.
# usage: kill_leaves_nothing.sh MPIRUN MPI_TESTS
set -euo pipefail
mpirun=$1 tests=$2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
oversubscribe=()
if "$mpirun" --version 2>&1 | grep -q "Open MPI\|OpenRTE"; then oversubscribe=(--oversubscribe --bind-to none); fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for victim in first second all; do
  mkfifo "$scratch/ready.$victim"
  "$mpirun" "${oversubscribe[@]}" -np 3 "$tests" --for-ever >"$scratch/ready.$victim" 2>"$scratch/log" &
  job=$!
  read -r line <"$scratch/ready.$victim"
  [[ $line == ready ]] || { echo "unexpected output: $line"; exit 1; }
  mapfile -t ranks < <(pgrep -P "$job" -f -- --for-ever)
  [[ ${#ranks[@]} -eq 3 ]] || { echo "expected 3 ranks under $job, found: ${ranks[*]}"; kill "$job"; exit 1; }
  case $victim in
    first) kill -9 "${ranks[0]}" ;;
    second) kill -9 "${ranks[1]}" ;;
    all) kill -9 "${ranks[@]}" ;;
  esac
  code=0
  timeout 30 tail --pid="$job" -f /dev/null || { echo "the job still runs 30 s after kill -9"; kill -9 "$job"; exit 1; }
  wait "$job" || code=$?
  [[ $code -ne 0 ]] || { echo "exit code 0 after kill -9"; exit 1; }
  for rank in "${ranks[@]}"; do
    left=$(find /dev/shm -maxdepth 1 -name "lockstep-$rank-*")
    [[ -z $left ]] || { echo "left behind: $left"; exit 1; }
  done
done
