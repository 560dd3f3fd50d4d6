#!/usr/bin/env python3
"""Installs the build somewhere, moves it, builds tests/library/example against it as a stranger would, and runs what comes out.

    library_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --cmake cmake --build-directory build/cpu --compiler c++
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE.parent / "tools"))
import launch  # noqa: E402
from model_files import Model  # noqa: E402

LIMIT = 300  # seconds of one command


def run(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=LIMIT,
                          env=launch.environment(), stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}")
    return done.stdout


def expect(condition, *what):
    if not condition:
        sys.exit(" ".join(map(str, what)))


def check_headers(include, compiler, scratch):
    """Each public header compiles alone, and asks for nothing but the standard library and its like."""
    headers = sorted(include.rglob("*.h"))
    expect(include / "lockstep" / "llm.h" in headers, "no lockstep/llm.h among", headers)
    for header in headers:
        source = scratch / "alone.cpp"
        source.write_text(f'#include "{header}"\n')
        run([compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", include, source])
        for kind, name in re.findall(r'^#include ([<"])([^>"]+)', header.read_text(), re.MULTILINE):
            expect(kind == '"' or re.fullmatch(r"[a-z_]+", name), f"{header} includes {name}")


def main():
    parser = launch.parser(__doc__)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--build-directory", required=True)
    parser.add_argument("--compiler", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        run([args.cmake, "--install", args.build_directory, "--prefix", work / "installed"])
        prefix = work / "moved"
        os.rename(work / "installed", prefix)
        check_headers(prefix / "include", args.compiler, work)

        model = work / "model"
        Model().write(model)
        resolved = run([prefix / "bin" / "lockstep", "config", "--model", "qwen2.5-0.5b"], cwd=work)
        expect("hidden_size: 896" in resolved, "the installed binary does not find the installed configurations:", resolved)

        build = work / "build"
        run([args.cmake, "-S", HERE / "example", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={args.compiler}"])
        run([args.cmake, "--build", build, "--parallel", "2"])
        alone = run([build / "generate", model, "ab ba"])  # without a launcher
        for ranks in (1, 2):
            said = run(launch.rank_command(args.mpirun, ranks, [build / "generate", model, "ab ba"]))
            expect(said == alone and said.endswith("16 tokens\n"), f"{ranks} ranks said {said!r}, one process {alone!r}")
            said = run(launch.rank_command(args.mpirun, ranks, [build / "checks", model]))
            expect(said.count("checks passed") == ranks, f"{ranks} ranks said {said!r}")
        said = run(launch.rank_command(args.mpirun, 3, [build / "communicator", model]))
        expect("communicator passed" in said, said)


if __name__ == "__main__":
    main()
