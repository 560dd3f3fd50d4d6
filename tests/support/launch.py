"""Starts lockstep under mpirun for the drivers in tests/golden and tests/fault. Python's standard library only."""

import argparse
import os
import signal
import subprocess

SKIPPED = 77  # the exit code that ctest shows as "Skipped" (SKIP_RETURN_CODE)


def parser(description, device=False):
    """The arguments that every driver takes. device: whether it can use a GPU; without one it then ends, skipped."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--mpirun", required=True)
    result.add_argument("--lockstep", required=True, help="the binary")
    if device:
        result.add_argument("--device", default="cpu", choices=["cpu", "cuda"], type=existing_device)
    return result


def existing_device(name):
    if name == "cuda" and gpu_count() == 0:
        print("SKIPPED: no GPU on this machine")
        raise SystemExit(SKIPPED)
    return name


def same_tokens(args):
    """Flags with which a request gets the same tokens whatever else is in the batch; on CPUs it does anyway."""
    return ["--batch-invariant", "on"] if args.device == "cuda" else []


def environment():
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def launcher_flags(mpirun):
    """More ranks than cores must be asked for with Open MPI; its default binding would put two ranks on a core each."""
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, env=environment()).stdout
    # Open MPI's own mpiexec calls itself OpenRTE.
    return ["--oversubscribe", "--bind-to", "none"] if "Open MPI" in version or "OpenRTE" in version else []


def rank_command(mpirun, ranks, command):
    return [mpirun, *launcher_flags(mpirun), "-np", str(ranks), *map(str, command)]


def start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
    """A Popen in a process group of its own, output captured as text."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True,
                            env=environment(), start_new_session=True)


def finish(process, timeout):
    """(stdout, stderr) when it ends; after `timeout` seconds its whole group is killed and TimeoutError raised."""
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise TimeoutError(f"still running after {timeout} s\n--- stdout\n{out}\n--- stderr\n{err}") from None


def gpu_count():
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True).stdout
    except OSError:
        return 0
    return sum(line.startswith("GPU") for line in listed.splitlines())
