#!/usr/bin/env python3
"""Rewrites a bf16 Hugging Face directory of the Llama family as one bf16 GGUF file without a vocabulary, for llama-bench.

Needs numpy and the gguf package (llama.cpp's gguf-py folder on PYTHONPATH serves).
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np

LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP_TENSORS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    stem, suffix = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, stem = stem.split(".", 3)
        return f"blk.{layer}.{LAYER_TENSORS[stem]}.{suffix}"
    return f"{TOP_TENSORS[stem]}.{suffix}"


def permute(rows, heads):
    """GGUF interleaves the two rotary halves of a head's rows, Hugging Face keeps them apart."""
    out, hidden = rows.shape
    return np.ascontiguousarray(rows.reshape(heads, 2, out // heads // 2, hidden).swapaxes(1, 2).reshape(out, hidden))


def tensors_of(directory):
    """(name, uint16 array of bf16 bits), mapped from the files."""
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] != "BF16":
                raise SystemExit(f"to_gguf: {path}: tensor {name} is {entry['dtype']}; only BF16 is rewritten")
            shape = tuple(entry["shape"])
            yield name, np.memmap(path, dtype="<u2", mode="r", offset=8 + length + entry["data_offsets"][0], shape=shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    c = json.loads((args.directory / "config.json").read_text())
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads

    writer = gguf.GGUFWriter(args.output, "llama")
    writer.add_vocab_size(c["vocab_size"])
    writer.add_tokenizer_model("none")
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    for name, bits in tensors_of(args.directory):
        if bits.ndim == 1:
            writer.add_tensor(gguf_name(name), (bits.astype(np.uint32) << 16).view(np.float32))
            continue
        if ".q_proj." in name or ".k_proj." in name:
            bits = permute(bits, heads if ".q_proj." in name else kv_heads)
        writer.add_tensor(gguf_name(name), bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
