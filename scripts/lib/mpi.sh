# Sourced after common.sh: mpirun on one machine.
# shellcheck shell=bash

# Open MPI refuses to run as root (usual in a container) without both of these.
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# run_ranks N command…: mpirun that may start more ranks than there are cores. Ranks are not bound: Open MPI would give one of two
# ranks a single core.
run_ranks() {
  local ranks=$1
  shift
  mpirun -np "$ranks" --oversubscribe --bind-to none "$@"
}
