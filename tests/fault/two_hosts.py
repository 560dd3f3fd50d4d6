#!/usr/bin/env python3
"""Two hosts that are network namespaces of this machine, each with its own host name, joined by a link that can be cut or made lossy.

Needs root, `ip`, `nsenter`, `unshare`, Open MPI, and `tc` for the losses; skips itself (exit code 77) where it may not make namespaces.
Cases: `same` gives the tokens of one host; `cut` takes the link away at a random moment of load, prefill or decode: the ranks of both
sides must end within the deadline plus five seconds, and the side of rank 0 must name the ranks of the other; `loss` drops 30 % of the
packets: the job must either give the same tokens or end with an error that names a rank, within its deadlines.

  two_hosts.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --case cut --repeat 100
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402
from campaign import (DATA, INIT_TIMEOUT_S, SLACK_S, STEP_TIMEOUT_S, TALKER, Failure, Job, error_lines, expect, left_in,  # noqa: E402
                      yaml_model)

RANKS = 4
# mpirun's own daemons must notice a dead link, too: keepalives of 2 s, 1 s apart, 3 times.
KEEPALIVE = ["--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1", "--mca", "oob_tcp_keepalive_probes", "3"]
KEEPALIVE_S = 6


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


class Hosts:
    """lockstep-a-PID and lockstep-b-PID, 10.99.0.1 and 10.99.0.2."""

    def __init__(self, directory):
        self.names = [f"lockstep-{side}-{os.getpid()}" for side in "ab"]
        self.links = [f"ls{side}{os.getpid()}" for side in "ab"]
        a, b = self.names
        try:
            for name in self.names:
                run("ip", "netns", "add", name)
            run("ip", "link", "add", self.links[0], "netns", a, "type", "veth", "peer", "name", self.links[1], "netns", b)
            for i, (name, link) in enumerate(zip(self.names, self.links), 1):
                run("ip", "-n", name, "addr", "add", f"10.99.0.{i}/24", "dev", link)
                run("ip", "-n", name, "link", "set", link, "up")
                run("ip", "-n", name, "link", "set", "lo", "up")
        except (subprocess.CalledProcessError, OSError):
            self.remove()
            raise
        # In the place of ssh: HOST COMMAND….
        self.agent = directory / "agent"
        self.agent.write_text(f'#!/bin/sh\nshift\nexec nsenter --net=/run/netns/{b} unshare --uts sh -c "hostname {b} && $*"\n')
        self.agent.chmod(0o755)
        self.hostfile = directory / "hosts"
        self.hostfile.write_text("10.99.0.1 slots=2\n10.99.0.2 slots=2\n")

    def command(self, args, *command):
        a = self.names[0]
        return ["nsenter", f"--net=/run/netns/{a}", "unshare", "--uts", "sh", "-c", f'hostname {a} && exec "$@"', "sh", args.mpirun,
                "--hostfile", self.hostfile, "--bind-to", "none", "--mca", "plm_rsh_agent", self.agent, "--mca", "btl_tcp_if_include",
                "10.99.0.0/24", "--mca", "oob_tcp_if_include", "10.99.0.0/24", *KEEPALIVE, "-np", RANKS, *command]

    def cut(self):
        run("ip", "-n", self.names[0], "link", "set", self.links[0], "down")

    def lose(self, percent):
        for name, link in zip(self.names, self.links):
            self.netem(name, link, percent)

    @staticmethod
    def netem(name, link, percent):
        try:
            run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", link, "root", "netem", "loss", f"{percent}%")
        except subprocess.CalledProcessError as error:
            raise NoNetem(error.stderr.strip()) from None

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


class NoNetem(Exception):
    pass


class TwoHostJob(Job):
    """`mpirun` in the first namespace."""

    def __init__(self, args, directory, hosts, command):
        super().__init__(args, directory, command, line=[str(part) for part in hosts.command(args, *command)])


def generate(args, model, *more):
    return [args.lockstep, "generate", "--device", "cpu", "--threads", 1, "--model", model, "--step-timeout", STEP_TIMEOUT_S, "--init-timeout",
            INIT_TIMEOUT_S, *more]


def short_run(args, model):
    return generate(args, model, "--prompt-token-ids", "5,6,7,8,9", "--max-tokens", 40, "--ignore-eos", "--dtype", "float32")


def tokens_of_one_host(args, model):
    result = subprocess.run([str(part) for part in short_run(args, model)], capture_output=True, text=True, env=launch.environment())
    expect(result.returncode == 0, result.stderr)
    return result.stdout


def same(args, directory, hosts, _):
    model = DATA / "llama_mha"
    job = TwoHostJob(args, directory, hosts, short_run(args, model))
    code, err = job.end(90, time.monotonic())
    expect(code == 0 and "2 ranks of this host, MPI between hosts, 4 ranks" in err, f"exit code {code}\n{err}")
    expect(job.out.read_text() == tokens_of_one_host(args, model), f"other tokens than those of one host: {job.out.read_text()}")


def cut(args, directory, hosts, rng):
    sizes = dict(TALKER)
    moment = rng.choice(["load", "prefill", "decode"])
    if moment == "load":
        sizes.update(vocab_size=64000, num_hidden_layers=24, hidden_size=1024, intermediate_size=4096)
    prompt = ",".join(str(rng.randrange(3, 4000)) for _ in range(6000 if moment == "prefill" else 5))
    job = TwoHostJob(args, directory, hosts, generate(args, yaml_model(directory, sizes), "--load-format", "dummy", "--prompt-token-ids", prompt,
                                                      "--max-tokens", 30000, "--ignore-eos", "--max-num-batched-tokens", 64))
    job.wait_for_line(r"collectives:" if moment == "load" else r"memory of rank 0")
    time.sleep(rng.uniform(0, 1.0))
    print(f"cut in {moment}", flush=True)
    since = time.monotonic()
    hosts.cut()
    deadline = max(INIT_TIMEOUT_S if moment == "load" else STEP_TIMEOUT_S, KEEPALIVE_S)
    code, err = job.end(deadline + SLACK_S, since)
    expect(code not in (0, None), f"exit code {code}\n{err}")
    lines = error_lines(err)
    # mpirun's keepalive may be the first to notice: it then ends all, and says that it has lost a daemon.
    if lines:
        expect(len(lines) == 1 and lines[0][0] == 0, f"not one line, of rank 0\n{err}")
        expect(re.search(r"rank [23] on " + hosts.names[1], lines[0][1]), f"the other host's ranks are not named\n{err}")
    else:
        expect(re.search("daemon|lost|communication", err), f"no cause\n{err}")


def loss(args, directory, hosts, _):
    model = DATA / "llama_mha"
    hosts.lose(30)
    job = TwoHostJob(args, directory, hosts, short_run(args, model))
    code, err = job.end(150, time.monotonic())
    if code == 0:
        expect(job.out.read_text() == tokens_of_one_host(args, model), f"other tokens than those of one host: {job.out.read_text()}")
    else:
        lines = error_lines(err)
        expect(len(lines) <= 1 and (re.search(r"rank \d", err) or "daemon" in err), f"no rank is named, or more than once\n{err}")


CASES = {case.__name__: case for case in (same, cut, loss)}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    parser = launch.parser(__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), help="default: all")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    args.ranks = RANKS
    if any(shutil.which(tool) is None for tool in ("ip", "nsenter", "unshare", "tc")) or os.geteuid() != 0:
        print("skipped: needs root, ip, tc, nsenter and unshare")
        return launch.SKIPPED
    first = random.randrange(1 << 30) if args.seed is None else args.seed
    failed = passed = skipped = 0
    for repetition in range(args.repeat):
        for name in args.case or CASES:
            seed = first + repetition
            with tempfile.TemporaryDirectory(prefix="lockstep-hosts-") as directory:
                try:
                    hosts = Hosts(Path(directory))
                except (subprocess.CalledProcessError, OSError) as error:
                    print(f"skipped: network namespaces cannot be made here: {error}")
                    return launch.SKIPPED
                try:
                    before = left_in("/dev/shm", "lockstep*")
                    CASES[name](args, Path(directory), hosts, random.Random(f"{name} {seed}"))
                    expect(not left_in("/dev/shm", "lockstep*") - before, "something was left in /dev/shm")
                    passed += 1
                    print(f"passed: {name} --seed {seed}", flush=True)
                except NoNetem as error:
                    print(f"skipped: {name}: this kernel loses no packets: {error}")
                    skipped += 1
                except (Failure, subprocess.CalledProcessError) as error:
                    failed += 1
                    print(f"FAILED: {name} --seed {seed}: {error}", flush=True)
                finally:
                    hosts.remove()
    print(f"{passed} of {passed + failed}")
    return 1 if failed else launch.SKIPPED if skipped and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
