#!/usr/bin/env python3
"""Runs `lockstep batch`, breaks it in one way, starts it again, and checks that the output is what it would have been.

  batch_test.py --list
  batch_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --case killed --ranks 2 --kills 100
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import fault_test  # noqa: E402
import launch  # noqa: E402
from fault_test import Failure, Job, expect  # noqa: E402

TIMEOUT = 120
REQUEUE = 75
MODEL = dict(hidden_size=192, intermediate_size=384, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=3,
             vocab_size=2053, max_position_embeddings=256)


def request_lines(count, tokens):
    """Prompts that begin alike, sampled in several ways, in both forms of lines."""
    rng = random.Random(7)
    common = [rng.randrange(2053) for _ in range(40)]
    lines = []
    for i in range(count):
        body = {"prompt": common[: rng.randrange(1, 40)] + [rng.randrange(2053) for _ in range(rng.randrange(1, 20))],
                "max_tokens": rng.randrange(1, tokens), "ignore_eos": True, "temperature": rng.choice([0, 0.8]),
                "n": 3 if i % 9 == 4 else 1}
        if i % 5 == 1:
            body["seed"] = i
        if i % 7 == 2:
            body["logprobs"] = 2
        if i % 2:
            lines.append(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}))
        else:
            lines.append(json.dumps({**body, "custom_id": f"r{i}"}))
    return lines


class Batch:
    def __init__(self, args, directory, lines):
        self.args = args
        self.directory = directory
        self.model = fault_test.yaml_model(directory, MODEL)
        self.input = directory / "in.jsonl"
        self.input.write_text("\n".join(lines) + "\n")
        self.count = len(lines)

    def command(self, output, *more):
        return [self.args.lockstep, "batch", "--model", self.model, "--load-format", "dummy", "--dtype", "float32", "--device", self.args.device,
                "--threads", 1, *launch.same_tokens(self.args), *(() if "--max-num-seqs" in more else ("--max-num-seqs", 8)), "-i", self.input, "-o", output, *more]

    def start(self, output, *more):
        return Job(self.args, [(self.args.ranks, self.command(output, *more))])

    def run(self, output, *more, code=0):
        found, out, err, _ = self.start(output, *more).end(TIMEOUT)
        expect(found == code, f"exit code {found}, not {code}\n{out}\n{err}")
        expect(out == "", f"it wrote to stdout: {out}")
        return err

    def refused(self, words, output, *more):
        err = self.run(output, *more, code=1)
        for word in words:
            expect(word in err, f"the error does not say {word!r}:\n{err}")


def read(output):
    """Answers by custom_id; every line is whole and no id comes twice."""
    text = output.read_text()
    expect(text.endswith("\n") or not text, "the last line is torn")
    lines = [json.loads(line) for line in text.splitlines()]
    answers = {line["custom_id"]: line for line in lines}
    expect(len(answers) == len(lines), "an answer is there twice")
    for line in lines:
        expect(set(line) == {"id", "custom_id", "response", "error"}, line)
        if line["response"] is not None:
            del line["response"]["body"]["created"]
    return answers


def case_answers(args, directory):
    lines = request_lines(40, 12)
    wrong = {"{": "invalid_json_line", "[]": "invalid_request", '{"prompt": [1], "bogus": 1, "custom_id": "bogus"}': "invalid_request",
             '{"prompt": [], "custom_id": "empty"}': "invalid_request", '{"prompt": [2053], "custom_id": "id"}': "invalid_request",
             '{"prompt": "text", "custom_id": "text"}': "invalid_request", '{"custom_id": "none"}': "invalid_request",
             '{"custom_id": "chat", "messages": [{"role": "user", "content": "hi"}]}': "invalid_request",
             '{"custom_id": "url", "method": "POST", "url": "/v1/embeddings", "body": {}}': "invalid_request",
             '{"custom_id": "get", "method": "GET", "url": "/v1/completions", "body": {"prompt": [1]}}': "invalid_request",
             '{"custom_id": "model", "prompt": [1], "model": "another"}': "invalid_request",
             '{"custom_id": "json", "prompt": [1], "response_format": {"type": "json_object"}}': "invalid_request",
             '{"custom_id": "hot", "prompt": [1], "temperature": "hot"}': "invalid_request",
             '{"custom_id": "long", "prompt": %s}' % json.dumps([1] * 256): "invalid_request"}
    two = json.dumps({"custom_id": "two", "prompt": [[1, 2, 3], [4]], "n": 2, "max_tokens": 3, "ignore_eos": True, "logprobs": 1, "echo": True})
    batch = Batch(args, directory, lines[:20] + list(wrong) + ["", "  "] + lines[20:] + [two])
    output = directory / "out.jsonl"
    err = batch.run(output)
    total = len(lines) + len(wrong) + 1
    expect(f"{total} of {total} requests answered, {len(wrong)} of them with an error" in err, err)
    answers = read(output)
    expect(len(answers) == total, f"{len(answers)} answers")
    errors = {key: answer["error"] for key, answer in answers.items() if answer["error"] is not None}
    expect(sorted(error["code"] for error in errors.values()) == sorted(wrong.values()), errors)
    expect(all(answers[key]["response"] is None for key in errors), errors)
    expect("line 21" in errors["line-21"]["message"] and "bogus" in errors["bogus"]["message"], errors)
    for i, line in enumerate(lines):
        body = json.loads(line)
        body = body.get("body", body)
        answer = answers[f"r{i}"]["response"]["body"]
        expect(len(answer["choices"]) == body["n"], answer)
        for choice in answer["choices"]:
            expect(len(choice["token_ids"]) == body["max_tokens"] and choice["finish_reason"] == "length", choice)
            expect((choice["logprobs"] is not None) == ("logprobs" in body), choice)
        tokens = body["n"] * body["max_tokens"]
        expect(answer["usage"] == {"prompt_tokens": len(body["prompt"]), "completion_tokens": tokens,
                                   "total_tokens": len(body["prompt"]) + tokens}, answer["usage"])
    choices = answers["two"]["response"]["body"]["choices"]
    expect([choice["index"] for choice in choices] == [0, 1, 2, 3], choices)
    for choice, prompt in zip(choices, (3, 3, 1, 1)):
        values = choice["logprobs"]["token_logprobs"]
        expect(len(values) == prompt + 3 and values[0] is None and all(value < 0 for value in values[1:]), choice)
    status = json.loads((directory / "out.jsonl.status.json").read_text())
    expect(status["state"] == "finished" and status["done"] == status["requests"] == total and status["failed"] == len(wrong), status)
    expect(status["prefix_hits"] > 0, status)

    # In order, in shards, without prefix caching, and again: the same answers.
    for more in (["--ordered"], ["--no-enable-prefix-caching", "--max-num-seqs", 3]):
        other = directory / f"{more[0]}.jsonl"
        batch.run(other, *more)
        expect(read(other) == answers, f"other answers with {more}")
    ids = [json.loads(line)["id"] for line in (directory / "--ordered.jsonl").read_text().splitlines()]
    numbers = [int(name.removeprefix("batch_req_")) for name in ids]
    expect(numbers == sorted(numbers), "not in the order of the lines")
    shards = {}
    for i in range(3):
        batch.run(directory / f"shard{i}.jsonl", "--shard", f"{i}/3")
        part = read(directory / f"shard{i}.jsonl")
        expect(len(part) >= total // 3 - 2 and not set(part) & set(shards), "the shards overlap")
        shards.update(part)
    expect(shards == answers, "other answers in shards")
    before = output.read_bytes()
    expect("answered already" in batch.run(output), "it should have nothing to do")
    expect(output.read_bytes() == before, "a job that was done has changed its output")


def case_refusals(args, directory):
    batch = Batch(args, directory, request_lines(12, 6))
    output = directory / "out.jsonl"
    batch.run(output)
    answers = read(output)
    state = directory / "out.jsonl.state"

    # A tail that is torn, zeros, or no answer, is cut off; what was lost is made again.
    whole = output.read_text().splitlines(keepends=True)
    for tail in (whole[-1][:-1], whole[-1][:20], "\0" * 4096, "null\n" + whole[-1], whole[0]):
        output.write_text("".join(whole[:5]) + tail)
        err = batch.run(output)
        expect("cut off" in err and read(output) == answers, f"after the tail {tail[:30]!r}\n{err}")
    output.unlink()
    batch.run(output)
    expect(read(output) == answers, "after the output was lost")

    # Another input, seed or model: refused, unless all begins anew.
    text = batch.input.read_text()
    batch.input.write_text(text.replace("r3", "r3b"))
    batch.refused(["another job", "input", "--restart"], output)
    expect(read(output) == answers, "a refused job has changed the output")
    batch.run(output, "--restart")
    expect("r3b" in read(output), "--restart did not begin anew")
    batch.input.write_text(text)
    batch.run(output, "--restart")
    expect(read(output) == answers, "after --restart")
    batch.refused(["another job", "seed (was 0, is 9)"], output, "--seed", 9)
    batch.refused(["another job", "weights"], output, "--dummy-seed", 9)
    batch.refused(["another job", "shard"], output, "--shard", "0/2")
    state.write_text("{")
    batch.refused(["not the state of a batch"], output)
    state.unlink()
    batch.refused(["exists", "--restart"], output)
    batch.refused(["both name"], batch.input)
    batch.input.write_text("")
    batch.run(directory / "none.jsonl")
    expect(read(directory / "none.jsonl") == {}, "answers to nothing")


def wait_for_answers(output, count, job):
    deadline = time.monotonic() + TIMEOUT
    while not output.exists() or output.read_bytes().count(b"\n") < count:
        expect(job.process.poll() is None and time.monotonic() < deadline, f"fewer than {count} answers came")
        time.sleep(0.01)


def case_two_writers(args, directory):
    batch = Batch(args, directory, request_lines(400, 80))
    output = directory / "out.jsonl"
    job = batch.start(output)
    wait_for_answers(output, 1, job)
    batch.refused(["another job writes this output", "process"], output, "--lock-timeout", 0.3)
    os.kill(job.process.pid, signal.SIGKILL)
    job.end()


def case_signals(args, directory):
    batch = Batch(args, directory, request_lines(150, 80))
    batch.run(directory / "undisturbed.jsonl")
    expected = read(directory / "undisturbed.jsonl")
    for number, timeout in ((signal.SIGUSR1, 60), (signal.SIGUSR1, 0), (signal.SIGTERM, 60)):
        output = directory / f"{number}-{timeout}.jsonl"
        job = batch.start(output, "--drain-timeout", timeout)
        wait_for_answers(output, 10, job)
        # mpirun passes SIGUSR1 on; SIGTERM would end it, as a batch system ends a job, so the ranks get it themselves.
        for pid in [job.process.pid] if number == signal.SIGUSR1 and args.ranks > 1 else job.ranks():
            os.kill(pid, number)
        code, _, err, _ = job.end()
        expect(code == REQUEUE, f"exit code {code} after signal {number}\n{err}")
        status = json.loads(Path(f"{output}.status.json").read_text())
        answers = read(output)
        expect(status["state"] == "stopped" and status["done"] == len(answers) < batch.count, (status, len(answers)))
        batch.run(output)
        expect(read(output) == expected, f"other answers after signal {number}")


def case_killed(args, directory):
    """A rank, or mpirun, is killed at a random moment, again and again."""
    rng = random.Random(args.seed)
    batch = Batch(args, directory, request_lines(150, 80))
    expected, seconds = {}, {}
    for more in ((), ("--ordered",)):
        begin = time.monotonic()
        batch.run(directory / "undisturbed.jsonl", *more, "--restart")
        seconds[more] = time.monotonic() - begin
        expected[more] = read(directory / "undisturbed.jsonl")
    expect(expected[()] == expected[("--ordered",)], "the order changes answers")
    kills = jobs = progress = stuck = 0
    started = []
    while kills < args.kills:
        output = directory / f"out{jobs}.jsonl"
        more = rng.choice(list(expected))
        jobs += 1
        for start in range(rng.randrange(1, 5)):
            if kills == args.kills:
                break
            job = batch.start(output, *more)
            begin = time.monotonic()
            try:
                job.process.wait(rng.uniform(0, seconds[more]))
                if start == 0:  # the machine has become faster: later moments would come too late again
                    seconds[more] = time.monotonic() - begin
            except subprocess.TimeoutExpired:
                try:
                    os.kill(rng.choice([job.process.pid, *job.ranks()]), signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass  # the rank has ended since it was found
            # Without waiting for the ranks to end: the next job waits for the lock.
            started.append(job)
            try:
                job.process.communicate(timeout=30)
            except subprocess.TimeoutExpired:  # Open MPI's mpirun may hang when a rank dies within MPI_Init
                stuck += 1
                for pid in job.marked():
                    os.kill(pid, signal.SIGKILL)
                job.process.communicate()
        progress += output.exists() and output.stat().st_size > 0
        err = batch.run(output, *more)
        expect(read(output) == expected[more], f"other answers after kills of job {jobs}, --seed {args.seed}\n{err}")
    deadline = time.monotonic() + 10
    while (left := [pid for job in started for pid in job.marked()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    expect(not left, f"{len(left)} ranks outlived their launcher")
    expect(progress > 0, "no kill came after the first answer, so the test shows nothing")
    print(f"{kills} kills in {jobs} jobs, {progress} of which had answers before the last start; {stuck} times mpirun did not end by itself")


CASES = {name.removeprefix("case_"): function for name, function in globals().items() if name.startswith("case_")}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    parser = launch.parser(__doc__.splitlines()[0], device=True)
    parser.add_argument("--case", required=True, choices=CASES)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    args = parser.parse_args()
    before = fault_test.shared_memory()
    try:
        with tempfile.TemporaryDirectory(prefix="lockstep-batch-") as directory:
            CASES[args.case](args, Path(directory))
        left = fault_test.shared_memory() - before
        expect(not left, f"left in /dev/shm: {sorted(left)}")
    except (Failure, TimeoutError, subprocess.TimeoutExpired) as error:
        print(f"FAILED: {args.case}, {args.ranks} ranks: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
