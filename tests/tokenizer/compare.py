#!/usr/bin/env python3
"""Compares `lockstep tokenize` with Hugging Face's `tokenizers` on megabytes of mixed text, for every family of families.py or for given files.

Ids with and without special tokens, decoding of what was encoded, decoding of random ids with and without special tokens, and texts of
invalid UTF-8 must all agree. Prints one line a tokenizer and exits with 1 when any differs.

Needs: pip install tokenizers==0.23.3
Usage: compare.py --lockstep build/cpu/bin/lockstep [--megabytes 2] [--vocab-size 4000] [--family NAME]... [TOKENIZER_JSON...]
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import families  # noqa: E402
import texts as text_source  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402


class Ours:
    def __init__(self, program, directory):
        self.command = [program, "tokenize", "--model", str(directory)]

    def run(self, flags, lines):
        done = subprocess.run([*self.command, *flags], input=b"\n".join(lines) + b"\n", capture_output=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode("utf-8", "replace").strip()[-600:])
        out = done.stdout.split(b"\n")[:-1]
        if len(out) != len(lines):
            raise RuntimeError(f"{len(lines)} lines in, {len(out)} lines out")
        return out

    def encode(self, texts, *flags):
        return [json.loads(line) for line in self.run(["--json", *flags], [json.dumps(t, ensure_ascii=False).encode() for t in texts])]

    def decode(self, ids, *flags):
        return [json.loads(line) for line in self.run(["--json", "--decode", *flags], [json.dumps(i).encode() for i in ids])]


def report(what, inputs, theirs, ours):
    """Whether all agree; prints the shortest difference."""
    bad = [k for k in range(len(inputs)) if theirs[k] != ours[k]]
    if bad:
        k = min(bad, key=lambda k: len(inputs[k]))
        at = next((i for i, (a, b) in enumerate(zip(theirs[k], ours[k])) if a != b), min(len(theirs[k]), len(ours[k])))
        print(f"  {what}: {len(bad)} of {len(inputs)} differ; shortest {inputs[k]!r:.300}\n    at {at}: theirs {theirs[k][max(at - 3, 0):at + 8]!r} ours {ours[k][max(at - 3, 0):at + 8]!r}")
    return not bad


def broken(rng, text):
    """Bytes of the text with some of them changed, without line ends."""
    data = bytearray(text.encode().replace(b"\n", b" "))
    for _ in range(1 + len(data) // 40):
        if data:
            data[rng.randrange(len(data))] = rng.choice((0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xE2, 0xED, 0xF0, 0xF4, 0xFF, 0x41))
    return bytes(data).replace(b"\n", b" ")


def compare(name, description, program, megabytes, seed):
    rng = random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory() as directory:
        content = json.dumps(description, ensure_ascii=False)
        pathlib.Path(directory, "tokenizer.json").write_text(content, encoding="utf-8")
        theirs, ours = Tokenizer.from_str(content), Ours(program, directory)
        special = [t["content"] for t in description["added_tokens"]]
        texts = text_source.make_texts(rng, int(megabytes * 1e6), special) + ["", " ", "\n"]
        ids = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
        good = report("encode", texts, ids, ours.encode(texts))
        few = texts[:200] + ["", "x"]
        good &= report("encode with special tokens", few, [e.ids for e in theirs.encode_batch(few)], ours.encode(few, "--add-special-tokens"))
        good &= report("decode", ids, theirs.decode_batch(ids, skip_special_tokens=False), ours.decode(ids))
        highest = max(theirs.get_vocab(with_added_tokens=True).values())
        bytes_ = [i for t, i in theirs.get_vocab().items() if t.startswith("<0x")]
        pick = lambda: rng.choice(bytes_) if bytes_ and rng.random() < 0.3 else rng.randint(0, highest + 3)
        random_ids = [[pick() for _ in range(rng.randint(1, 40))] for _ in range(3000)]
        for skip, flags in ((False, []), (True, ["--skip-special-tokens"])):
            good &= report(f"decode random ids {flags}", random_ids, theirs.decode_batch(random_ids, skip_special_tokens=skip), ours.decode(random_ids, *flags))
        invalid = [broken(rng, t) for t in texts[:400]]
        good &= report("encode invalid UTF-8", invalid, [e.ids for e in theirs.encode_batch([b.decode("utf-8", "replace") for b in invalid], add_special_tokens=False)],
                       [json.loads(line) for line in ours.run([], invalid)])
        size = sum(len(t.encode()) for t in texts)
        print(f"{'ok  ' if good else 'FAIL'} {name}: vocabulary {theirs.get_vocab_size()}, {len(texts)} texts, {size / 1e6:.1f} MB, {sum(map(len, ids))} tokens", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lockstep", required=True)
    parser.add_argument("--megabytes", type=float, default=2.0)
    parser.add_argument("--vocab-size", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family", action="append")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    maker = families.Maker(text_source.make_texts(rng, 2_000_000, []), args.vocab_size)
    jobs = [(f, lambda f=f: json.loads(pathlib.Path(f).read_text(encoding="utf-8"))) for f in args.files]
    if not args.files or args.family:
        jobs += [(name, make) for name, make in maker.families() if not args.family or name in args.family]
    bad = []
    for name, make in jobs:
        try:
            if compare(name, make(), args.lockstep, args.megabytes, args.seed):
                continue
        except RuntimeError as e:
            print(f"FAIL {name}: {e}", flush=True)
        bad.append(name)
    print(f"{len(jobs) - len(bad)} of {len(jobs)} agree" + (f"; not: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
