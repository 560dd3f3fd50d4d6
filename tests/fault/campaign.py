#!/usr/bin/env python3
"""Breaks a job in every way that the cases name, at random moments, again and again, and checks how it ends.

Each repetition draws the rank that breaks and the moment: `start` (MPI_Init and what follows), `load`, `prefill`, `decode`, `idle`
(followers that wait for work). The job must end within the deadline that applies plus five seconds, with the documented exit code,
with at most one error line of ours, which names the rank that broke and is written by the lowest rank that is left, and must leave
no process, shared memory, semaphore or temporary directory behind. Every repetition prints its seed; --seed repeats one.

  campaign.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --mpi-tests build/cpu/bin/mpi_tests --repeat 100
  campaign.py … --case stop --repeat 1 --seed 4711          campaign.py --list
  campaign.py … --device cuda --allreduce peer              ranks that may share one GPU; without MPS, which breaks with its clients

What the network does to two hosts is in two_hosts.py.
"""

import collections
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402
import processes  # noqa: E402

DATA = Path(__file__).resolve().parent.parent / "golden" / "data"
# Open MPI 5 may put a character or two of its own before what a rank wrote while it ended.
ERROR_LINE = re.compile(r"^\W{0,3}lockstep: error: \[rank (\d+)/(\d+) on (\S+)\] (.*)$", re.MULTILINE)
MARK = "LOCKSTEP_CAMPAIGN"
START_S = 90  # for a rank to come as far as a moment, on a busy machine
STEP_TIMEOUT_S, INIT_TIMEOUT_S = 3, 6
SLACK_S = 5  # from the deadline to the end of the job
LAUNCHER_S = 5  # until mpirun, which has seen a rank die, has ended the others

# Loading takes seconds, decoding is quick, and there is more to say than a test waits for.
LOADER = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=8, num_attention_heads=16, num_key_value_heads=4,
              vocab_size=32000, max_position_embeddings=4096)
TALKER = dict(hidden_size=256, intermediate_size=512, num_hidden_layers=12, num_attention_heads=4, num_key_value_heads=2, vocab_size=4099,
              max_position_embeddings=40000)


class Failure(Exception):
    pass


def device_flags(args):
    return ["--device", args.device, "--threads", 1, "--allreduce", args.allreduce]


def expect(condition, what):
    if not condition:
        raise Failure(what)


def left_in(directory, *patterns):
    return {str(path) for pattern in patterns for path in Path(directory).glob(pattern)}


def is_daemon(pid):
    try:
        return "orted" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return True  # gone meanwhile


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Job:
    """One mpirun with a temporary directory of its own for it and its ranks; output in files, so that it can be read meanwhile."""

    def __init__(self, args, directory, command, environment=None, line=None):
        """line: how to start `command`, where not by mpirun here."""
        self.mark = f"{MARK}={uuid.uuid4()}"
        self.directory = directory
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        self.out, self.err = directory / "stdout", directory / "stderr"
        key, value = self.mark.split("=")
        os.environ.update({key: value, "TMPDIR": str(self.scratch), **(environment or {})})
        self.binary = os.path.realpath(command[0])
        self.ranks = args.ranks
        self.has_far_side = line is not None
        try:
            with open(self.out, "wb") as out, open(self.err, "wb") as err:
                self.process = launch.start(line or launch.rank_command(args.mpirun, args.ranks, command), out, err)
        finally:
            for name in (environment or {}):
                del os.environ[name]

    def text(self):
        return self.err.read_text(errors="replace")

    def marked(self):
        return processes.marked(self.mark)

    def pids(self):
        return processes.ranks(self.mark, self.binary)

    def wait_until(self, ready, what):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"it ended before {what}, with exit code {self.process.returncode}\n{self.text()}")
            if ready():
                return
            time.sleep(0.01)
        raise Failure(f"not {what} after {START_S} s\n{self.text()}")

    def wait_for_ranks(self):
        self.wait_until(lambda: len(self.pids()) == self.ranks, "all ranks were there")
        return self.pids()

    def wait_for_line(self, pattern):
        self.wait_until(lambda: re.search(pattern, self.text()), f"it said {pattern!r}")

    def end(self, limit, since):
        """Waits for the end, at most until `limit` s after `since`; (exit code, stderr). Nothing may be left."""
        while self.process.poll() is None and time.monotonic() - since < limit + 30:
            time.sleep(0.02)
        seconds = time.monotonic() - since
        ended = self.process.poll() is not None
        if not ended:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        # The kernel may need a moment, and another host has to find out for itself that it is cut off.
        deadline = max(time.monotonic() + 3, since + limit if self.has_far_side else 0)
        while (left := self.marked()) and ended and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.has_far_side:
            # Open MPI's daemon there may wait for TCP to give up the data that it has sent, minutes; no rank may.
            self.daemons_left = [pid for pid in left if is_daemon(pid)]
            kill_all(self.daemons_left)
            left = [pid for pid in left if pid not in self.daemons_left]
        kill_all(left)
        expect(ended and seconds <= limit, f"it took {seconds:.1f} s to end, not {limit}{'' if ended else ', and had to be killed'}\n{self.text()}")
        expect(not left, f"processes left behind: {left}\n{self.text()}")
        self.seconds = seconds
        return self.process.returncode, self.text()


def yaml_model(directory, sizes):
    path = directory / "model.yaml"
    keys = {"architecture": "LlamaForCausalLM", **sizes, "dtype": "bfloat16"}
    path.write_text("model:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items()))
    return path


class Trial:
    """One repetition: a job at a random moment."""

    def __init__(self, args, directory, rng, moments=("start", "load", "prefill", "decode", "idle"), environment=None):
        self.rng = rng
        if args.device == "cuda":
            moments = [moment for moment in moments if moment != "idle"]  # of mpi_tests, on CPUs
        self.moment = args.moment or rng.choice(moments)
        self.victim = rng.randrange(args.ranks)
        prompt = ",".join(str(rng.randrange(3, 4000)) for _ in range(6000 if self.moment == "prefill" else 5))
        sizes = LOADER if self.moment in ("start", "load") else TALKER
        command = [args.lockstep, "generate", *device_flags(args), "--model", yaml_model(directory, sizes), "--load-format",
                   "dummy", "--prompt-token-ids", prompt, "--max-tokens", 4000 if sizes is LOADER else 30000, "--ignore-eos",
                   "--max-num-batched-tokens", 64, "--step-timeout", STEP_TIMEOUT_S, "--init-timeout", INIT_TIMEOUT_S]
        if self.moment == "idle":
            command = [args.mpi_tests, "--idle", STEP_TIMEOUT_S]
        self.job = Job(args, directory, command, environment)

    def come_to_the_moment(self):
        """Waits for it; returns the ranks' process ids."""
        job, rng = self.job, self.rng
        if self.moment == "start":
            pids = job.wait_for_ranks()
            time.sleep(rng.uniform(0, 0.6))
            return pids
        pids = job.wait_for_ranks()
        if self.moment == "load":
            job.wait_for_line(r"collectives:")
            time.sleep(rng.uniform(0, 0.8))
        elif self.moment == "prefill":
            job.wait_for_line(r"memory of rank 0")
            time.sleep(rng.uniform(0, 0.5))
        elif self.moment == "decode":
            job.wait_for_line(r"memory of rank 0")
            time.sleep(rng.uniform(0.3, 1.5))
        elif self.moment == "idle":
            job.wait_until(lambda: "idle" in job.out.read_text(), "idle")
            time.sleep(rng.uniform(0, 1.0))
        return pids

    def lowest_left(self):
        return 1 if self.victim == 0 else 0


def error_lines(err):
    return [(int(rank), message) for rank, _, _, message in ERROR_LINE.findall(err)]


def died_by_signal(args, directory, rng, number):
    trial = Trial(args, directory, rng)
    pids = trial.come_to_the_moment()
    since = time.monotonic()
    os.kill(pids[trial.victim], number)
    code, err = trial.job.end(LAUNCHER_S, since)
    lines = error_lines(err)
    expect(code not in (0, None), f"exit code {code}\n{err}")
    expect(len(lines) <= 1, f"{len(lines)} error lines of ours\n{err}")
    # mpirun is the first to see it.
    named = re.search(r"process rank (\d+) with PID", err)
    expect(named and int(named.group(1)) == trial.victim, f"rank {trial.victim} is not named\n{err}")
    return trial


def kill(args, directory, rng):
    return died_by_signal(args, directory, rng, signal.SIGKILL)


def segv(args, directory, rng):
    return died_by_signal(args, directory, rng, signal.SIGSEGV)


def named_once(trial, err, victim, writers, timeless=False):
    lines = error_lines(err)
    expect(len(lines) == 1, f"{len(lines)} error lines, not 1\n{err}")
    rank, message = lines[0]
    expect(rank in writers, f"rank {rank} wrote it, not {writers}\n{err}")
    expect(re.search(rf"rank {victim}\b", message) or rank == victim, f"rank {victim} is not named\n{err}")
    expect(re.search(r"\[pid \d+", message), f"no pid\n{err}")


def stop(args, directory, rng):
    """SIGSTOP: the others end the job after their deadline."""
    trial = Trial(args, directory, rng, ("load", "prefill", "decode", "idle"))
    pids = trial.come_to_the_moment()
    since = time.monotonic()
    os.kill(pids[trial.victim], signal.SIGSTOP)
    deadline = INIT_TIMEOUT_S if trial.moment == "load" else STEP_TIMEOUT_S
    code, err = trial.job.end(deadline + SLACK_S, since)
    expect(code not in (0, None), f"exit code {code}\n{err}")
    named_once(trial, err, trial.victim, {trial.lowest_left()})
    return trial


def broken_collective(args, directory, rng, what, pattern):
    """A fault inside the collectives; see faulty_communicator.h."""
    victim, number = rng.randrange(args.ranks), rng.randrange(1, 3000)
    moments = ("prefill", "decode")
    if args.device == "cuda":  # graphs launch decode's collectives again; what they record is eager only twice
        number, moments = rng.randrange(1, 1500), ("prefill",)
    trial = Trial(args, directory, rng, moments, {"LOCKSTEP_FAULT": f"{victim}:{number}:{what}"})
    trial.victim = victim
    trial.job.wait_for_ranks()
    begin = time.monotonic()
    code, err = trial.job.end(START_S, begin)
    expect(code not in (0, None), f"exit code {code}\n{err}")
    if what == "segv":
        named = re.search(r"process rank (\d+) with PID", err)
        expect(named and int(named.group(1)) == victim and not error_lines(err), f"rank {victim} is not named\n{err}")
        return trial
    named_once(trial, err, victim, range(args.ranks))
    expect(re.search(pattern, error_lines(err)[0][1]), f"it does not say {pattern!r}\n{err}")
    return trial


def throws(args, directory, rng):
    trial = broken_collective(args, directory, rng, "throw", r"as asked for \[pid \d+, .*step \d+.*last collective (completed|started)")
    expect(error_lines(trial.job.text())[0][0] == trial.victim, f"not rank {trial.victim} wrote it\n{trial.job.text()}")
    return trial


def crashes_inside(args, directory, rng):
    return broken_collective(args, directory, rng, "segv", "")


def blamed_by_the_next_step(trial):
    """On a GPU nobody waits for the collective that is missing; a rank finds itself elsewhere than rank 0, or all find rank 0 so."""
    writer, message = error_lines(trial.job.text())[0]
    expect(writer == trial.victim or trial.victim == 0 or f"behind: rank {trial.victim} on" in message or
           f"others: rank {trial.victim} on" in message, f"not rank {trial.victim} first\n{trial.job.text()}")
    return trial


def skips(args, directory, rng):
    trial = broken_collective(args, directory, rng, "skip", r"not in the same collective|behind")
    if args.device == "cuda":
        return blamed_by_the_next_step(trial)
    expect(f"repeated one: rank {trial.victim} on" in trial.job.text() or f"behind: rank {trial.victim} on" in trial.job.text() or
           args.ranks < 3, f"not rank {trial.victim} first\n{trial.job.text()}")
    return trial


def repeats(args, directory, rng):
    # After the last collective of a step that samples nothing, the others wait for the next step, and no two ranks meet.
    trial = broken_collective(args, directory, rng, "repeat", r"not in the same collective|ahead of the others|out of step")
    if args.device == "cuda":
        return blamed_by_the_next_step(trial)
    expect(f"repeated one: rank {trial.victim} on" in trial.job.text() or f"others: rank {trial.victim} on" in trial.job.text() or
           f"out of step: rank {trial.victim} on" in trial.job.text() or
           args.ranks < 3, f"not rank {trial.victim} first\n{trial.job.text()}")
    return trial


def slowed(args, directory, rng):
    """A rank that gets a hundredth of its time: either the job goes on, or the rank is named; never another one."""
    trial = Trial(args, directory, rng, ("prefill", "decode"))
    pids = trial.come_to_the_moment()
    pid = pids[trial.victim]
    begin = time.monotonic()
    while time.monotonic() - begin < STEP_TIMEOUT_S + 3 and trial.job.process.poll() is None:
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.198)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.002)
        except ProcessLookupError:
            break
    if trial.job.process.poll() is None and not error_lines(trial.job.text()):
        os.kill(trial.job.process.pid, signal.SIGINT)
        trial.job.end(LAUNCHER_S, time.monotonic())
    else:
        code, err = trial.job.end(STEP_TIMEOUT_S + SLACK_S + 3, begin)
        named_once(trial, err, trial.victim, range(args.ranks))
    return trial


def slow_past_the_deadline(args, directory, rng):
    victim = rng.randrange(args.ranks)
    number = rng.randrange(1, 60 if args.device == "cuda" else 1000)
    trial = Trial(args, directory, rng, ("decode",), {"LOCKSTEP_FAULT": f"{victim}:{number}:slow=60000"})
    trial.victim = victim
    trial.job.wait_for_line(r"memory of rank 0")
    code, err = trial.job.end(STEP_TIMEOUT_S + SLACK_S + 3, time.monotonic())
    expect(code not in (0, None), f"exit code {code}\n{err}")
    named_once(trial, err, victim, {0})
    expect(f"behind: rank {victim} on" in err, f"rank {victim} is not behind\n{err}")
    return trial


def signalled(args, directory, rng, number):
    """SIGTERM or Ctrl-C to mpirun, which passes it on: no error, the documented code where we decide it."""
    trial = Trial(args, directory, rng, ("load", "prefill", "decode"))
    trial.come_to_the_moment()
    since = time.monotonic()
    os.kill(trial.job.process.pid, number)
    code, err = trial.job.end(LAUNCHER_S, since)
    expect(code not in (0, None), f"exit code {code}\n{err}")
    expect(not error_lines(err) and "terminate called" not in err, f"a signal is no error\n{err}")
    if trial.moment == "decode" and number == signal.SIGTERM:  # what was said until then must have been written
        expect("stopped by signal" in err or not re.search(r"first token", err), err)
    return trial


def terminated(args, directory, rng):
    return signalled(args, directory, rng, signal.SIGTERM)


def interrupted(args, directory, rng):
    return signalled(args, directory, rng, signal.SIGINT)


def launcher_killed(args, directory, rng):
    """SIGKILL of mpirun itself at any moment from its start: the ranks end by themselves."""
    trial = Trial(args, directory, rng, ("start", "start", "load", "decode"))
    if trial.moment == "start":
        time.sleep(rng.uniform(0.05, 1.0))
    else:
        trial.come_to_the_moment()
    trial.job.process.kill()
    trial.job.process.wait()
    since = time.monotonic()
    while trial.job.marked() and time.monotonic() - since < SLACK_S:
        time.sleep(0.05)
    trial.job.end(SLACK_S + 1, since)
    # What is Open MPI's own stays, its directory and its segments: mpirun was killed, and its library ends a rank that loses it with
    # _exit(), mostly before our ParentWatch has noticed and removed them. docs/troubleshooting.md says so.
    for segment in left_in("/dev/shm", "vader_segment.*") - args.shm_before:
        os.unlink(Path("/dev/shm") / segment)
    shutil.rmtree(trial.job.scratch, ignore_errors=True)
    trial.job.scratch.mkdir()
    return trial


def weights_vanish(args, directory, rng):
    """The file of the weights is cut short while it is read, or before."""
    model = directory / "model"
    shutil.copytree(DATA / "llama3_gqa", model)
    files = sorted(model.glob("*.safetensors"))
    file = rng.choice(files)
    how = rng.choice(["cut", "directory", "gone", "header"])
    if how == "cut":
        os.truncate(file, rng.randrange(file.stat().st_size))
    elif how == "header":
        with open(file, "r+b") as data:
            data.write(rng.randbytes(64))
    else:
        file.unlink()
        if how == "directory":
            file.mkdir()
    job = Job(args, directory, [args.lockstep, "generate", *device_flags(args), "--model", model, "--prompt-token-ids", "5,6,7"])
    code, err = job.end(START_S, time.monotonic())
    expect(code not in (0, None), f"exit code {code}\n{err}")
    lines = error_lines(err)
    expect(len(lines) == 1 and (file.name in lines[0][1] or "safetensors" in lines[0][1]), f"not one line about {file.name} ({how})\n{err}")
    return None


def disk_full(args, directory, rng):
    """Nothing can be written any more where the output goes: /dev/full."""
    command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", args.lockstep, "generate", *device_flags(args), "--model",
               DATA / "llama_bias", "--prompt-token-ids", "5,6,7", "--max-tokens", str(rng.randrange(1, 200)), "--ignore-eos"]
    job = Job(args, directory, command)
    code, err = job.end(START_S, time.monotonic())
    expect(code not in (0, None), f"exit code {code}: the loss of output went unnoticed\n{err}")
    lines = error_lines(err)
    expect(len(lines) == 1 and re.search("write|space", lines[0][1]), f"not one line about it\n{err}")
    return None


# Takes all memory of the GPU but argv[1] bytes, says so, and holds it until it is killed.
HOG = """
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
context, free, total, taken = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0 and cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(taken), ctypes.c_size_t(free.value - int(sys.argv[1]))) == 0
print("holds", flush=True)
time.sleep(600)
"""


def out_of_gpu_memory(args, directory, rng):
    """Another process has the GPU but for what some of the ranks need: somebody gets none, and says so."""
    left = rng.randrange(2 << 30, 4 << 30)
    hog = subprocess.Popen([sys.executable, "-c", HOG, str(left)], stdout=subprocess.PIPE, text=True)
    try:
        expect(hog.stdout.readline() == "holds\n", "the GPU's memory could not be taken")
        sizes = dict(LOADER, hidden_size=4096, intermediate_size=16384, num_hidden_layers=16)  # 10 GB
        command = [args.lockstep, "generate", *device_flags(args), "--model", yaml_model(directory, sizes), "--load-format", "dummy",
                   "--prompt-token-ids", "5", "--init-timeout", 60]
        job = Job(args, directory, command)
        code, err = job.end(START_S, time.monotonic())
    finally:
        hog.kill()
        hog.wait()
    expect(code not in (0, None), f"exit code {code}\n{err}")
    lines = error_lines(err)
    expect(len(lines) == 1 and re.search("memory|allocate|is full", lines[0][1]), f"nobody says so, once\n{err}")
    return None


def out_of_memory(args, directory, rng):
    """One rank may not have the memory that its share needs."""
    if args.device == "cuda":
        return out_of_gpu_memory(args, directory, rng)
    victim, kib = rng.randrange(args.ranks), rng.randrange(450_000, 520_000)
    limit = f'[ "$OMPI_COMM_WORLD_RANK" != {victim} ] || ulimit -v {kib}; exec "$@"'
    sizes = dict(LOADER, hidden_size=2048, intermediate_size=8192)
    command = ["sh", "-c", limit, "sh", args.lockstep, "generate", *device_flags(args), "--model", yaml_model(directory, sizes),
               "--load-format", "dummy", "--prompt-token-ids", "5", "--init-timeout", 60]
    job = Job(args, directory, command)
    code, err = job.end(START_S, time.monotonic())
    expect(code not in (0, None), f"exit code {code}\n{err}")
    lines = error_lines(err)
    # Where all agree on how a step of the start-up went, the lowest rank says it, of the one that failed.
    told = len(lines) == 1 and (lines[0][0] == victim or f"rank {victim} on" in lines[0][1])
    expect(told and re.search("memory|allocate", lines[0][1]), f"nobody says so of rank {victim}, once\n{err}")
    return None


CASES = {case.__name__: case for case in (kill, segv, stop, throws, crashes_inside, skips, repeats, slowed, slow_past_the_deadline, terminated,
                                          interrupted, launcher_killed, weights_vanish, disk_full, out_of_memory)}


def gpu_memory(args):
    """MiB in use on all GPUs."""
    if args.device == "cpu":
        return 0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return sum(map(int, subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()))


def run_once(args, name, seed):
    rng = random.Random(f"{name} {seed}")
    before = args.shm_before = left_in("/dev/shm", "*")
    gpu_before = gpu_memory(args)
    with tempfile.TemporaryDirectory(prefix="lockstep-campaign-") as directory:
        trial = CASES[name](args, Path(directory), rng)
        left = left_in("/dev/shm", "lockstep*", "vader*", "sem.*") - before
        if not args.shared_machine:
            expect(not left, f"left in /dev/shm: {sorted(left)}")
        # Nothing of ours; mpirun's own directory goes with it unless it was killed.
        left = left_in(Path(directory) / "tmp", "lockstep*", "ompi*/*")
        expect(not left, f"left in the temporary directory: {sorted(left)}")
    deadline = time.monotonic() + SLACK_S
    while (used := gpu_memory(args)) > gpu_before and time.monotonic() < deadline:
        time.sleep(0.2)
    expect(used <= gpu_before, f"{used - gpu_before} MiB of the GPUs are still in use")
    return trial


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--mpi-tests", required=True, help="the binary of tests/mpi")
    parser.add_argument("--case", action="append", choices=list(CASES), help="default: all")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--seed", type=int, help="of the first repetition; the next ones count on. Default: random")
    parser.add_argument("--moment", choices=["start", "load", "prefill", "decode", "idle"], help="default: random")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after the repetition that passes this time")
    parser.add_argument("--allreduce", default="auto")
    parser.add_argument("--shared-machine", action="store_true", help="others use /dev/shm: do not look at it")
    args = parser.parse_args()
    if args.device == "cuda":  # ranks that share a GPU wait for each other's time slices
        global STEP_TIMEOUT_S, INIT_TIMEOUT_S
        STEP_TIMEOUT_S, INIT_TIMEOUT_S = 6, 20
    # The address sanitizer takes terabytes of the address space that one case limits, and ends a rank itself where others crash it.
    impossible = ["out_of_memory", "segv", "crashes_inside"] if "ASAN_OPTIONS" in os.environ else []
    first = random.randrange(1 << 30) if args.seed is None else args.seed
    begin = time.monotonic()
    passed, failed = collections.Counter(), collections.Counter()
    for repetition in range(args.repeat):
        names = [name for name in args.case or CASES if name not in impossible]
        random.Random(first + repetition).shuffle(names)  # so that --seconds leaves out another one each time
        for name in names:
            if time.monotonic() - begin > args.seconds:
                break
            seed = first + repetition
            try:
                trial = run_once(args, name, seed)
                passed[name] += 1
                what = "" if trial is None else f" rank {trial.victim}, {trial.moment}, {getattr(trial.job, 'seconds', 0):.1f} s"
                print(f"passed: {name} --seed {seed}{what}", flush=True)
            except Exception as error:  # whatever it is, the next repetition goes on
                failed[name] += 1
                text = error if isinstance(error, Failure) else traceback.format_exc()
                print(f"FAILED: {name} --seed {seed}: {text}", flush=True)
    for name in args.case or CASES:
        print(f"{name}: {passed[name]} of {passed[name] + failed[name]}")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
