#!/usr/bin/env python3
"""Runs `lockstep generate` with sampling options on a tiny model and compares with transformers' logits processors (sampling.json, made
by scripts/golden/make_sampling.py). tests/unit/engine compares how often tokens are drawn; here is what can be compared token by token:

greedy     penalties, least number of tokens, stop tokens: the same tokens, ended for the same reason
certain    options that leave one token (top-k 1, a tiny top-p, min-p 1) at any temperature and seed: the greedy tokens of golden.json
seeds      a seed draws the same tokens at every number of ranks and beside other prompts; two seeds differ
long       a prompt that fills the model's context: the same tokens; one token more is refused with the sizes, as is a KV pool too small
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

DATA = Path(__file__).resolve().parent / "data"
TIMEOUT_S = 240


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Runner:
    def __init__(self, args):
        self.args = args
        self.model = DATA / args.model
        self.config = json.loads((self.model / "config.json").read_text())

    def start(self, prompts, options, ranks=None):
        """(exit code, stdout, stderr) of one run of all prompts."""
        command = [self.args.lockstep, "generate", "--model", self.model, "--device", self.args.device, "--dtype", "float32",
                   "--threads", 1, "--output-format", "json"]
        for name, value in options.items():
            command += [f"--{name}"] if value is True else [f"--{name}", value]
        for prompt in prompts:
            command += ["--prompt-token-ids", ",".join(map(str, prompt))]
        process = launch.start(launch.rank_command(self.args.mpirun, ranks or self.args.ranks, command))
        out, err = launch.finish(process, TIMEOUT_S)
        return process.returncode, out, err

    def run(self, prompts, options, ranks=None):
        code, out, err = self.start(prompts, options, ranks)
        expect(code == 0, f"exit code {code} with {options}\n{out}\n{err}")
        lines = [json.loads(line) for line in out.splitlines()]
        expect([line["prompt_token_ids"] for line in lines] == prompts, f"not the lines of the prompts: {out}")
        return lines


def check_greedy(runner, golden):
    for case in golden["greedy"]:
        options = {"max-tokens": 24, **case["options"]}
        if "stop_token_ids" in case:
            options["stop-token-ids"] = ",".join(map(str, case["stop_token_ids"]))
        options["ignore-eos"] = True
        # Twice in a batch, with another prompt between: penalties are counted for each sequence alone.
        prompts = [case["prompt_token_ids"], golden["greedy"][0]["prompt_token_ids"][:5], case["prompt_token_ids"]]
        lines = runner.run(prompts, options)
        for line in (lines[0], lines[2]):
            expect(line["token_ids"] == case["token_ids"],
                   f"{case['options']}: got {line['token_ids']}\ntransformers {case['token_ids']}")
            expect(line["finish_reason"] == case["finish_reason"], f"{case['options']}: ended by {line['finish_reason']}")


def check_certain(runner, golden):
    plain = json.loads((runner.model / "golden.json").read_text())["prompts"]
    prompts = [prompt["prompt_token_ids"] for prompt in plain]
    for options in ({"top-k": 1}, {"top-p": 1e-6}, {"min-p": 1}):
        lines = runner.run(prompts, {"max-tokens": 24, "ignore-eos": True, "temperature": 1.7, "seed": 5, **options})
        for line, prompt in zip(lines, plain, strict=True):
            expect(line["token_ids"] == prompt["token_ids"], f"{options}: got {line['token_ids']}\ngreedy {prompt['token_ids']}")


def check_seeds(runner, golden):
    prompts = [case["history"] for case in golden["sampled"]]
    options = {"max-tokens": 12, "ignore-eos": True, "temperature": 1.2, "top-k": 30, "top-p": 0.95, "min-p": 0.02,
               "frequency-penalty": 0.2}
    tokens = {}
    for seed in (1, 2):
        lines = runner.run(prompts, {**options, "seed": seed})
        tokens[seed] = [line["token_ids"] for line in lines]
        alone = runner.run(prompts[:1], {**options, "seed": seed}, ranks=1)
        expect(alone[0]["token_ids"] == tokens[seed][0],
               f"seed {seed}: alone on one rank {alone[0]['token_ids']}\nin the batch on {runner.args.ranks} {tokens[seed][0]}")
    expect(tokens[1] != tokens[2], f"two seeds draw the same: {tokens[1]}")


def long_prompt(length, vocab_size):
    """As scripts/golden/make_sampling.py makes it."""
    return [3 + (i * i * 31 + i * 17 + 7) % (vocab_size - 3) for i in range(length)]


def check_long(runner, golden):
    context, vocab_size = runner.config["max_position_embeddings"], runner.config["vocab_size"]
    want = golden["long"]["token_ids"]
    length = golden["long"]["prompt_length"]
    expect(length + len(want) == context, "the golden prompt does not fill the context")
    for extra in ({}, {"max-num-batched-tokens": 7}, {"block-size": 8, "max-num-batched-tokens": 64}):
        # More tokens are asked for than the context has room for: the last possible one ends by length.
        line = runner.run([long_prompt(length, vocab_size)], {"max-tokens": len(want) + 50, "ignore-eos": True, **extra})[0]
        expect(line["token_ids"] == want, f"{extra}: got {line['token_ids']}\ntransformers {want}")
        expect(line["finish_reason"] == "length", f"ended by {line['finish_reason']}")

    def refused(prompt_length, options, *parts):
        code, out, err = runner.start([long_prompt(prompt_length, vocab_size)], options)
        expect(code not in (0, 124) and not out, f"exit code {code}, stdout {out!r}: should have been refused ({options})")
        for part in parts:
            expect(str(part) in err, f"'{part}' is missing in: {err}")
        expect(err.count("error:") == 1, f"one error should be printed: {err}")

    refused(context, {}, "has {} tokens".format(context), "context of {}".format(context), "--max-model-len")
    refused(40, {"max-model-len": 40}, "has 40 tokens", "context of 40", "--max-model-len")
    # A pool of one MiB's fraction: the smallest that the flag takes.
    kib = 24
    refused(length, {"kv-cache-memory-gib": kib / 2**20}, "KV cache", "tokens", "--kv-cache-memory-gib")


CASES = {"greedy": check_greedy, "certain": check_certain, "seeds": check_seeds, "long": check_long}


def main():
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--model", required=True, help="a directory in tests/golden/data")
    parser.add_argument("--ranks", type=int, required=True)
    args = parser.parse_args()
    runner = Runner(args)
    golden = json.loads((runner.model / "sampling.json").read_text())
    for name, check in CASES.items():
        try:
            check(runner, golden)
        except (Failure, TimeoutError) as error:
            print(f"FAILED: {name}: {args.model}, {args.ranks} ranks, {args.device}: {error}")
            return 1
        print(f"{name}: as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
