#!/usr/bin/env bash
# Prefill and decode of lockstep beside llama.cpp's, in one run on this machine's cores: SmolLM2-135M and a random model of the
# shape of Llama 3.2 1B, both in bf16. llama.cpp comes from the source package of llama-cpp-python, built for this processor.
#
#   scripts/peers/llama_cpp.sh [THREADS]
#
# Everything that it makes (about 6 GB) lies in .cache/llama_cpp and is kept. LOCKSTEP: the binary (default build/cpu/bin/lockstep).
. "$(dirname "$0")/../lib/common.sh"
. scripts/lib/model.sh

threads=${1:-$(nproc)}
lockstep=${LOCKSTEP:-build/cpu/bin/lockstep}
work=$ROOT/.cache/llama_cpp
version=0.3.36
[ -x "$lockstep" ] || die "$lockstep is not there; build it first (cmake --preset cpu && cmake --build build/cpu)"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

build_llama() {
  mkdir -p "$work"
  [ -d "$work/env" ] || { python3 -m venv "$work/env" && "$work/env/bin/pip" install --quiet numpy; }
  if [ ! -d "$work/llama_cpp_python-$version" ]; then
    say "fetching llama-cpp-python $version"
    "$work/env/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" "llama-cpp-python==$version"
    tar -xzf "$work/llama_cpp_python-$version.tar.gz" -C "$work"
  fi
  local source=$work/llama_cpp_python-$version/vendor/llama.cpp
  if [ ! -x "$work/build/bin/llama-bench" ]; then
    say "building llama-bench"
    cmake -S "$source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
      -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF >"$work/configure.log" 2>&1
    nice cmake --build "$work/build" --parallel "${LOCKSTEP_BUILD_JOBS:-$(nproc)}" --target llama-bench >"$work/build.log" 2>&1 ||
      die "llama.cpp does not build; see $work/build.log"
  fi
  export PYTHONPATH=$source/gguf-py
}

# make_gguf directory: prints the file's path.
make_gguf() {
  local file
  file=$work/$(basename "$1").gguf
  if [ ! -e "$file" ]; then
    "$work/env/bin/pip" install --quiet pyyaml tqdm >&2
    "$work/env/bin/python" scripts/peers/to_gguf.py "$1" "$file.part" >&2
    mv "$file.part" "$file"
  fi
  printf '%s\n' "$file"
}

# compare name directory prompt output: one line for prefill, one for decode.
compare() {
  local name=$1 directory=$2 prompt=$3 output=$4 gguf
  gguf=$(make_gguf "$directory")
  # Both are warmed up by themselves; lockstep runs between two runs of llama.cpp, of which the better counts.
  "$work/build/bin/llama-bench" -m "$gguf" -t "$threads" -p "$prompt" -n "$output" -r 3 -o json >"$work/theirs.1.json" 2>/dev/null
  "$lockstep" bench prefill --model "$directory" --threads "$threads" --shapes "1x$prompt" --json "$work/prefill.json" >/dev/null 2>&1
  "$lockstep" bench latency --model "$directory" --threads "$threads" --batch-sizes 1 --output-len $((output + 20)) --repeats 1 \
    --json "$work/decode.json" >/dev/null 2>&1
  "$work/build/bin/llama-bench" -m "$gguf" -t "$threads" -p "$prompt" -n "$output" -r 3 -o json >"$work/theirs.2.json" 2>/dev/null
  python3 scripts/peers/llama_cpp_table.py "$name" "$work"
}

build_llama
fetch_model
one=$work/llama-3.2-1b
[ -e "$one/config.json" ] || python3 scripts/make_checkpoint.py --shape llama-3.2-1b --shards 2 "$one"
printf '%-16s %-14s %10s %10s %7s\n' model phase lockstep llama.cpp ratio
compare SmolLM2-135M "$MODEL" 512 64
compare Llama-3.2-1B "$one" 512 16
