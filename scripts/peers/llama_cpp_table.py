#!/usr/bin/env python3
"""Two lines of llama_cpp.sh's table from the JSON results in a directory: llama_cpp_table.py NAME DIRECTORY."""

import json
import sys
from pathlib import Path

name, work = sys.argv[1], Path(sys.argv[2])
theirs = {"prefill": 0.0, "decode": 0.0}
for run in (1, 2):
    for row in json.loads((work / f"theirs.{run}.json").read_text()):
        phase = "prefill" if row["n_prompt"] else "decode"
        theirs[phase] = max(theirs[phase], row["avg_ts"])
for phase in theirs:
    ours = json.loads((work / f"{phase}.json").read_text())["rows"][0]["tokens_per_second"]
    print(f"{name:<16} {phase:<14} {ours:>10.1f} {theirs[phase]:>10.1f} {ours / theirs[phase]:>7.2f}", flush=True)
