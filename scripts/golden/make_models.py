#!/usr/bin/env python3
"""Makes the tiny random models of tests/golden/data and what Hugging Face transformers computes with them.

Each model is a Hugging Face directory with odd sizes that no number of ranks divides. Beside its weights lies golden.json:
  prompts[].prompt_token_ids      the prompt
  prompts[].token_ids             its greedy continuation in fp32 with eager attention, end-of-sequence ignored
  prompts[].logprobs              natural log of the probability of each of these tokens
  prompts[].logprobs_bfloat16     the same tokens' with weights and arithmetic in bf16: how far off a bf16 run may be
  prompts[].logits                {position: full row of fp32 logits}; position 0 is the first prompt token's
  smallest_margin                 least distance between the best and second best logit over all steps

NAME.yaml describes the same architecture for a directory NAME that holds weights only (the tests make one from these).

Weights are drawn so that the logits are well apart and so that every part (attention, biases, norms) changes the result. A seed is
taken only when the smallest margin is far above rounding. See setup.sh for the environment.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
import transformers

PROMPT_LENGTHS = (1, 7, 40)
NEW_TOKENS = 24
MIN_MARGIN = 0.02
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

COMMON = dict(max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)

# name -> (family, configuration, how it is stored)
MODELS = {
    "llama3_gqa": (
        "Llama",
        dict(vocab_size=131, hidden_size=36, intermediate_size=41, num_hidden_layers=2, num_attention_heads=9, num_key_value_heads=3,
             head_dim=10, rope_parameters=LLAMA3_ROPE, tie_word_embeddings=False),
        dict(dtype="float32", shard_size="40KB"),
    ),
    "llama_bias": (
        "Llama",
        dict(vocab_size=197, hidden_size=50, intermediate_size=70, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1,
             head_dim=10, attention_bias=True, mlp_bias=True, rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
             tie_word_embeddings=True),
        dict(dtype="bfloat16"),
    ),
    "llama_linear": (
        "Llama",
        dict(vocab_size=173, hidden_size=40, intermediate_size=53, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}, tie_word_embeddings=False),
        dict(dtype="float16", old_style=True),
    ),
    "llama_mha": (
        "Llama",
        dict(vocab_size=331, hidden_size=42, intermediate_size=70, num_hidden_layers=2, num_attention_heads=7, num_key_value_heads=7,
             rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=False),
        dict(dtype="bfloat16", old_style=True),
    ),
    "qwen2": (
        "Qwen2",
        dict(vocab_size=151, hidden_size=56, intermediate_size=97, num_hidden_layers=2, num_attention_heads=7, num_key_value_heads=1,
             rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, tie_word_embeddings=True, use_sliding_window=False),
        dict(dtype="bfloat16", shard_size="40KB"),
    ),
    "qwen3": (
        "Qwen3",
        dict(vocab_size=211, hidden_size=44, intermediate_size=70, num_hidden_layers=2, num_attention_heads=9, num_key_value_heads=3,
             head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, tie_word_embeddings=True,
             use_sliding_window=False),
        dict(dtype="bfloat16"),
    ),
    "mistral": (
        "Mistral",
        dict(vocab_size=139, hidden_size=38, intermediate_size=41, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
             head_dim=6, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=False,
             sliding_window=None),
        dict(dtype="float32"),
    ),
}


def build(family, settings, seed):
    """A model with random weights, fp32. Gains keep attention scores and logits at a few units."""
    config_class = getattr(transformers, f"{family}Config")
    model_class = getattr(transformers, f"{family}ForCausalLM")
    config = config_class(pad_token_id=None, attn_implementation="eager", **COMMON, **settings)
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(".bias"):
                parameter.normal_(std=0.3)
            elif "embed_tokens" in name:
                parameter.normal_(std=2.0 * config.hidden_size**-0.5)
            elif "lm_head" in name:
                parameter.normal_(std=2.0 * config.hidden_size**-0.5)
            else:
                parameter.normal_(std=1.5 * parameter.shape[1] ** -0.5)
    return model


def greedy(model, prompt):
    """Token ids, their log-probabilities, every row of logits, and the smallest margin; the whole text is recomputed each step."""
    ids, logprobs, margin = list(prompt), [], float("inf")
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        best = torch.topk(logits[-1], 2).values
        margin = min(margin, float(best[0] - best[1]))
        token = int(logits[-1].argmax())
        logprobs.append(float(torch.log_softmax(logits[-1].double(), dim=-1)[token]))
        ids.append(token)
    return ids[len(prompt):], logprobs, logits, margin


def logprobs_along(model, prompt, tokens):
    """Log-probabilities of `tokens` after `prompt`, in the model's dtype (the softmax in double)."""
    logits = model(torch.tensor([prompt + tokens]), use_cache=False).logits[0]
    rows = torch.log_softmax(logits.double(), dim=-1)
    return [float(rows[len(prompt) - 1 + i, token]) for i, token in enumerate(tokens)]


def rounded(values, digits=7):
    return [float(f"{value:.{digits}g}") for value in values]


def golden(model, model_bf16, vocab_size, seed):
    """The contents of golden.json, or None when a margin is too small."""
    generator = torch.Generator().manual_seed(seed)
    prompts, smallest = [], float("inf")
    for length in PROMPT_LENGTHS:
        prompt = torch.randint(3, vocab_size, (length,), generator=generator).tolist()
        tokens, logprobs, logits, margin = greedy(model, prompt)
        smallest = min(smallest, margin)
        if smallest < MIN_MARGIN:
            return None
        if len(set(tokens)) < NEW_TOKENS // 3:
            return None  # it runs in a circle: a poor test
        positions = (length - 1, length + NEW_TOKENS - 2)
        prompts.append({
            "prompt_token_ids": prompt,
            "token_ids": tokens,
            "logprobs": rounded(logprobs),
            "logprobs_bfloat16": rounded(logprobs_along(model_bf16, prompt, tokens)),
            "logits": {str(position): rounded(logits[position].tolist(), 6) for position in positions},
        })
    return {
        "made_by": f"scripts/golden/make_models.py, torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}",
        "seed": seed,
        "smallest_margin": round(smallest, 4),
        "prompts": prompts,
    }


def rewrite_old_style(path):
    """config.json as transformers before 5 wrote it: rope_theta and rope_scaling, torch_dtype, no head_dim."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    config["torch_dtype"] = config.pop("dtype")
    config.pop("head_dim", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_yaml(path, family, settings, dtype):
    """The architecture as the project's own YAML; JSON spells scalars as YAML does."""
    rope = dict(settings["rope_parameters"])
    lines = {"architecture": f"{family}ForCausalLM", **settings, "rope_theta": rope.pop("rope_theta"), **COMMON, "dtype": dtype}
    del lines["rope_parameters"]
    text = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in lines.items())
    if rope["rope_type"] != "default":
        text += "  rope_scaling:\n" + "".join(f"    {key}: {json.dumps(value)}\n" for key, value in rope.items())
    path.write_text(f"model:\n{text}weights: {path.stem}\n")


def make(name, directory):
    family, settings, storage = MODELS[name]
    dtype = getattr(torch, storage["dtype"])
    for seed in range(1, 1000):
        model = build(family, settings, seed).to(dtype)
        # The reference reads what is stored: round to the stored type first, then compute in fp32.
        shutil.rmtree(directory, ignore_errors=True)
        model.save_pretrained(directory, max_shard_size=storage.get("shard_size", "1GB"))
        if storage.get("old_style"):
            rewrite_old_style(directory / "config.json")
        load = getattr(transformers, f"{family}ForCausalLM").from_pretrained
        reference = load(directory, dtype=torch.float32, attn_implementation="eager").eval()
        reference_bf16 = load(directory, dtype=torch.bfloat16, attn_implementation="eager").eval()
        result = golden(reference, reference_bf16, settings["vocab_size"], seed)
        if result is not None:
            break
    else:
        raise SystemExit(f"{name}: no seed gives margins above {MIN_MARGIN}")
    (directory / "golden.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
    write_yaml(directory.parent / f"{name}.yaml", family, settings, storage["dtype"])
    logprobs = [value for prompt in result["prompts"] for value in prompt["logprobs"]]
    off = [abs(a - b) for prompt in result["prompts"] for a, b in zip(prompt["logprobs"], prompt["logprobs_bfloat16"])]
    size = sum(file.stat().st_size for file in directory.iterdir())
    print(f"{name}: seed {seed}, margin {result['smallest_margin']}, mean logprob {sum(logprobs) / len(logprobs):.2f}, "
          f"bf16 off by {sum(off) / len(off):.4f}, {size} bytes", flush=True)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="tests/golden/data")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"which ones (default: all): {', '.join(MODELS)}")
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in args.models or MODELS:
        make(name, args.data / name)


if __name__ == "__main__":
    main()
