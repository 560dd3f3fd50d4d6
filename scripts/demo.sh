#!/usr/bin/env bash
# Installs what is missing, builds, fetches a small model, and lets two MPI ranks answer a question with it. Arguments are passed to
# `lockstep generate`, for example: scripts/demo.sh --max-tokens 200 --temperature 0.7
. "$(dirname "$0")/lib/common.sh"
. scripts/lib/packages.sh
. scripts/lib/build.sh
. scripts/lib/model.sh
. scripts/lib/mpi.sh

install_packages "${BUILD_PACKAGES[@]}" "${DEMO_PACKAGES[@]}"
build_all lockstep
fetch_model

preset=cpu
if has_gpu && [ -x build/cuda/bin/lockstep ]; then preset=cuda; fi
command=("build/$preset/bin/lockstep" generate --model "$MODEL" --chat -p "What is the capital of France?" --max-tokens 64 "$@")
shown=''
for word in "${command[@]}"; do
  if [[ $word =~ ^[A-Za-z0-9_./=-]+$ ]]; then shown+=" $word"; else shown+=" ${word@Q}"; fi
done
say "mpirun -np 2$shown"
run_ranks 2 "${command[@]}"
