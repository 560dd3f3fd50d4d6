#!/usr/bin/env python3
"""Checks the import direction of the folders: a folder includes itself and those on its left, never a sibling.

    base <- {config, text, kernels} <- {comm, partition, grammar} <- weights <- cache <- model <- engine <- {plan, llm, openai} <- {app, serve, tools} <- main

Also: MPI stays in src/comm; CUDA and NCCL headers stay in folders named cuda; a quoted include is a path from src/ or from the root.
Prints file:line of each breach and exits with 1 when there is one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [{"base"}, {"config", "text", "kernels"}, {"comm", "partition", "grammar"}, {"weights"}, {"cache"}, {"model"}, {"engine"},
          {"plan", "llm", "openai"}, {"app", "serve", "tools"}, {"main"}]
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
GENERATED = {"lockstep_version.h"}  # written into the build directory
MPI_USERS = {"src/tools/version.cpp"}  # outside src/comm: asks for the library's version
CUDA_HEADER = re.compile(r"^(cuda|cublas|nccl|cooperative_groups|mma\.h|nvtx)")


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "kernels":
        return "kernels"
    return "main" if parts[1] == "main.cpp" else parts[1]


def breach(path, quote, header):
    """What is wrong with this include, or None."""
    folder = folder_of(path)
    if header in GENERATED:
        return None
    if header == "mpi.h" and folder != "comm" and str(path.relative_to(ROOT)) not in MPI_USERS:
        return "MPI is used in src/comm only"
    if quote == "<":
        if CUDA_HEADER.match(header) and "cuda" not in path.relative_to(ROOT).parts[:-1]:
            return "CUDA and NCCL headers are used in folders named cuda only"
        return None
    target = header.split("/")[0]
    if not any((base / header).exists() for base in (ROOT, ROOT / "src")) or "/" not in header:
        return "no such file under src/ or the root (write the path from there)"
    if target not in LEVEL:
        return f"'{target}' is not a folder of the chain"
    if target != folder and LEVEL[target] >= LEVEL[folder]:
        return f"{folder} may include only what is left of it in: " + " <- ".join(",".join(sorted(x)) for x in LAYERS)
    return None


def main():
    breaches = 0
    files = [path for base in ("src", "kernels") for path in (ROOT / base).rglob("*") if path.suffix in {".h", ".cuh", ".cpp", ".cu"}]
    for path in sorted(files):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            problem = match and breach(path, *match.groups())
            if problem:
                breaches += 1
                print(f'{path.relative_to(ROOT)}:{number}: "{match.group(2)}": {problem}', file=sys.stderr)
    print(f"check_includes: {len(files)} files, {breaches} breaches", file=sys.stderr)
    return 1 if breaches or not files else 0


if __name__ == "__main__":
    sys.exit(main())
