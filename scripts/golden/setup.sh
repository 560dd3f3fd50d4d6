#!/usr/bin/env bash
# Makes a Python environment with the reference implementation and regenerates tests/golden/data with it. Several gigabytes are
# downloaded; nothing of this is needed to build, test or run. Usage: scripts/golden/setup.sh [environment directory]
. "$(dirname "$0")/../lib/common.sh"

environment=${1:-.cache/golden-venv}
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/golden/requirements.txt
"$environment/bin/python" scripts/golden/make_models.py tests/golden/data
"$environment/bin/python" scripts/golden/make_sampling.py tests/golden/data
