#!/usr/bin/env python3
"""What transformers' logits processors make of the golden models: tests/golden/data/MODEL/sampling.json, made beside golden.json.

  greedy[]    options (names of lockstep's flags), prompt_token_ids, token_ids: the continuation that takes the likeliest token of the
              processed logits. Repetition penalty and least number of tokens are transformers' processors; presence and frequency
              penalties, which transformers lacks, are those of OpenAI's API: logit - presence * (count > 0) - frequency * count, count
              over the output, after the repetition penalty. No step may be closer than MIN_MARGIN, else rounding would decide.
  sampled[]   options, logits: one fp32 row of the model, history (tokens for the repetition penalty), probabilities: of every token that
              the processors leave, after temperature, top-k, top-p and min-p in transformers' order. The cut of top-p and min-p is
              nowhere closer than MIN_GAP to a token.
  long        a prompt made by the formula below that fills the model's context but for NEW_TOKENS, and its greedy continuation

prompt of `long`: token i is 3 + (i * i * 31 + i * 17 + 7) % (vocab_size - 3).
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from transformers import LogitsProcessorList
from transformers.generation import logits_process as lp

MODELS = ("llama3_gqa", "llama_mha", "qwen2", "qwen3")
NEW_TOKENS = 24
MIN_MARGIN = 0.01
MIN_GAP = 1e-4

GREEDY = (
    {"repetition-penalty": 1.3},
    {"repetition-penalty": 0.8},
    {"presence-penalty": 1.5},
    {"presence-penalty": -1.0},
    {"frequency-penalty": 0.7},
    {"repetition-penalty": 1.1, "presence-penalty": 0.4, "frequency-penalty": 0.3},
)
SAMPLED = (
    {"temperature": 1.0},
    {"temperature": 0.6},
    {"temperature": 1.7},
    {"temperature": 1.0, "top-k": 7},
    {"temperature": 1.0, "top-k": 1},
    {"temperature": 1.0, "top-p": 0.8},
    {"temperature": 1.0, "top-p": 0.2},
    {"temperature": 1.5, "min-p": 0.1},
    {"temperature": 0.8, "top-k": 12, "top-p": 0.85},
    {"temperature": 1.3, "top-k": 20, "top-p": 0.95, "min-p": 0.05},
    {"temperature": 1.0, "repetition-penalty": 1.4, "top-k": 15},
)


def open_penalties(logits, output, options):
    counts = torch.zeros_like(logits)
    for token in output:
        counts[token] += 1
    return logits - options.get("presence-penalty", 0.0) * (counts > 0) - options.get("frequency-penalty", 0.0) * counts


def next_logits(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1]


def greedy(model, prompt, options, stop=(), min_tokens=0, count=NEW_TOKENS):
    """The continuation, ended by a token of `stop` (which is its last), and the least distance between best and second best."""
    processors = LogitsProcessorList()
    if "repetition-penalty" in options:
        processors.append(lp.RepetitionPenaltyLogitsProcessor(penalty=options["repetition-penalty"]))
    tail = LogitsProcessorList()
    if min_tokens:
        tail.append(lp.MinNewTokensLengthLogitsProcessor(len(prompt), min_tokens, list(stop), device="cpu"))
    ids, margin = list(prompt), float("inf")
    while len(ids) < len(prompt) + count:
        row = processors(torch.tensor([ids]), next_logits(model, ids)[None])[0]
        row = open_penalties(row, ids[len(prompt):], options)
        row = tail(torch.tensor([ids]), row[None])[0]
        best = torch.topk(row, 2).values
        margin = min(margin, float(best[0] - best[1]))
        ids.append(int(row.argmax()))
        if ids[-1] in stop:
            break
    return ids[len(prompt):], margin


def make_greedy(model, vocab_size, generator):
    cases = []

    def add(options, make):
        for _ in range(200):
            prompt = torch.randint(3, vocab_size, (11,), generator=generator).tolist()
            case = make(prompt)
            if case is not None:
                cases.append({"options": options, "prompt_token_ids": prompt, **case})
                return
        raise SystemExit(f"no prompt gives margins above {MIN_MARGIN} for {options}")

    def penalized(options):
        def make(prompt):
            tokens, margin = greedy(model, prompt, options)
            plain, _ = greedy(model, prompt, {})
            return {"token_ids": tokens, "finish_reason": "length"} if margin > MIN_MARGIN and tokens != plain else None
        return make

    for options in GREEDY:
        add(options, penalized(options))

    def stopped(min_tokens):
        def make(prompt):
            plain, _ = greedy(model, prompt, {})
            stop = [plain[3], plain[9]]
            tokens, margin = greedy(model, prompt, {}, stop, min_tokens)
            if margin < MIN_MARGIN or len(tokens) == NEW_TOKENS or len(tokens) <= min_tokens or len(tokens) < 3:
                return None
            return {"token_ids": tokens, "finish_reason": "stop", "stop_token_ids": stop}
        return make

    add({}, stopped(0))
    add({"min-tokens": 6}, stopped(6))
    return cases


def process(row, history, options):
    """Probabilities after the processors, and the least distance of any cut to a token."""
    ids, scores, gap = torch.tensor([history]), row[None].clone(), 1.0
    if "repetition-penalty" in options:
        scores = lp.RepetitionPenaltyLogitsProcessor(penalty=options["repetition-penalty"])(ids, scores)
    scores = lp.TemperatureLogitsWarper(options["temperature"])(ids, scores)
    if "top-k" in options:
        scores = lp.TopKLogitsWarper(options["top-k"])(ids, scores)
    if "top-p" in options:
        kept = torch.softmax(scores[0].double(), dim=-1).sort(descending=True).values.cumsum(0)
        gap = min(gap, float((kept - options["top-p"]).abs().min()))
        scores = lp.TopPLogitsWarper(options["top-p"])(ids, scores)
    if "min-p" in options:
        share = torch.softmax(scores[0].double(), dim=-1)
        gap = min(gap, float((share / share.max() - options["min-p"]).abs().min()))
        scores = lp.MinPLogitsWarper(options["min-p"])(ids, scores)
    return torch.softmax(scores[0].double(), dim=-1), gap


def make_sampled(model, vocab_size, generator):
    cases = []
    for options in SAMPLED:
        for _ in range(200):
            history = torch.randint(3, vocab_size, (9,), generator=generator).tolist()
            # Three decimals, which the test then reads as the same floats.
            row = torch.tensor([round(x, 3) for x in next_logits(model, history).tolist()])
            probabilities, gap = process(row, history, options)
            if gap > MIN_GAP:
                break
        else:
            raise SystemExit(f"no prompt keeps its tokens away from the cuts of {options}")
        left = {str(i): float(f"{p:.7g}") for i, p in enumerate(probabilities.tolist()) if p > 0}
        cases.append({"options": options, "history": history, "logits": [round(float(x), 3) for x in row], "probabilities": left})
    return cases


def long_prompt(length, vocab_size):
    return [3 + (i * i * 31 + i * 17 + 7) % (vocab_size - 3) for i in range(length)]


def make_long(model, config):
    prompt = long_prompt(config.max_position_embeddings - NEW_TOKENS, config.vocab_size)
    tokens, margin = greedy(model, prompt, {})
    if margin < MIN_MARGIN / 10:
        raise SystemExit(f"the long prompt has a margin of {margin}")
    return {"prompt_length": len(prompt), "token_ids": tokens, "smallest_margin": round(margin, 5)}


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="tests/golden/data, with the models that make_models.py made")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"which ones (default: {', '.join(MODELS)})")
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in args.models or MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(args.data / name, dtype=torch.float32, attn_implementation="eager")
        config = model.eval().config
        generator = torch.Generator().manual_seed(1)
        result = {
            "made_by": f"scripts/golden/make_sampling.py, torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}",
            "greedy": make_greedy(model, config.vocab_size, generator),
            "sampled": make_sampled(model, config.vocab_size, generator),
            "long": make_long(model, config),
        }
        file = args.data / name / "sampling.json"
        file.write_text(json.dumps(result, separators=(",", ":")) + "\n")
        print(f"{name}: {len(result['greedy'])} greedy and {len(result['sampled'])} sampled cases, {file.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
