#!/usr/bin/env python3
"""Peak memory and bytes read of each rank, as the kernel counts them, against the rank's partition of the checkpoint.

The partition is computed here, from the headers and the rules in src/partition/partition.h, not asked of lockstep. A rank may
have resident its partition plus 15 % plus 200 MiB (the KV pool of this workload is a few MB), and reads its partition, the
headers, and a few small files.

Without --directory a checkpoint of --shape is written beside the binary and deleted afterwards.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import launch  # noqa: E402

UNIT = 16  # kFfnUnit and kVocabUnit
SLACK = 4 << 20  # config.json, /proc, what MPI reads
MIB = 1 << 20
SIZES = {"BF16": 2, "F16": 2, "F32": 4}


def deal(total, unit, parts, index):
    """Part `index` of `total` things dealt in units, the larger shares first."""
    units = -(-total // unit)
    size, extra = divmod(units, parts)
    begin = index * size + min(index, extra)
    end = begin + size + (index < extra)
    return min(total, end * unit) - min(total, begin * unit), begin


class Checkpoint:
    def __init__(self, directory):
        self.config = json.loads((directory / "config.json").read_text())
        self.header_bytes = 0
        self.tensors = {}
        for path in sorted(directory.glob("*.safetensors")):
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self.tensors.update(json.loads(file.read(length)))
            self.header_bytes += 8 + length
        self.tensors.pop("__metadata__", None)
        index = directory / "model.safetensors.index.json"
        self.header_bytes += index.stat().st_size if index.exists() else 0

    def bytes_of_rank(self, ranks, rank):
        """Bytes of the checkpoint that belong to the rank."""
        c = self.config
        heads, begin = deal(c["num_attention_heads"], 1, ranks, rank)
        group = c["num_attention_heads"] // c["num_key_value_heads"]
        kv_heads = (begin + heads - 1) // group - begin // group + 1 if heads else 0
        ffn, _ = deal(c["intermediate_size"], UNIT, ranks, rank)
        vocab, _ = deal(c["vocab_size"], UNIT, ranks, rank)
        share = {
            "q_proj": (heads, c["num_attention_heads"]),
            "o_proj": (heads, c["num_attention_heads"]),
            "k_proj": (kv_heads, c["num_key_value_heads"]),
            "v_proj": (kv_heads, c["num_key_value_heads"]),
            "gate_proj": (ffn, c["intermediate_size"]),
            "up_proj": (ffn, c["intermediate_size"]),
            "down_proj": (ffn, c["intermediate_size"]),
            "embed_tokens": (vocab, c["vocab_size"]),
            "lm_head": (vocab, c["vocab_size"]),
        }
        total = 0
        for name, tensor in self.tensors.items():
            begin, end = tensor["data_offsets"]
            mine, all_of_it = share.get(name.split(".")[-2], (1, 1))
            total += (end - begin) * mine // all_of_it
        return total

    def resident_bytes(self, stored, dtype):
        """The same numbers in the dtype in which they are kept."""
        kinds = {t["dtype"] for t in self.tensors.values()}
        assert len(kinds) == 1, kinds
        return stored if dtype == "auto" else stored * {"float32": 4, "bfloat16": 2, "float16": 2}[dtype] // SIZES[kinds.pop()]


def run(args, ranks, checkpoint, directory):
    with tempfile.TemporaryDirectory() as results:
        command = [args.lockstep, "generate", "--model", directory, "--prompt-token-ids", "5,6,7,8", "--max-tokens", "4",
                   "--ignore-eos", "--output-format", "json", "--device", "cpu", "--dtype", args.dtype, *args.extra]
        process = launch.start(launch.rank_command(args.mpirun, ranks, [sys.executable, HERE / "measured.py", results, *command]))
        out, err = launch.finish(process, args.timeout)
        if process.returncode != 0:
            raise SystemExit(f"lockstep failed with {process.returncode}\n{out}\n{err}")
        text = json.loads(out.strip().splitlines()[-1])
        assert len(text["token_ids"]) == 4, text
        measured = [json.loads(path.read_text()) for path in Path(results).glob("*.json")]
    assert len(measured) == ranks, f"{len(measured)} results of {ranks} ranks"

    # Which process was which rank is not known; both lists sorted by bytes read correspond, as all reads of a rank count.
    expected = sorted(checkpoint.bytes_of_rank(ranks, r) for r in range(ranks))
    wrong = []
    for stored, got in zip(expected, sorted(measured, key=lambda m: m["rchar"])):
        resident = checkpoint.resident_bytes(stored, args.dtype)
        limit = resident * 1.15 + 200 * MIB
        beyond = got["rchar"] - stored - checkpoint.header_bytes
        print(f"N={ranks}: partition {stored / MIB:9.1f} MiB stored, {resident / MIB:9.1f} MiB resident; peak {got['peak_rss'] / MIB:9.1f} MiB"
              f" = partition {100 * (got['peak_rss'] / resident - 1):+.1f} % (allowed {limit / MIB:.1f});"
              f" read {got['rchar'] / MIB:9.1f} MiB = partition + headers {beyond / MIB:+.3f} MiB; from disk {got['read_bytes'] / MIB:.1f} MiB",
              flush=True)
        if got["peak_rss"] > limit:
            wrong.append(f"N={ranks}: {got['peak_rss']} bytes resident, at most {limit:.0f} allowed")
        if got["peak_rss"] < resident:
            wrong.append(f"N={ranks}: {got['peak_rss']} bytes resident are fewer than the partition's {resident}: not measured right")
        if not 0 <= beyond <= SLACK:
            wrong.append(f"N={ranks}: read {got['rchar']} bytes, expected {stored} + {checkpoint.header_bytes} and at most {SLACK} more")
    return wrong


def main():
    parser = launch.parser(__doc__)
    parser.add_argument("--directory", type=Path, help="a checkpoint of the Llama family")
    parser.add_argument("--shape", default="ci-0.3b", help="of scripts/make_checkpoint.py")
    parser.add_argument("--shards", default="3")
    parser.add_argument("--ranks", default="1,3,4")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("extra", nargs="*", help="further arguments of lockstep generate, after --")
    args = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory(dir=Path(args.lockstep).resolve().parent) as temporary:
        directory = args.directory or Path(temporary) / args.shape
        if not args.directory:
            script = HERE.parent.parent / "scripts" / "make_checkpoint.py"
            subprocess.run([sys.executable, script, "--shape", args.shape, "--shards", args.shards, directory], check=True)
        checkpoint = Checkpoint(directory)
        for ranks in map(int, args.ranks.split(",")):
            wrong += run(args, ranks, checkpoint, directory)
    for line in wrong:
        print(f"FAILED: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
