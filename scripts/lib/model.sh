# Sourced after common.sh: the demo's model.
# shellcheck shell=bash

MODEL=models/SmolLM2-135M-Instruct

# fetch_model: makes $MODEL once, and again when the script that makes it changed. The environment .venv serves only for this.
fetch_model() {
  local stamp=models/.SmolLM2-135M-Instruct.stamp want installed
  want=$(cat scripts/fetch_smollm2.py scripts/requirements-fetch.txt | sha256sum)
  if [ -e "$MODEL/model.safetensors" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then return 0; fi

  installed=$(sha256sum <scripts/requirements-fetch.txt)
  if [ "$(cat .venv/.installed 2>/dev/null)" != "$installed" ]; then
    say "making .venv (only for fetching the model)"
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements-fetch.txt >&2 ||
      die "pip could not install scripts/requirements-fetch.txt (is there a network?)"
    printf '%s' "$installed" >.venv/.installed
  fi
  say "fetching $MODEL"
  rm -rf "$MODEL" models/.SmolLM2-135M-Instruct.*
  .venv/bin/python scripts/fetch_smollm2.py "$MODEL" --cache .cache || die "could not make $MODEL (above)"
  printf '%s' "$want" >"$stamp"
}
