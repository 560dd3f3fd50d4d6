#!/usr/bin/env bash
# Writes docs/reference.md from the program, after an option has changed. tests/tools/reference_test.py tells when that is due.
. "$(dirname "$0")/lib/common.sh"
build/cpu/bin/lockstep reference markdown >docs/reference.md
