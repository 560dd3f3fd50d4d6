#!/usr/bin/env python3
"""Installs the build somewhere, moves it, builds tests/library/example against it as a stranger would, and runs what comes out.

It needs little room: debug information is left out, and each program goes when it has run.

    library_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --cmake cmake --build-directory build/cpu --compiler c++ --generator Ninja
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
ROOM = 150 << 20  # bytes of all that lies in the scratch folder at a time


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


def expect_room(work):
    used = sum(path.lstat().st_blocks * 512 for path in work.rglob("*"))
    expect(used < ROOM, f"{used >> 20} MiB lie in the scratch folder, more than {ROOM >> 20}")


def install(args, work):
    """The prefix to which the installation was moved."""
    run([args.cmake, "--install", args.build_directory, "--prefix", work / "installed", "--strip"])
    for archive in (work / "installed").rglob("*.a"):  # --strip is for programs
        run(["strip", "--strip-debug", archive])
    expect_room(work)
    prefix = work / "moved"
    os.rename(work / "installed", prefix)
    return prefix


def check_programs(args, prefix, work):
    model, build = work / "model", work / "build"
    Model().write(model)
    run([args.cmake, "-G", args.generator, "-S", HERE / "example", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
         f"-DCMAKE_CXX_COMPILER={args.compiler}", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_EXE_LINKER_FLAGS=-s"])

    def built(name):
        run([args.cmake, "--build", build, "--target", name])
        expect_room(work)
        return build / name

    def said_by(program, ranks, *arguments):
        return run(launch.rank_command(args.mpirun, ranks, [program, model, *arguments]))

    generate = built("generate")
    alone = run([generate, model, "ab ba"])  # without a launcher
    for ranks in (1, 2):
        said = said_by(generate, ranks, "ab ba")
        expect(said == alone and said.endswith("16 tokens\n"), f"{ranks} ranks said {said!r}, one process {alone!r}")
    generate.unlink()

    checks = built("checks")
    for ranks in (1, 2):
        said = said_by(checks, ranks)
        expect(said.count("checks passed") == ranks, f"{ranks} ranks said {said!r}")
    checks.unlink()

    said = said_by(built("communicator"), 3)
    expect("communicator passed" in said, said)


def main():
    parser = launch.parser(__doc__)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--build-directory", required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--generator", required=True, help="for cmake -G; its default, make, is not installed everywhere")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        prefix = install(args, work)
        check_headers(prefix / "include", args.compiler, work)
        resolved = run([prefix / "bin" / "lockstep", "config", "--model", "qwen2.5-0.5b"], cwd=work)
        expect("hidden_size: 896" in resolved, "the installed binary does not find the installed configurations:", resolved)
        (prefix / "bin" / "lockstep").unlink()
        check_programs(args, prefix, work)


if __name__ == "__main__":
    main()
