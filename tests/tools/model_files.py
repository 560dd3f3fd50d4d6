"""A small sound model in memory, to be spoiled and written by the tests of hostile input. Python's standard library only."""

import copy
import json
import struct
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
sys.path.insert(0, str(TESTS / "bench"))
import bench_test  # noqa: E402

GOLDEN = TESTS / "golden" / "data" / "llama_mha"
HEAD, DOWN = "lm_head.weight", "model.layers.1.mlp.down_proj.weight"


class Tensor:
    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, shape, data


class Model:
    """config: of config.json; tensors: {name: Tensor}; texts: {file name: text or bytes} of everything else."""

    def __init__(self):
        self.config = json.loads((GOLDEN / "config.json").read_text())
        raw = (GOLDEN / "model.safetensors").read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        self.tensors = {}
        for name, entry in json.loads(raw[8:8 + length]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                self.tensors[name] = Tensor(entry["dtype"], entry["shape"], raw[8 + length + begin:8 + length + end])
        self.texts = {
            "tokenizer.json": json.dumps(bench_test.tokenizer_json()),
            "tokenizer_config.json": json.dumps({"chat_template": "[INST] {{ messages[0].content }} [/INST]"}),
            "generation_config.json": json.dumps({"eos_token_id": 2}),
        }

    def copy(self):
        return copy.deepcopy(self)

    def write(self, directory, entries=None, header=None, data=None):
        """Everything into `directory`, the tensors as model.safetensors, whose header's entries, text or data may be given."""
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(self.config, indent=1))
        for name, text in self.texts.items():
            (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        own, own_data = layout(self.tensors)
        text = header if header is not None else json.dumps(entries if entries is not None else own)
        (directory / "model.safetensors").write_bytes(file_of(text, own_data if data is None else data))

    def write_shards(self, directory, weight_map=None, extra=None):
        """The same in two files with an index. weight_map: changes it; extra: {file number: {name: Tensor}} more tensors."""
        self.write(directory)
        (directory / "model.safetensors").unlink()
        names = sorted(self.tensors)
        shards = [names[: len(names) // 2], names[len(names) // 2:]]
        files = [f"model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
        for i, file in enumerate(files):
            entries, data = layout({**{name: self.tensors[name] for name in shards[i]}, **(extra or {}).get(i, {})})
            (directory / file).write_bytes(file_of(json.dumps(entries), data))
        index = {name: files[i] for i in range(2) for name in shards[i]}
        if weight_map:
            weight_map(index, files)
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def layout(tensors):
    """(entries of the header, data)."""
    entries, data = {}, b""
    for name, t in tensors.items():
        entries[name] = {"dtype": t.dtype, "shape": t.shape, "data_offsets": [len(data), len(data) + len(t.data)]}
        data += t.data
    return entries, data


def file_of(header, data):
    text = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(text)) + text + data
