#!/usr/bin/env python3
"""Runs what was built with the system's Open MPI 4.1 under Open MPI 5, whose library has the same binary interface: golden models, and
jobs that are broken. Open MPI 5 comes from PyPI, into --directory; exit code 77, and why, where it cannot be had.
"""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
import launch  # noqa: E402

VERSION = "5.0.11"
PACKAGE = f"openmpi=={VERSION}"
GOLDEN = [("llama3_gqa", 1), ("llama3_gqa", 3), ("qwen2", 2)]
BROKEN = ["kill", "stop", "throws", "out_of_memory", "terminated", "interrupted", "launcher_killed", "disk_full"]


def install(directory):
    """Its mpirun, or why there is none."""
    mpirun = directory / "bin" / "mpirun"
    if mpirun.exists():
        return mpirun, ""
    for command in ([sys.executable, "-m", "venv", directory],
                    [directory / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return None, f"{PACKAGE} cannot be installed: {done.stdout}{done.stderr}"
    return mpirun, ""


def run(what, command):
    print(f"== {what}", flush=True)
    return subprocess.run([sys.executable, *map(str, command)]).returncode == 0


def main():
    parser = launch.parser(__doc__)
    parser.add_argument("--mpi-tests", required=True, help="the binary of tests/mpi")
    parser.add_argument("--directory", required=True, type=Path, help="a virtual environment to make or to use")
    args = parser.parse_args()
    mpirun, why_not = install(args.directory)
    if mpirun is None:
        print(f"SKIPPED: {why_not}")
        return launch.SKIPPED
    os.environ["LD_LIBRARY_PATH"] = str(args.directory / "lib")  # before the system's
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, env=launch.environment()).stdout
    if VERSION not in version:
        print(f"FAILED: {mpirun} is not Open MPI {VERSION} but {version}")
        return 1
    both = ["--mpirun", mpirun, "--lockstep", args.lockstep]
    results = [run(f"{model}, {ranks} ranks", [TESTS / "golden" / "golden_test.py", *both, "--ranks", ranks, "--model", model])
               for model, ranks in GOLDEN]
    cases = [flag for case in BROKEN for flag in ("--case", case)]
    results.append(run("broken jobs", [TESTS / "fault" / "campaign.py", *both, "--mpi-tests", args.mpi_tests, *cases]))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
