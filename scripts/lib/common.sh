# Sourced by the scripts: where the project is, and how to speak. Needs bash.
# shellcheck shell=bash

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"

say() { printf '== %s\n' "$*" >&2; }

die() {
  printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# as_root command…: runs it as root, through sudo when we are not root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=DEBIAN_FRONTEND "$@"
  else
    die "not root and no sudo: cannot run '$*'; run it as root yourself, then call this script again"
  fi
}

has_gpu() { [[ "$(nvidia-smi --list-gpus 2>/dev/null)" == GPU* ]]; }
