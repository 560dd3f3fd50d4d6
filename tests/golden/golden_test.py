#!/usr/bin/env python3
"""Runs `lockstep generate` on a tiny model at some number of ranks and compares it with what transformers computed.

float32: all prompts in one batch; tokens must be equal and log-probabilities within 1e-3. --one-by-one also runs every prompt alone
and wants the same tokens as in the batch. --yaml describes the model by its YAML file, with no config.json beside the weights.
bfloat16: the log-probabilities along the reference tokens (each prefix is a prompt of its own); their mean error against fp32 may be
at most 1.5 times that of transformers in bf16. The reference token need not be the best one in bf16, so the best few are asked for.
"""

import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

DATA = Path(__file__).resolve().parent / "data"
TOLERANCE = 1e-3
BF16_RATIO = 1.5
BEST = 5
NCCL_SHARES_GPU = (2, 30, 7)  # the first NCCL that lets ranks share a GPU
TIMEOUT_S = 240


class Failure(Exception):
    pass


def generate(args, model, prompts, max_tokens, best=0):
    """The JSON lines of one run, one a prompt; with the `best` tokens' log-probabilities beside the chosen one's."""
    command = [args.lockstep, "generate", "--model", model, "--device", args.device, "--dtype", args.dtype, "--threads", 1,
               "--max-tokens", max_tokens, "--ignore-eos", "--logprobs", best, "--output-format", "json"]
    if args.allreduce:
        command += ["--allreduce", args.allreduce]
    if args.overlap_tokens:
        command += ["--overlap-tokens", args.overlap_tokens]
    for prompt in prompts:
        command += ["--prompt-token-ids", ",".join(map(str, prompt))]
    if args.allreduce == "hierarchical":  # as if every other rank were on a second host
        command = ["sh", "-c", 'export NCCL_HOSTID=host$((OMPI_COMM_WORLD_RANK % 2)); exec "$@"', "sh", *command]
    process = launch.start(launch.rank_command(args.mpirun, args.ranks, command))
    out, err = launch.finish(process, TIMEOUT_S)
    if process.returncode != 0:
        raise Failure(f"exit code {process.returncode}\n--- stdout\n{out}\n--- stderr\n{err}")
    lines = [json.loads(line) for line in out.splitlines()]
    if [line["prompt_token_ids"] for line in lines] != prompts:
        raise Failure(f"the lines are not those of the prompts, in order:\n{out}")
    for line in lines:
        if len(line["token_ids"]) != max_tokens or len(line["logprobs"]) != max_tokens or line["finish_reason"] != "length":
            raise Failure(f"not {max_tokens} tokens and log-probabilities, ended by length: {line}")
    return lines


def compare_float32(line, expected):
    for i, (got, want) in enumerate(zip(line["token_ids"], expected["token_ids"], strict=True)):
        if got != want:
            raise Failure(f"prompt of {len(expected['prompt_token_ids'])}: token {i} is {got}, transformers says {want}\n"
                          f"got  {line['token_ids']}\nwant {expected['token_ids']}")
    worst = 0.0
    for i, (got, want) in enumerate(zip(line["logprobs"], expected["logprobs"], strict=True)):
        difference = abs(got - want)
        if not difference <= TOLERANCE:  # a NaN fails
            raise Failure(f"prompt of {len(expected['prompt_token_ids'])}: logprob {i} is {got}, transformers says {want}")
        worst = max(worst, difference)
    return worst


def check_float32(args, model, golden):
    prompts = [prompt["prompt_token_ids"] for prompt in golden["prompts"]]
    count = len(golden["prompts"][0]["token_ids"])
    lines = generate(args, model, prompts, count)
    worst = max(compare_float32(line, expected) for line, expected in zip(lines, golden["prompts"], strict=True))
    print(f"tokens equal; largest difference of a log-probability {worst:.2e}")
    for prompt, line in zip(prompts, lines) if args.one_by_one else ():
        alone = generate(args, model, [prompt], count)[0]
        if alone["token_ids"] != line["token_ids"]:
            raise Failure(f"prompt of {len(prompt)}: alone {alone['token_ids']}\nin the batch {line['token_ids']}")


def check_bfloat16(args, model, golden):
    prefixes, want = [], []
    for prompt in golden["prompts"]:
        for i, token in enumerate(prompt["token_ids"]):
            prefixes.append(prompt["prompt_token_ids"] + prompt["token_ids"][:i])
            want.append((token, prompt["logprobs"][i], prompt["logprobs_bfloat16"][i]))
    ours, theirs = [], []
    for line, (token, exact, reference) in zip(generate(args, model, prefixes, 1, BEST), want, strict=True):
        best = {entry["token_id"]: entry["logprob"] for entry in line["top_logprobs"][0]}
        if token not in best:
            raise Failure(f"the reference's token {token} is not among the {BEST} best in bf16: {best}")
        ours.append(abs(best[token] - exact))
        theirs.append(abs(reference - exact))
    ours, theirs = math.fsum(ours) / len(ours), math.fsum(theirs) / len(theirs)
    print(f"mean error of the log-probability in bf16 {ours:.4f}, transformers {theirs:.4f}, of {len(want)} tokens")
    if not ours <= BF16_RATIO * theirs:
        raise Failure(f"mean error {ours:.4f} is more than {BF16_RATIO} times {theirs:.4f}")


def weights_and_yaml(name, directory):
    """A YAML file and, beside it, the weights without any config.json."""
    (directory / name).mkdir()
    for file in (DATA / name).glob("model*.safetensors*"):
        shutil.copy(file, directory / name)
    return shutil.copy(DATA / f"{name}.yaml", directory)


def nccl_version(args):
    """(major, minor, patch) as `lockstep --version` tells, or None."""
    process = launch.start([args.lockstep, "--version"])
    words = launch.finish(process, 30)[0].replace(",", " ").replace("NCCL-", "NCCL ").split()
    if "NCCL" not in words[:-1]:
        return None
    return tuple(int(part) for part in words[words.index("NCCL") + 1].split("+")[0].split("."))


def reason_to_skip(args):
    if args.device != "cuda":
        return None
    gpus = launch.gpu_count()
    if gpus == 0:
        return "no GPU on this machine"
    if args.allreduce in ("nccl", "hierarchical") and gpus < args.ranks:
        version = nccl_version(args)
        if version is None or version < NCCL_SHARES_GPU:
            return f"{args.ranks} ranks on {gpus} GPU through NCCL need NCCL 2.30.7 or newer; this is {version}"
    return None


def main():
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--model", required=True, help="a directory in tests/golden/data")
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--allreduce", choices=["peer", "nccl", "hierarchical"])
    parser.add_argument("--overlap-tokens", type=int)
    parser.add_argument("--yaml", action="store_true")
    parser.add_argument("--one-by-one", action="store_true")
    args = parser.parse_args()
    if reason := reason_to_skip(args):
        print(f"SKIPPED: {reason}")
        return launch.SKIPPED
    golden = json.loads((DATA / args.model / "golden.json").read_text())
    check = check_float32 if args.dtype == "float32" else check_bfloat16
    try:
        with tempfile.TemporaryDirectory(prefix="lockstep-golden-") as directory:
            check(args, weights_and_yaml(args.model, Path(directory)) if args.yaml else DATA / args.model, golden)
    except (Failure, TimeoutError) as error:
        print(f"FAILED: {args.model}, {args.ranks} ranks, {args.device}, {args.dtype}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
