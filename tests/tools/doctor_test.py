#!/usr/bin/env python3
"""`lockstep doctor` on this machine, sound and with faults that a user can plant: limits, binding, binaries, environments, models, ranks.

  doctor_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import model_files  # noqa: E402

HEALTHY_SECONDS = 30
TIMEOUT = 120


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Doctor:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("NCCL_", "SLURM_", "OMPI_COMM", "PMIX_", "PMI_"))}
        self.environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

    def ranks(self, count, *more, flags=(), program=None):
        return ["-np", count, *flags, program or self.args.lockstep, "doctor", "--device", "cpu", "--json", *more]

    def start(self, *command, limits=None, environment=None):
        return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                env={**self.environment, **(environment or {})}, preexec_fn=limits)

    def report(self, process, code=None):
        """The JSON and the findings that are not well."""
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise Failure("doctor hangs") from None
        if code is not None:
            expect(process.returncode == code, f"exit code {process.returncode}, not {code}\n{out}\n{err}")
        try:
            report = json.loads(out)
        except json.JSONDecodeError:
            raise Failure(f"no JSON:\n{out}\n{err}") from None
        expect(set(report) >= {"status", "checks", "recommendation", "seconds", "ranks"}, report.keys())
        for check in report["checks"]:
            expect(check["status"] in ("pass", "warn", "fail", "skip") and check["seen"], check)
            expect(check["remedy"] or check["status"] in ("pass", "skip"), check)
        return report

    def run(self, *groups, code, flags=(), limits=None, environment=None):
        """groups: of ranks(), joined as mpirun does with ':'."""
        command = [self.args.mpirun, "--oversubscribe", *(flags or ("--bind-to", "none"))]
        for i, group in enumerate(groups):
            command += [":", *group] if i else group
        return self.report(self.start(*command, limits=limits, environment=environment), code)


def find(report, check, status):
    found = [c for c in report["checks"] if c["check"] == check and c["status"] == status]
    expect(found, f"no '{check}' with '{status}' among\n" + "\n".join(f"{c['status']} {c['check']}: {c['seen']}" for c in report["checks"]))
    return found[0]


def case_sound(doctor):
    model = doctor.directory / "model"
    model_files.Model().write(model)
    start = time.monotonic()
    report = doctor.run(doctor.ranks(2, "--model", model), code=0)
    seconds = time.monotonic() - start
    expect(report["fail"] == 0 and report["ranks"] == 2, report)
    for check in ("ranks", "program", "binding", "messages", "clocks of hosts", "model", "reading the weights", "AllReduce sums", "one layer alone",
                  "one layer together", "alone and together", "host memory"):
        expect(find(report, check, "pass"), check)
    expect(report["recommendation"]["tensor_parallel_size"] >= 1, report["recommendation"])
    print(f"  2 ranks with a model: {seconds:.1f} s")
    expect(seconds < HEALTHY_SECONDS, f"{seconds} s")


def case_table(doctor):
    """One rank without a launcher; the table."""
    process = doctor.start(doctor.args.lockstep, "doctor", "--device", "cpu")
    out, err = process.communicate(timeout=TIMEOUT)
    expect(process.returncode == 0 and " 0 fail" in out and "recommended: tp" in out, out + err)


def case_launch(doctor):
    """Three faults at once: few descriptors, a tp that is not the number of ranks, a variable on one rank."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))  # noqa: E731
    report = doctor.run(doctor.ranks(1, "-tp", 4, flags=("-x", "NCCL_P2P_DISABLE=1")), doctor.ranks(1, "-tp", 4), code=1, limits=limit)
    expect(find(report, "open files", "fail")["seen"] == "200", report)
    expect("mpirun -np 4" in find(report, "tensor-parallel size", "fail")["remedy"], report)
    expect(any("NCCL_P2P_DISABLE=1" in c["seen"] for c in report["checks"] if c["check"] == "environment" and c["status"] == "warn"), report)


def case_one_core(doctor):
    core = min(os.sched_getaffinity(0))
    report = doctor.run(doctor.ranks(2), code=0, limits=lambda: os.sched_setaffinity(0, {core}))
    find(report, "oversubscription", "warn")


def case_other_program(doctor):
    """Rank 1 is another build, with another command line."""
    other = doctor.directory / "lockstep"
    shutil.copy(doctor.args.lockstep, other)
    with other.open("ab") as file:
        file.write(b"another build")
    report = doctor.run(doctor.ranks(1), doctor.ranks(1, "--threads", 1, program=other), code=1)
    expect(find(report, "program", "fail")["ranks"] == [1], report)
    expect(find(report, "command line", "fail")["ranks"] == [1], report)
    find(report, "model and devices", "skip")


def case_alone(doctor):
    """A launcher that promises four ranks, and an MPI that knows of one."""
    process = doctor.start(doctor.args.lockstep, "doctor", "--device", "cpu", "--json", environment={"PMI_SIZE": "4", "PMI_RANK": "0"})
    _, err = process.communicate(timeout=TIMEOUT)
    expect(process.returncode != 0 and "--mpi=pmix" in err and "4 processes" in err, err)


def case_no_gpu(doctor):
    if shutil.which("nvidia-smi"):
        return
    process = doctor.start(doctor.args.lockstep, "doctor", "--device", "cuda", "--json")
    find(doctor.report(process, 1), "GPUs", "fail")


def case_broken_model(doctor):
    model = doctor.directory / "broken"
    model_files.Model().write(model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    report = doctor.run(doctor.ranks(2, "--model", model), code=1)
    expect("model.safetensors" in find(report, "model", "fail")["seen"], report)
    report = doctor.run(doctor.ranks(1, "--model", doctor.directory / "absent"), code=1)
    find(report, "model", "fail")


def case_endless_model(doctor):
    spoiled = model_files.Model()
    spoiled.texts.pop("generation_config.json")
    spoiled.config["eos_token_id"] = None
    model = doctor.directory / "endless"
    spoiled.write(model)
    find(doctor.run(doctor.ranks(1, "--model", model), code=0), "end of text", "warn")


def case_model_too_large(doctor):
    report = doctor.run(doctor.ranks(2, "--model", "qwen2.5-72b", "--load-format", "dummy"), code=1)
    expect("host memory" in find(report, "host memory", "fail")["check"], report)


def case_small_shm(doctor):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        print("  skipped: needs root and mount namespaces")
        return
    command = " ".join(str(c) for c in (doctor.args.mpirun, "--oversubscribe", "--bind-to", "none", "--mca", "btl", "^vader", *doctor.ranks(2)))
    process = doctor.start("unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o size=2m tmpfs /dev/shm && exec {command}")
    find(doctor.report(process, 1), "shared memory", "fail")


def case_stopped_rank(doctor):
    """A rank that stands still after MPI_Init: the report comes all the same, and names it."""
    command = [doctor.args.mpirun, "--oversubscribe", "--bind-to", "none", *doctor.ranks(3)]
    process = doctor.start(*command)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 30
    ranks = []
    while len(ranks) < 3 and time.monotonic() < end:
        ranks = children.read_text().split() if children.exists() else []
        time.sleep(0.02)
    expect(len(ranks) == 3, "no ranks")
    time.sleep(1.0)
    os.kill(int(ranks[1]), signal.SIGSTOP)
    start = time.monotonic()
    try:
        report = doctor.report(process)
        expect(process.returncode != 0, "exit code 0")
        failed = [c for c in report["checks"] if c["status"] == "fail"]
        expect(failed, report)
        print(f"  {time.monotonic() - start:.1f} s to: {failed[0]['check']} [{failed[0]['ranks']}] {failed[0]['seen']}")
    finally:
        for rank in ranks:
            try:
                os.kill(int(rank), signal.SIGKILL)
            except ProcessLookupError:
                pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--lockstep", required=True)
    parser.add_argument("--case")
    args = parser.parse_args()
    args.lockstep = str(Path(args.lockstep).resolve())
    cases = {name[5:]: function for name, function in globals().items() if name.startswith("case_")}
    failed = 0
    for name in [args.case] if args.case else cases:
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as directory:
                cases[name](Doctor(args, Path(directory)))
        except Failure as failure:
            failed += 1
            print(f"FAILED {name}: {failure}")
        print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
