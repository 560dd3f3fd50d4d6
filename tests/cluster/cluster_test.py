#!/usr/bin/env python3
"""Submits launch/slurm/*.sbatch to a real two-node Slurm cluster on this machine (slurm_cluster.py), with CPU ranks on both nodes: output,
job log, scancel, time limit with requeue, a node that dies; then the same ranks by plain `mpirun --hostfile`.

  cluster_test.py --lockstep build/cpu/bin/lockstep --mpirun mpirun

Exit code 77, and a line that says why, where there can be no cluster.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "tools"))
import model_files  # noqa: E402
from slurm_cluster import NODES, Cluster, Failure, run, wait_for, why_not  # noqa: E402

SKIPPED = 77
ONE_RANK_A_NODE = ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=1"]
LONG = 60000  # requests that no job of this test answers to the end


def expect(condition, what):
    if not condition:
        raise Failure(what)


def say(text):
    print(f"[{time.monotonic() - START:5.1f} s] {text}", flush=True)


def whole_lines(path):
    """What has its end. Answers may hold characters that str.splitlines() takes for line ends, and may be written while we read."""
    return path.read_text().split("\n")[:-1]


START = time.monotonic()


class Test:
    def __init__(self, cluster, args):
        self.cluster = cluster
        self.args = args
        self.work = cluster.shared / "work"
        self.work.mkdir()
        self.launch = cluster.shared / "launch"
        shutil.copytree(TESTS.parent / "launch", self.launch)
        (cluster.shared / "bin").mkdir()
        self.lockstep = cluster.shared / "bin" / "lockstep"  # where nodes see it, too
        shutil.copy(args.lockstep, self.lockstep)
        self.model = cluster.shared / "model"
        model_files.Model().write(self.model)
        self.prompts = cluster.shared / "prompts.txt"
        self.prompts.write_text("ab\nba\nabba\n")

    def submit(self, name, options, variables, *arguments):
        environment = dict(self.cluster.environment, LOCKSTEP=str(self.lockstep), MODEL=str(self.model),
                           **{key: str(value) for key, value in variables.items()})
        out = run("sbatch", "--parsable", *options, self.launch / "slurm" / f"{name}.sbatch", *arguments, env=environment, cwd=self.work)
        return out.strip().split(";")[0]

    def log_of(self, name, number):
        array = "_4294967294" if name == "batch" else ""
        path = self.work / f"lockstep-{name}-{number}{array}.log"
        return path.read_text() if path.exists() else ""

    def finish(self, name, number, timeout=60):
        job = self.cluster.wait_job(number, timeout=timeout)
        log = self.log_of(name, number)
        expect(job["JobState"] == "COMPLETED" and job["ExitCode"] == "0:0", f"{name}: {job['JobState']} {job['ExitCode']}\n{log}\n{self.cluster.logs()}")
        return log

    def requests(self, name, count, tokens):
        path = self.work / name
        path.write_text("".join(json.dumps({"custom_id": f"r{i}", "prompt": [1 + i % 50, 2, 3], "max_tokens": tokens, "ignore_eos": True}) + "\n"
                                for i in range(count)))
        return path

    # ---- one method for each thing that is tested ----

    def start_long_batch(self):
        """A batch that gets SIGUSR1 before its time limit and requeues itself."""
        self.long_output = self.work / "long-out.jsonl"
        return self.submit("batch", [*ONE_RANK_A_NODE, "--time=1", "--signal=USR1@45"],
                           {"INPUT": self.requests("long.jsonl", LONG, 60), "OUTPUT": self.long_output}, "--threads", "1", "--max-model-len", "64")

    def generate(self):
        number = self.submit("generate", ONE_RANK_A_NODE, {"PROMPTS": self.prompts, "MAX_TOKENS": 5}, "--threads", "1")
        log = self.finish("generate", number)
        lines = [json.loads(line) for line in whole_lines(self.work / f"results-{number}.jsonl")]
        expect(len(lines) == 3, f"{len(lines)} results\n{log}")
        for node in NODES:
            expect(f"on {node}: read" in log, f"no rank on {node}\n{log}")
        expect("each rank on a host of its own" in log or "2 hosts" in log or "MPI" in log, log)
        job = self.cluster.job(number)
        expect(job["NumNodes"] == "2" and job["TresPerNode"] == "gres:gpu:1", job)

    def generate_pmi2(self):
        """Open MPI as Debian builds it speaks pmix only: lockstep must say so, not run N times alone."""
        number = self.submit("generate", ONE_RANK_A_NODE, {"PROMPTS": self.prompts, "MAX_TOKENS": 5, "MPI_PLUGIN": "pmi2"}, "--threads", "1")
        job = self.cluster.wait_job(number)
        log = self.log_of("generate", number)
        if job["JobState"] != "COMPLETED":
            expect("started 2 processes, but MPI gives a world of 1" in log or "OPAL ERROR" in log, log)

    def batch(self):
        source, output = self.requests("small.jsonl", 30, 8), self.work / "small-out.jsonl"
        number = self.submit("batch", ONE_RANK_A_NODE, {"INPUT": source, "OUTPUT": output}, "--threads", "1")
        self.finish("batch", number)
        answers = [json.loads(line)["custom_id"] for line in whole_lines(output)]
        expect(sorted(answers) == sorted(f"r{i}" for i in range(30)), answers)

    def batch_array(self):
        source, output = self.requests("array.jsonl", 11, 4), self.work / "array-out.jsonl"
        number = self.submit("batch", [*ONE_RANK_A_NODE, "--array=0-1"], {"INPUT": source, "OUTPUT": output}, "--threads", "1")
        done = [f"{number}_0", f"{number}_1"]
        for task in done:
            job = self.cluster.wait_job(task)
            expect(job["JobState"] == "COMPLETED", f"{task}: {job}")
        answers = [json.loads(line)["custom_id"] for i in range(2) for line in whole_lines(Path(f"{output}.{i}"))]
        expect(sorted(answers) == sorted(f"r{i}" for i in range(11)), answers)

    def bench(self):
        number = self.submit("bench", [*ONE_RANK_A_NODE, "--oversubscribe"], {}, "--threads", "1", "--batch-sizes", "1", "--output-len", "8", "--skip", "2", "--context", "8",
                             "--repeats", "1")
        log = self.finish("bench", number)
        expect("busbw" in log, log)
        expect(json.loads((self.work / f"latency-{number}.json").read_text())["ranks"] == 2, "latency of 2 ranks")

    def doctor(self):
        number = self.submit("doctor", ONE_RANK_A_NODE, {}, "--json")
        job = self.cluster.wait_job(number)
        log = self.log_of("doctor", number)
        report = json.loads(log[log.index("\n{") if not log.startswith("{") else 0:])
        failed = [c for c in report["checks"] if c["status"] == "fail"]
        expect(job["JobState"] == "COMPLETED" and not failed, f"{job['JobState']}\n{json.dumps(failed, indent=1)}")
        ranks = next(c for c in report["checks"] if c["check"] == "ranks")
        expect(ranks["seen"] == "2 ranks on 2 hosts", ranks)
        expect(any(c["check"] == "AllReduce sums" and c["status"] == "pass" for c in report["checks"]), report)

    def serve(self):
        number = self.submit("serve", ONE_RANK_A_NODE, {"PORT": 8123, "API_KEY": "secret"}, "--threads", "1", "--max-model-len", "64")
        address = f"http://{self.cluster.net}.11:8123/v1/models"  # rank 0 is on the first node

        def answered():
            job = self.cluster.job(number)
            expect(job["JobState"] in ("PENDING", "CONFIGURING", "RUNNING"), f"serve: {job['JobState']}\n{self.log_of('serve', number)}")
            try:
                with urllib.request.urlopen(urllib.request.Request(address, headers={"Authorization": "Bearer secret"}), timeout=5) as reply:
                    return json.load(reply)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return None
        try:
            models = wait_for("an answer of serve", answered, 40)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.log_of('serve', number)}") from None
        expect(str(self.model) in [m["id"] for m in models["data"]], models)
        try:
            urllib.request.urlopen(address, timeout=5)
            raise Failure("serve answers without the key")
        except urllib.error.HTTPError as error:
            expect(error.code == 401, error)
        expect("ssh -N -L 8000:node1:8123" in self.log_of("serve", number), self.log_of("serve", number))
        self.cluster.slurm("scancel", number)
        self.cluster.wait_job(number)

    def scancel(self):
        output = self.work / "cancelled.jsonl"
        number = self.submit("batch", [*ONE_RANK_A_NODE, "--time=5"], {"INPUT": self.work / "long.jsonl", "OUTPUT": output}, "--threads", "1", "--max-model-len", "64")
        wait_for("answers", lambda: output.exists() and output.stat().st_size > 0, 40)
        self.cluster.slurm("scancel", number)
        job = self.cluster.wait_job(number, timeout=30)
        expect(job["JobState"] == "CANCELLED", job)
        for node in NODES:
            def gone(node=node):
                ps = subprocess.run(self.cluster.on_node(node, "pgrep", "-fc", "cancelled.jsonl"), capture_output=True, text=True)
                return ps.stdout.strip() == "0"
            wait_for(f"the end of all ranks on {node}", gone, 20)
        for line in whole_lines(output):
            json.loads(line)

    def time_limit(self, number):
        """The batch of start_long_batch(): SIGUSR1, exit code 75, requeued, and it goes on where it was."""
        def requeued():
            job = self.cluster.job(number)
            expect(job["JobState"] in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"),
                   f"{job['JobState']} {job['ExitCode']}\n{self.log_of('batch', number)}")
            return job.get("Restarts") == "1" and job["JobState"] in ("RUNNING", "PENDING")
        wait_for("the requeue", requeued, 90)
        log = wait_for("the second start", lambda: "goes on after" in (text := self.log_of("batch", number)) and text, 60)
        # What the first run said at its end, not the file: the second may have answered more by now.
        said = [int(line.split(f" of {LONG} requests answered")[0].split()[-1]) for line in log.splitlines() if f" of {LONG} requests answered" in line]
        counted = int(log.split("goes on after ")[1].split()[0])
        expect(said and 0 < counted == said[0], f"goes on after {counted}, the first run ended after {said}\n{log}")

    def node_dies(self, number):
        """Of a running batch, which Slurm requeues: the rank that is left ends, and the job goes on when the node is back."""
        grown = len(whole_lines(self.long_output))
        wait_for("more answers", lambda: len(whole_lines(self.long_output)) > grown, 40)
        self.cluster.kill_node("node2")
        say("node2 is dead")

        def requeued():
            job = self.cluster.job(number)
            return int(job.get("Restarts", 0)) >= 2 and job["JobState"] == "PENDING"
        wait_for("the requeue after a dead node", requeued, 60)
        ps = subprocess.run(self.cluster.on_node("node1", "pgrep", "-fc", "lockstep batch"), capture_output=True, text=True)
        expect(ps.stdout.strip() == "0", f"{ps.stdout.strip()} processes are left on node1")
        self.cluster.start_node("node2")
        wait_for("node2 back", lambda: self.cluster.node_states().get("node2") in ("idle", "mix", "alloc"), 40)
        ids = [json.loads(line)["custom_id"] for line in whole_lines(self.long_output)]
        expect(len(ids) == len(set(ids)), "an answer is there twice")
        self.cluster.slurm("scancel", number)
        self.cluster.wait_job(number, timeout=30)

    def job_log(self):
        text = (self.cluster.shared / "jobs.log").read_text()
        for state in ("JobState=COMPLETED", "JobState=CANCELLED"):
            expect(state in text, f"{state} is not in the job log\n{text}")
        expect("NodeCnt=2" in text and "ProcCnt=2" in text, text)

    def mpirun(self):
        """Without Slurm: a host file, and a remote shell that enters the nodes' namespaces."""
        (self.cluster.shared / "hostfile").write_text("".join(f"{n} slots=1\n" for n in NODES))
        agent = self.cluster.shared / "remote-shell"
        cases = "\n".join(f"  {n}) exec nsenter --target={self.cluster.init_of(n)} --net --mount --uts --ipc --pid sh -c \"$*\" ;;" for n in NODES)
        agent.write_text(f"#!/bin/sh\nhost=$1\nshift\ncase $host in\n{cases}\nesac\n")
        agent.chmod(0o755)
        environment = dict(self.cluster.environment, OMPI_MCA_plm_rsh_agent=str(agent), OMPI_MCA_btl_tcp_if_include=f"{self.cluster.net}.0/24",
                           OMPI_MCA_oob_tcp_if_include=f"{self.cluster.net}.0/24", OMPI_MCA_plm="rsh")
        for name in list(environment):
            if name.startswith("SLURM"):
                del environment[name]
        # Debian's mpirun takes this machine for the first host unless it is told of others only.
        done = subprocess.run([str(x) for x in (self.args.mpirun, "-np", 2, "--hostfile", self.cluster.shared / "hostfile", "--bind-to", "none", self.lockstep,
                                                "generate", "--model", self.model, "-p", "ab", "--max-tokens", 4, "--threads", 1, "--output-format", "json")],
                              env=environment, cwd=self.work, capture_output=True, text=True, timeout=60)
        expect(done.returncode == 0, f"mpirun gave {done.returncode}\n{done.stdout}{done.stderr}")
        json.loads(done.stdout)
        for node in NODES:
            expect(f"on {node}: read" in done.stderr, done.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstep", type=Path)
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--only", help="one part")
    parser.add_argument("--why-not", action="store_true", help="only say whether there can be a cluster here")
    args = parser.parse_args()
    reason = why_not()
    if args.why_not:
        print(f"cluster.slurm will be skipped: {reason}" if reason else "cluster.slurm: two Slurm nodes in namespaces")
        return 0
    if reason:
        print(f"skipped: no Slurm cluster can be made here: {reason}")
        return SKIPPED
    with Cluster() as cluster:
        test = Test(cluster, args)
        say(f"two nodes of {cluster.cpus} cores are up")
        if args.only:
            getattr(test, args.only)()
            return 0
        number = test.start_long_batch()
        for part in (test.generate, test.generate_pmi2, test.batch, test.batch_array, test.bench, test.doctor, test.serve, test.scancel, test.mpirun):
            part()
            say(part.__name__)
        test.time_limit(number)
        say("time_limit")
        test.node_dies(number)
        say("node_dies")
        test.job_log()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
