#!/usr/bin/env python3
"""Breaks `lockstep generate` on CPU ranks in one way and checks how it ends.

Whatever is broken, the job must end within seconds, with a non-zero exit code, must print the error once, with rank and host, and must
leave no process and no shared memory behind. `fault_test.py --list` names the cases.
"""

import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402
import processes  # noqa: E402

DATA = Path(__file__).resolve().parent.parent / "golden" / "data"
ERROR_LINE = re.compile(r"^lockstep: error: \[rank (\d+)/(\d+) on (\S+)\] (.*)$", re.MULTILINE)
RANKS = 2
START_S = 60  # for a rank to come up, on a busy machine
END_S = 20  # from the fault to the end of the job
MARK = "LOCKSTEP_FAULT_TEST"

# Address space, in KiB, that start-up fits into and a rank's share of SLOW_TO_LOAD (603,000 KiB of weights) does not.
TOO_LITTLE_KIB = 600000

# Large enough that filling the weights takes seconds, and small enough for any machine (0.5 billion parameters, bf16).
SLOW_TO_LOAD = dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=8, num_attention_heads=16, num_key_value_heads=4,
                    vocab_size=32000, max_position_embeddings=2048)
# Loads at once and then has far more to say than a test waits for.
LONG_TALKER = dict(hidden_size=256, intermediate_size=512, num_hidden_layers=12, num_attention_heads=4, num_key_value_heads=2,
                   vocab_size=4099, max_position_embeddings=40000)
LONG_TALK = ["--load-format", "dummy", "--max-tokens", 30000, "--ignore-eos"]


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Job:
    """One mpirun, its ranks found by a mark in their environment."""

    def __init__(self, args, commands):
        """commands: one (ranks, argument list) for each part of mpirun's A : B notation."""
        self.mark = f"{MARK}={uuid.uuid4()}"
        key, value = self.mark.split("=")
        os.environ[key] = value
        parts = [["-np", str(ranks), *map(str, command)] for ranks, command in commands]
        line = [args.mpirun, *launch.launcher_flags(args.mpirun), *parts[0]]
        for part in parts[1:]:
            line += [":", *part]
        self.binary = os.path.realpath(args.lockstep)
        self.process = launch.start(line)

    def marked(self):
        return processes.marked(self.mark)

    def ranks(self):
        """Process ids of the ranks, by rank."""
        found = processes.ranks(self.mark, self.binary)
        return [found[rank] for rank in sorted(found)]

    def wait_for(self, ready, what):
        """Waits until ready(pids of all ranks)."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            pids = self.ranks()
            if len(pids) == RANKS and ready(pids):
                return pids
            if self.process.poll() is not None:
                out, err = self.process.communicate()
                raise Failure(f"it ended before {what}, with exit code {self.process.returncode}\n{out}\n{err}")
            time.sleep(0.02)
        raise Failure(f"not {what} after {START_S} s")

    def end(self, timeout=END_S + START_S):
        """(exit code, stdout, stderr, seconds until the end); nothing may be left after it."""
        begin = time.monotonic()
        out, err = launch.finish(self.process, timeout)
        seconds = time.monotonic() - begin
        deadline = time.monotonic() + 5  # orted and the kernel may need a moment
        while (left := self.marked()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        expect(not left, f"processes left behind: {left}\n{err}")
        return self.process.returncode, out, err, seconds


def generate(args, model, *more):
    return [args.lockstep, "generate", "--device", "cpu", "--threads", 1, "--model", model, "--prompt-token-ids", "5,6,7", *more]


def resident_bytes(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def yaml_model(directory, sizes):
    path = directory / "model.yaml"
    keys = {"architecture": "LlamaForCausalLM", **sizes, "dtype": "bfloat16"}
    path.write_text("model:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items()))
    return path


def copy_model(directory, name="llama_bias"):
    shutil.copytree(DATA / name, directory / name)
    return directory / name


def expect_one_error(err, pattern):
    """Exactly one error line, with a rank that exists and this host, that says what `pattern` wants. Returns the rank."""
    found = ERROR_LINE.findall(err)
    expect(len(found) == 1, f"{len(found)} error lines, not 1:\n{err}")
    rank, ranks, host, message = found[0]
    expect(int(rank) < int(ranks) == RANKS and socket.gethostname().startswith(host.split(".")[0]), f"wrong rank or host:\n{err}")
    expect(re.search(pattern, message, re.IGNORECASE), f"the error does not say {pattern!r}:\n{err}")
    return int(rank)


def refused(job, pattern):
    code, out, err, seconds = job.end()
    expect(code not in (0, None), f"exit code {code}\n{out}\n{err}")
    expect(out.strip() == "", f"it wrote to stdout: {out}")
    expect_one_error(err, pattern)


# The cases. Each gets the arguments and an empty directory.


def wrong_flag(args, _):
    code, out, err, _ = Job(args, [(RANKS, generate(args, DATA / "llama_bias", "--no-such-flag"))]).end()
    expect(code not in (0, None) and out.strip() == "", f"exit code {code}\n{out}\n{err}")
    expect(len([line for line in err.splitlines() if "--no-such-flag" in line]) == 1, f"the flag is not named once:\n{err}")


def missing_model(args, directory):
    refused(Job(args, [(RANKS, generate(args, directory / "nowhere"))]), "nowhere")


def truncated_checkpoint(args, directory):
    model = copy_model(directory)
    file = model / "model.safetensors"
    os.truncate(file, file.stat().st_size - 100)
    refused(Job(args, [(RANKS, generate(args, model))]), r"model\.safetensors")


def hostile_header(args, directory):
    model = copy_model(directory)
    with open(model / "model.safetensors", "r+b") as file:
        file.write((1 << 62).to_bytes(8, "little"))
    refused(Job(args, [(RANKS, generate(args, model))]), r"model\.safetensors")


def missing_tensor(args, directory):
    model = copy_model(directory)
    file = model / "model.safetensors"
    name = "model.layers.1.mlp.up_proj.weight"
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, data = json.loads(data[8 : 8 + size]), data[8 + size :]
    begin, end = header.pop(name)["data_offsets"]
    for tensor in header.values():
        if tensor.get("data_offsets", [0])[0] >= end:
            tensor["data_offsets"] = [offset - (end - begin) for offset in tensor["data_offsets"]]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[:begin] + data[end:])
    refused(Job(args, [(RANKS, generate(args, model))]), re.escape(name))


def missing_shard(args, directory):
    model = copy_model(directory, "llama3_gqa")
    (model / "model-00003-of-00004.safetensors").unlink()
    refused(Job(args, [(RANKS, generate(args, model))]), r"model-00003-of-00004\.safetensors")


def other_arguments(args, _):
    model = DATA / "llama_bias"
    refused(Job(args, [(1, generate(args, model, "--max-tokens", 3)), (1, generate(args, model, "--max-tokens", 4))]), "rank 1")


def other_model(args, _):
    refused(Job(args, [(1, generate(args, DATA / "llama_bias")), (1, generate(args, DATA / "llama_mha"))]), "rank 1")


def other_config(args, directory):
    """The same arguments, but the directory's config.json differs from node to node: here, by working directory."""
    jobs = []
    for name, theta in (("a", 10000.0), ("b", 20000.0)):
        model = copy_model(directory / name)
        config = json.loads((model / "config.json").read_text())
        config["rope_parameters"]["rope_theta"] = theta
        (model / "config.json").write_text(json.dumps(config))
        jobs.append((1, ["sh", "-c", 'cd "$0" && exec "$@"', directory / name, *generate(args, "llama_bias")]))
    refused(Job(args, jobs), "rank 1")


def out_of_memory(args, directory):
    """One rank may not have the memory that its share needs."""
    command = generate(args, yaml_model(directory, SLOW_TO_LOAD), "--load-format", "dummy")
    limited = ["sh", "-c", f'ulimit -v {TOO_LITTLE_KIB} && exec "$@"', "sh", *command]
    code, out, err, _ = Job(args, [(1, command), (1, limited)]).end()
    expect(code not in (0, None), f"exit code {code}\n{out}\n{err}")
    expect_one_error(err, "memory|allocate")


def killed_while_loading(args, directory):
    job = Job(args, [(RANKS, generate(args, yaml_model(directory, SLOW_TO_LOAD), "--load-format", "dummy"))])
    pids = job.wait_for(lambda pids: resident_bytes(pids[1]) > 60 << 20, "loading")
    killed(job, pids[1])


def talking(args, directory, *more):
    job = Job(args, [(RANKS, generate(args, yaml_model(directory, LONG_TALKER), *LONG_TALK, *more))])
    return job, job.wait_for(lambda pids: min(map(cpu_seconds, pids)) > 1.5, "decoding")


def killed_while_decoding(args, directory):
    job, pids = talking(args, directory)
    killed(job, pids[1])


def killed_root_while_decoding(args, directory):
    job, pids = talking(args, directory)
    killed(job, pids[0])


def killed(job, pid):
    os.kill(pid, signal.SIGKILL)
    code, _, err, seconds = job.end()
    expect(code not in (0, None) and seconds < END_S, f"exit code {code} after {seconds:.1f} s\n{err}")
    # mpirun sees a dead rank first and says which one and where; a surviving rank may have noticed, too.
    expect(len(ERROR_LINE.findall(err)) <= 1, f"more than one error line:\n{err}")
    expect(re.search(r"rank\W+\d+", err) and socket.gethostname().split(".")[0] in err, f"no rank or host named:\n{err}")


def stopped_while_decoding(args, directory):
    """A rank that hangs: the others end the job after --step-timeout."""
    job, pids = talking(args, directory, "--step-timeout", 3)
    os.kill(pids[1], signal.SIGSTOP)
    code, _, err, seconds = job.end()
    expect(code not in (0, None) and seconds < END_S, f"exit code {code} after {seconds:.1f} s\n{err}")
    expect_one_error(err, "step|waited|rank")


def interrupted(args, directory):
    """Ctrl-C: mpirun passes it on; no error, no abort."""
    job, _ = talking(args, directory)
    os.kill(job.process.pid, signal.SIGINT)
    code, _, err, seconds = job.end()
    expect(code not in (0, None) and seconds < END_S, f"exit code {code} after {seconds:.1f} s\n{err}")
    expect(not ERROR_LINE.findall(err) and "terminate called" not in err, f"an interrupt is no error:\n{err}")


CASES = [wrong_flag, missing_model, truncated_checkpoint, hostile_header, missing_tensor, missing_shard, other_arguments, other_model,
         other_config, out_of_memory, killed_while_loading, killed_while_decoding, killed_root_while_decoding,
         stopped_while_decoding, interrupted]


def shared_memory():
    return {path.name for path in Path("/dev/shm").glob("lockstep*")}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(case.__name__ for case in CASES))
        return 0
    parser = launch.parser(__doc__)
    parser.add_argument("--case", required=True, choices=[case.__name__ for case in CASES])
    args = parser.parse_args()
    case = next(case for case in CASES if case.__name__ == args.case)
    before = shared_memory()
    try:
        with tempfile.TemporaryDirectory(prefix="lockstep-fault-") as directory:
            case(args, Path(directory))
        left = shared_memory() - before
        expect(not left, f"left in /dev/shm: {sorted(left)}")
    except (Failure, TimeoutError) as error:
        print(f"FAILED: {args.case}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
