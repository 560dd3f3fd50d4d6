#!/usr/bin/env python3
"""Writes a Hugging Face directory of the Llama family with random weights: config.json and safetensors in several shards.

For measurements of memory, loading and speed at real sizes, where the text does not matter. Streams: needs 64 MB of memory
whatever the size, and nothing but Python's standard library. Every number is finite, of either sign, with a magnitude between
2^-7 and 2^-5, so that activations stay tame; norms are 1.

  scripts/make_checkpoint.py --shape llama-3.2-3b --shards 4 /tmp/llama-3.2-3b
"""

import argparse
import json
import random
import shutil
import sys
from pathlib import Path

# hidden, layers, query heads, KV heads, head_dim, FFN, vocabulary, tied embeddings
SHAPES = {
    "tiny": (256, 2, 8, 4, 32, 512, 1024, True),
    "ci-0.3b": (2048, 4, 16, 8, 128, 8192, 32000, True),
    "smollm2-135m": (576, 30, 9, 3, 64, 1536, 49152, True),
    "llama-3.2-1b": (2048, 16, 32, 8, 64, 8192, 128256, True),
    "llama-3.2-3b": (3072, 28, 24, 8, 128, 8192, 128256, True),
    "llama-3-8b": (4096, 32, 32, 8, 128, 14336, 128256, False),
}

# name in the header -> bytes, name in config.json, high bytes of numbers between 2^-7 and 2^-5, the number 1
DTYPES = {
    "BF16": (2, "bfloat16", (0x3C, 0xBC), b"\x80\x3f"),
    "F16": (2, "float16", (0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7), b"\x00\x3c"),
    "F32": (4, "float32", (0x3C, 0xBC), b"\x00\x00\x80\x3f"),
}

BLOCK = 8 << 20  # bytes written at a time


def tensors_of(shape):
    """(name, dimensions) in the order in which they are written."""
    hidden, layers, heads, kv_heads, head_dim, ffn, vocab, tied = shape
    yield "model.embed_tokens.weight", (vocab, hidden)
    for i in range(layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (hidden,)
        yield layer + "self_attn.q_proj.weight", (heads * head_dim, hidden)
        yield layer + "self_attn.k_proj.weight", (kv_heads * head_dim, hidden)
        yield layer + "self_attn.v_proj.weight", (kv_heads * head_dim, hidden)
        yield layer + "self_attn.o_proj.weight", (hidden, heads * head_dim)
        yield layer + "post_attention_layernorm.weight", (hidden,)
        yield layer + "mlp.gate_proj.weight", (ffn, hidden)
        yield layer + "mlp.up_proj.weight", (ffn, hidden)
        yield layer + "mlp.down_proj.weight", (hidden, ffn)
    yield "model.norm.weight", (hidden,)
    if not tied:
        yield "lm_head.weight", (vocab, hidden)


def count(dims):
    total = 1
    for n in dims:
        total *= n
    return total


def shard(tensors, element, number):
    """Consecutive runs of about equal size."""
    total = sum(count(dims) for _, dims in tensors) * element
    shards, size = [[]], 0
    for name, dims in tensors:
        if size >= total * len(shards) / number and len(shards) < number:
            shards.append([])
        shards[-1].append((name, dims))
        size += count(dims) * element
    return shards


class Numbers:
    def __init__(self, dtype, seed):
        self.element, _, high, self.one = DTYPES[dtype]
        self.table = bytes(high[i % len(high)] for i in range(256))
        self.random = random.Random(seed)

    def block(self, elements):
        data = bytearray(self.random.randbytes(elements * self.element))
        top = slice(self.element - 1, None, self.element)
        data[top] = data[top].translate(self.table)
        return data


def write_shard(path, tensors, dtype, numbers):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims in tensors:
        end = offset + count(dims) * numbers.element
        header[name] = {"dtype": dtype, "shape": list(dims), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, dims in tensors:
            left = count(dims)
            while left > 0:
                n = min(left, BLOCK // numbers.element)
                file.write(numbers.one * n if len(dims) == 1 else numbers.block(n))
                left -= n


def config_of(shape, dtype):
    hidden, layers, heads, kv_heads, head_dim, ffn, vocab, tied = shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": DTYPES[dtype][1],
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="must not exist")
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.2-3b")
    parser.add_argument("--layers", type=int, help="instead of the shape's")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--dtype", choices=DTYPES, default="BF16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    if args.layers:
        shape = (shape[0], args.layers, *shape[2:])
    tensors = list(tensors_of(shape))
    numbers = Numbers(args.dtype, args.seed)
    total = sum(count(dims) for _, dims in tensors) * numbers.element

    args.directory.mkdir(parents=True)
    free = shutil.disk_usage(args.directory).free
    if free < total + (64 << 20):
        args.directory.rmdir()
        raise SystemExit(f"make_checkpoint: {args.directory} needs {total} bytes and has {free}")
    try:
        shards = shard(tensors, numbers.element, args.shards)
        index = {}
        for i, part in enumerate(shards):
            one = len(shards) == 1
            name = "model.safetensors" if one else f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
            write_shard(args.directory / name, part, args.dtype, numbers)
            index.update((tensor, name) for tensor, _ in part)
        if len(shards) > 1:
            document = {"metadata": {"total_size": total}, "weight_map": index}
            (args.directory / "model.safetensors.index.json").write_text(json.dumps(document, indent=1))
        (args.directory / "config.json").write_text(json.dumps(config_of(shape, args.dtype), indent=1))
    except BaseException:
        shutil.rmtree(args.directory)
        raise
    print(f"{args.directory}: {len(tensors)} tensors, {total / 1e9:.2f} GB, {len(shards)} shards", file=sys.stderr)


if __name__ == "__main__":
    main()
