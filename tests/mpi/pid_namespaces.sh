#!/usr/bin/env bash
# Ranks in PID namespaces of their own, as in containers that share /dev/shm: they do not see each other in /proc, share memory
# through a name, and leave none behind.
# usage: pid_namespaces.sh MPIRUN MPI_TESTS; exit code 77: not possible here
set -euo pipefail
mpirun=$1 tests=$2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
apart=(unshare --pid --fork --kill-child)
[[ $(id -u) -eq 0 ]] || apart=(unshare --user --map-root-user --pid --fork --kill-child)
"${apart[@]}" true 2>/dev/null || { echo "skipped: this machine allows no PID namespaces"; exit 77; }
if ! "$mpirun" --version 2>&1 | grep -q "Open MPI\|OpenRTE"; then echo "skipped: only for Open MPI"; exit 77; fi
# Open MPI's own shared memory (vader) needs to see the other ranks' processes.
flags=(--oversubscribe --bind-to none --mca btl "tcp,self")

said=$("$mpirun" "${flags[@]}" -np 3 "${apart[@]}" "$tests" --gtest_color=no --gtest_filter='*HostCommunicatorTest*' 2>&1) ||
  { echo "$said"; exit 1; }
[[ $said == *"[  PASSED  ] "[1-9]* ]] || { echo "$said"; exit 1; }
# In its namespace a rank is process 1.
left=$(find /dev/shm -maxdepth 1 -name "lockstep-1-*")
[[ -z $left ]] || { echo "left behind: $left"; exit 1; }
