#!/usr/bin/env python3
"""Gives lockstep models, configurations, tokenizers and prompts that are broken on purpose. Each must be refused by one message that
names the file, the key or tensor, the value and what to do, with exit code 1, in bounded time and memory.

  hostile_test.py --list
  hostile_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --group checkpoint
"""

import json
import os
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

from model_files import DOWN, HEAD, Model, Tensor, layout

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

TIMEOUT_S = 60
MEMORY_LIMIT = 2 << 30  # bytes of resident memory that no case may reach


class Tester:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.sound = Model()
        self.count = 0
        self.failures = []

    def place(self):
        self.count += 1
        return self.directory / f"m{self.count}"

    def lockstep(self, *arguments, ranks=0, shell=None, cwd=None):
        """(exit code, stdout, stderr). ranks 0: without a launcher."""
        command = [self.args.lockstep, *map(str, arguments)]
        if shell:
            command = ["sh", "-c", shell, "sh", *command]
        if ranks:
            command = launch.rank_command(self.args.mpirun, ranks, command)
        previous = os.getcwd()
        os.chdir(cwd or previous)
        try:
            process = launch.start(command)
        finally:
            os.chdir(previous)
        out, err = launch.finish(process, TIMEOUT_S)
        return process.returncode, out, err

    def refused(self, name, parts, *arguments, **how):
        """One message, exit code 1 (a launcher may turn it into another), every part in it."""
        start = time.monotonic()
        try:
            code, out, err = self.lockstep(*arguments, **how)
        except TimeoutError as error:
            self.failures.append(f"{name}: {error}")
            return
        problems = [f"'{part}' is missing" for part in parts if str(part) not in err]
        if code == 0 or code < 0 or (not how.get("ranks") and code != 1):
            problems.append(f"the exit code is {code}")
        if err.count("error:") != 1:
            problems.append(f"{err.count('error:')} errors are printed")
        if problems:
            self.failures.append(f"{name}: {'; '.join(problems)}\n    stdout: {out[-500:]!r}\n    stderr: {err[:3000]}")
        print(f"{name}: {time.monotonic() - start:.2f} s: {next((line for line in err.splitlines() if 'error:' in line), err)[:230]}")

    def accepted(self, name, *arguments, contains="", **how):
        code, out, err = self.lockstep(*arguments, **how)
        if code != 0 or contains not in out:
            self.failures.append(f"{name}: exit code {code}, '{contains}' wanted\n    stdout: {out[-500:]!r}\n    stderr: {err[:3000]}")
        print(f"{name}: taken")

    def generate(self, directory, *more):
        return ["generate", "--model", directory, "--device", "cpu", "--threads", "1", "--max-tokens", "3", *more]


IDS = ("--prompt-token-ids", "5,6,7")


def checkpoint(t):
    """Broken weights; each through generate, and where the numbers are at fault through inspect --check."""

    def header(change):
        entries, _ = layout(t.sound.tensors)
        change(entries)
        return entries

    def broken(name, parts, ranks=0, **write):
        where = t.place()
        t.sound.write(where, **write)
        t.refused(name, [where, *parts], *t.generate(where, *IDS), ranks=ranks)
        t.refused(f"{name}, inspected", [where, *parts], "inspect", where)

    def unfit(name, change, parts, ranks=0, arguments=()):
        model, where = t.sound.copy(), t.place()
        change(model)
        model.write(where)
        t.refused(name, [where, *parts], *t.generate(where, *IDS, *arguments), ranks=ranks)
        return where

    entries, data = layout(t.sound.tensors)
    broken("a header that is no JSON", ["model.safetensors", "header"], header="x" * 64)
    broken("a header in ten thousand brackets", ["deeper"], header='{"a":' + "[" * 10000)
    broken("a tensor that ends behind the file", ["truncated"], data=data[:-10], ranks=2)
    broken("bytes behind the last tensor", ["5 bytes follow"], data=data + b"12345")
    broken("two tensors in the same bytes", [DOWN, "overlaps"],
           entries=header(lambda e: e[DOWN].update(data_offsets=[x - 4 for x in e[DOWN]["data_offsets"]])))
    last = max(entries, key=lambda name: entries[name]["data_offsets"][0])
    broken("a hole", [last, "hole of 8 bytes"],
           entries=header(lambda e: e[last].update(data_offsets=[x + 8 for x in e[last]["data_offsets"]])), data=data + b"x" * 8)
    broken("a shape whose product overflows", [DOWN, "4294967296", "too large"],
           entries=header(lambda e: e[DOWN].update(shape=[2**32, 2**32])))
    broken("a shape that does not fit the bytes", [DOWN, "[1, 2]"], entries=header(lambda e: e[DOWN].update(shape=[1, 2])))
    broken("a negative dimension", [DOWN, "-1", "non-negative"], entries=header(lambda e: e[DOWN].update(shape=[-1, 42])))
    broken("half a dimension", [DOWN, "0.5", "non-negative"], entries=header(lambda e: e[DOWN].update(shape=[0.5, 42])))
    broken("a dtype of no format", [DOWN, "F13"], entries=header(lambda e: e[DOWN].update(dtype="F13")))
    broken("a name twice in a header", [DOWN, "twice"], header=json.dumps(entries)[:-1] + f', "{DOWN}": {json.dumps(entries[DOWN])}' + "}")
    broken("a million keys", ["keys"], header='{"__metadata__":{' + ",".join(f'"{i}":""' for i in range(1100000)) + "}}", data=b"")

    for name, content, parts in (("an empty file", b"", ["0 bytes", "truncated"]),
                                 ("a header longer than any", struct.pack("<Q", 2**63) + b"{}", ["9223372036854775808", "header"]),
                                 ("a header longer than the file", struct.pack("<Q", 1000) + b"{}", ["1000", "truncated"])):
        where = t.place()
        t.sound.write(where)
        (where / "model.safetensors").write_bytes(content)
        t.refused(name, [where, *parts], *t.generate(where, *IDS))

    def integers(m):
        m.tensors[DOWN] = Tensor("I32", m.tensors[DOWN].shape, b"\0" * (2 * len(m.tensors[DOWN].data)))

    unfit("a tensor of integers", integers, [DOWN, "I32", "expected F32, BF16 or F16"])
    unfit("a dimension of zero", lambda m: m.tensors.update({DOWN: Tensor("BF16", [42, 0], b"")}), [DOWN, "[42, 0]", "expected"], 2)
    unfit("a tensor that is missing", lambda m: m.tensors.pop(DOWN), ["missing: " + DOWN], 2)
    unfit("a tensor that is unknown", lambda m: m.tensors.update({"model.x": Tensor("F32", [1], b"1234")}), ["unknown: model.x"])
    unfit("a vocabulary that disagrees with the embedding", lambda m: m.config.update(vocab_size=332),
          ["[331, 42]", "expected [332, 42]"], 2)
    unfit("a head that is missing though not tied", lambda m: m.tensors.pop(HEAD), ["missing: " + HEAD])
    where = unfit("a tied head of other numbers", lambda m: m.config.update(tie_word_embeddings=True), [HEAD, "tie_word_embeddings"], 2)
    t.refused("a tied head of other numbers, checked", [where, HEAD, "tie_word_embeddings"], "inspect", where, "--check")
    t.refused("more ranks than can be", ["40", "possible are 1 to 21"], "inspect", where, "-tp", "40")

    def put(model, tensor, place, bits):
        old = model.tensors[tensor].data
        model.tensors[tensor].data = old[: 2 * place] + struct.pack("<H", bits) + old[2 * place + 2:]

    unfit("a number beyond float16", lambda m: put(m, DOWN, 3, 0x7F00), [DOWN, "too large for float16", "--dtype"],
          arguments=("--dtype", "float16"))
    model, where = t.sound.copy(), t.place()
    put(model, DOWN, 75, 0x7FC1)   # NaN at [1, 5] of [42, 70]
    put(model, DOWN, 80, 0xFF80)   # -Inf
    put(model, HEAD, 2, 0x7F80)
    model.write(where)
    t.refused("NaN and Inf, checked", [where, DOWN, "1 NaN and 1 Inf among 2940", "NaN, at [1, 5]", HEAD, "0 NaN and 1 Inf", "Inf, at [0, 2]"],
              "inspect", where, "--check")
    where = t.place()
    t.sound.write(where)
    t.accepted("a sound model, checked", "inspect", where, "--check", contains="0 tensors hold NaN or Inf")


def shards(t):
    """Several files, their index, and what may stand in the place of a file."""

    def broken(name, parts, weight_map=None, extra=None, ranks=0):
        where = t.place()
        t.sound.write_shards(where, weight_map, extra)
        t.refused(name, [where, *parts], *t.generate(where, *IDS), ranks=ranks)

    one = {"model.norm.weight": t.sound.tensors["model.norm.weight"]}
    where = t.place()
    t.sound.write_shards(where)
    t.accepted("two sound shards", *t.generate(where, *IDS))
    broken("a tensor in two shards", ["model.norm.weight", "twice"], extra={0: one, 1: one}, ranks=2)
    broken("an index that leads out", ["../x", "plain name"], lambda index, files: index.update({DOWN: "../x"}))
    broken("an index that leads to /etc", ["/etc/passwd", "plain name"], lambda index, files: index.update({DOWN: "/etc/passwd"}))
    broken("a shard that is missing", ["gone.safetensors", "cannot open"], lambda index, files: index.update({DOWN: "gone.safetensors"}))
    broken("an index that names the wrong shard", [HEAD, "but it is in"],
           lambda index, files: index.update({HEAD: files[1 - files.index(index[HEAD])]}))
    broken("an index without a tensor", [HEAD, "does not name"], lambda index, files: index.pop(HEAD))
    broken("an index with a tensor too many", ["model.more", "not there"], lambda index, files: index.update({"model.more": files[0]}))
    broken("an index with a number", ["model.more", "not a string"], lambda index, files: index.update({"model.more": 3}))
    for name, text, part in (("an index that is a list", "[]", "weight_map"), ("an index cut off", '{"weight_map": {', "not valid JSON"),
                             ("an index with a key twice", '{"weight_map": {"a": "b", "a": "b"}}', "twice")):
        where = t.place()
        t.sound.write_shards(where)
        (where / "model.safetensors.index.json").write_text(text)
        t.refused(name, ["model.safetensors.index.json", part], *t.generate(where, *IDS))

    def replaced(name, parts, file, make):
        where = t.place()
        t.sound.write(where)
        (where / file).unlink()
        make(where / file)
        t.refused(f"{name} for {file}", [where / file, *parts], *t.generate(where, "-p", "a", *(["--chat"] if "config" in file else [])))

    for file in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        replaced("a pipe", [], file, os.mkfifo)
        replaced("a directory", [], file, Path.mkdir)
        replaced("a symlink to /dev/zero", [], file, lambda path: path.symlink_to("/dev/zero"))
    for file in ("model.safetensors", "config.json"):
        replaced("a symlink to nothing", [], file, lambda path: path.symlink_to("nothing"))
        replaced("a symlink to itself", ["ymbolic"], file, lambda path: path.symlink_to(path.name))

    # The Hugging Face cache: snapshots/REVISION holds symlinks to ../../blobs. Links that a user has put are followed; only names
    # that a file gives must stay inside.
    blobs, snapshot = t.place() / "blobs", t.directory / f"m{t.count}" / "snapshots" / "main"
    blobs.parent.mkdir()
    t.sound.write(blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    t.accepted("a cache of symlinks", *t.generate(snapshot, "-p", "a"))


def config(t):
    """config.json, generation_config.json and YAML."""

    def broken(name, change, parts, ranks=0):
        model, where = t.sound.copy(), t.place()
        change(model.config)
        model.write(where)
        t.refused(name, [where / "config.json", *parts], "config", "--model", where, ranks=ranks)

    def text(name, content, parts, file="config.json"):
        where = t.place()
        t.sound.write(where)
        (where / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        t.refused(name, [where / file, *parts], "config", "--model", where)

    def sized(name, key, value, *parts):
        broken(name, lambda c: c.update({key: value}), [f"'{key}'", *parts])

    sized("10^18 layers", "num_hidden_layers", 10**18, 10**18, "1 to 10000")
    sized("10^30 as hidden size", "hidden_size", 10**30, "allowed: an integer")
    sized("zero heads", "num_attention_heads", 0, "is 0", "allowed: an integer from 1")
    sized("a negative vocabulary", "vocab_size", -331, "is -331")
    sized("half a layer", "num_hidden_layers", 2.5, "is 2.5")
    sized("an integer as text", "hidden_size", "42", 'is "42"')
    sized("null as hidden size", "hidden_size", None, "is null")
    sized("a list as hidden size", "hidden_size", [42], "a list of 1")
    sized("heads that do not divide", "num_key_value_heads", 2, "divisor of num_attention_heads, 7")
    sized("an odd head", "head_dim", 7, "is 7", "even")
    sized("an eps of 0", "rms_norm_eps", 0, "is 0")
    sized("a theta below 0", "rope_theta", -1.0, "is -1")
    sized("a token outside the vocabulary", "eos_token_id", [2, 331], "331", "0 to 330")
    sized("an unknown architecture", "architectures", ["GPT9ForCausalLM"], "GPT9ForCausalLM", "LlamaForCausalLM")
    sized("an activation of another kind", "hidden_act", "gelu", "silu")
    sized("quantized weights", "quantization_config", {"bits": 4}, "not supported")
    sized("a dtype of no use", "torch_dtype", "int8", "int8", "float32, bfloat16 or float16")
    broken("sizes whose product overflows", lambda c: c.update(vocab_size=2**31 - 1, hidden_size=2**31 - 1, intermediate_size=2**31 - 1, head_dim=6),
           ["parameters"], 2)
    broken("a missing key", lambda c: c.pop("num_hidden_layers"), ["missing key 'num_hidden_layers'"])
    sound = json.dumps(t.sound.config)
    text("a key twice", sound[:-1] + ', "hidden_size": 42}', ["'hidden_size'", "twice", "line 1"])
    text("a number beyond doubles", sound[:-1] + ', "x": 1e400}', ["1e400", "out of range"])
    text("NaN", sound[:-1] + ', "x": NaN}', ["broken JSON"])
    text("broken UTF-8", sound.encode()[:-1] + b', "x": "\xff"}', ["broken JSON"])
    text("a zero byte", sound.encode() + b"\0{}", ["zero byte"])
    text("a hundred thousand brackets", "[" * 100000, ["nested deeper than 64"])
    text("17 MiB", " " * (17 << 20), ["larger than 16 MiB"])
    text("an empty file", "", ["broken JSON"])
    text("a text that is no JSON", "vocab_size: 3", ["broken JSON"])
    text("an end of sequence that is text", '{"eos_token_id": "x"}', ["'eos_token_id'"], "generation_config.json")
    text("a list as generation_config.json", "[]", ["a map"], "generation_config.json")
    where = t.place()
    t.sound.write(where)
    (where / "config.json").write_bytes(b"\xef\xbb\xbf" + sound.encode())
    t.accepted("a byte order mark", "config", "--model", where, contains="vocab_size: 331")
    t.refused("a context beyond the model's", [where, "257", "256"], *t.generate(where, *IDS, "--max-model-len", "257"))
    t.refused("a model that is nowhere", ["no/such/model"], "config", "--model", "no/such/model", ranks=2)

    def yaml(name, content, parts):
        file = t.place().with_suffix(".yaml")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        t.refused(name, [file, *parts], "config", "--model", file)

    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    yaml("a YAML bomb of anchors", bomb, [":1:", "anchors"])
    yaml("a YAML tag", "model: !!python/object:os.system {}\n", [":1:", "tags"])
    yaml("a YAML key twice", "model:\n  vocab_size: 1\n  vocab_size: 1\n", [":3:", "'vocab_size'", "twice"])
    yaml("a YAML key that is unknown", "model:\n  path: .\nwieghts: x\n", [":3:", "'wieghts'"])
    yaml("YAML in another encoding", "model: é".encode("utf-16"), ["zero byte"])
    yaml("YAML of broken UTF-8", b"model: \xff\n", ["not UTF-8"])
    yaml("YAML in ten thousand brackets", "[" * 10000, [":1:"])
    yaml("two YAML documents", "model: {}\n---\nmodel: {}\n", ["more than one"])
    yaml("an engine option that is not", "model:\n  path: .\nengine:\n  max-num-seqs: -3\n", ["max-num-seqs", "-3"])


def text(t):
    """Tokenizer, chat template and prompts."""
    where = t.place()
    t.sound.write(where)
    prompts = t.directory / "prompts.txt"

    def with_prompts(name, content, parts, *more):
        prompts.write_bytes(content)
        t.refused(name, [prompts, *parts] if not more else parts, *t.generate(where, "--prompts", prompts, *more))

    prompts.write_bytes(b"a\0b\n\xff\xfe\xc3\n\xf0\x9f\x98\x80 ok\r\nlast")
    t.accepted("zero bytes and broken UTF-8 in prompts", *t.generate(where, "--prompts", prompts))
    t.accepted("the same through a template", *t.generate(where, "--prompts", prompts, "--chat"))
    with_prompts("an empty file of prompts", b"", ["empty"])
    prompts.write_bytes(b"x" * 300)
    t.refused("a prompt longer than the context", ["has 300 tokens", "context of 256"], *t.generate(where, "--prompts", prompts), ranks=2)
    with open(prompts, "wb") as file:
        file.truncate(1 << 30)
    t.refused("a line of 1 GiB", [prompts, "line 1", "64 MiB"], *t.generate(where, "--prompts", prompts))
    t.refused("prompts from /dev/zero", ["/dev/zero", "line 1", "64 MiB"], *t.generate(where, "--prompts", "/dev/zero"))
    t.refused("prompts from a directory", [where, "directory"], *t.generate(where, "--prompts", where))
    t.refused("prompts from nowhere", ["no/such", "cannot be opened"], *t.generate(where, "--prompts", "no/such"))
    t.refused("an id outside the vocabulary", ["331", "0 to 330"], *t.generate(where, "--prompt-token-ids", "1,331"))

    def broken(name, file, content, parts, *arguments):
        model, place = t.sound.copy(), t.place()
        model.texts[file] = content
        model.write(place)
        t.refused(name, [place, *parts], *(arguments or t.generate(place, "-p", "a", "--chat")))
        return place

    tokenizer = json.loads(t.sound.texts["tokenizer.json"])
    tokenizer["model"]["vocab"].update({f"<{i}>": 256 + i for i in range(100)})
    place = t.place()
    model = t.sound.copy()
    model.texts["tokenizer.json"] = json.dumps(tokenizer)
    model.write(place)
    t.refused("a tokenizer larger than the embedding, checked", [place, "up to 355", "331 rows"], "inspect", place, "--check")
    broken("a tokenizer cut off", "tokenizer.json", t.sound.texts["tokenizer.json"][:-20], ["tokenizer.json"])
    broken("a tokenizer of another kind", "tokenizer.json", "[]", ["tokenizer.json"])
    template = "{% set n = namespace(x='[INST]') %}" + "{% for i in [1,2,3,4,5,6,7,8,9,10] %}" * 2
    grow = "{% set n.x = n.x + n.x %}" + "{% endfor %}" * 2
    broken("a template that doubles", "tokenizer_config.json", json.dumps({"chat_template": template + grow}), ["line 1", "grows"])
    broken("a template that nests", "tokenizer_config.json",
           json.dumps({"chat_template": (template + grow).replace("n.x + n.x", "[n.x]")}), ["line 1", "nested deeper"])
    broken("a template without end", "tokenizer_config.json",
           json.dumps({"chat_template": "[INST]" + "{% for i in [1,2,3,4,5,6,7,8,9,10] %}" * 9 + "{% endfor %}" * 9}), ["too many steps"])
    broken("a template of a hundred thousand terms", "tokenizer_config.json",
           json.dumps({"chat_template": "[INST] {{ " + "1+" * 100000 + "1 }}"}), ["line 1", "levels"])
    broken("a template cut off", "tokenizer_config.json", json.dumps({"chat_template": "[INST] {% if x %}"}), ["endif"])
    broken("no template", "tokenizer_config.json", "{}", ["tokenizer_config.json", "no chat_template"])
    broken("a key twice beside the template", "tokenizer_config.json", '{"chat_template": "[INST]", "chat_template": ""}',
           ["'chat_template'", "twice"])


def ranks(t):
    """What only one rank meets: the job ends, with one message that names the rank."""
    work = t.place()
    for rank, change in ((0, {}), (1, {"hidden_size": -1})):
        model = t.sound.copy()
        model.config.update(change)
        (work / str(rank)).mkdir(parents=True)
        model.write(work / str(rank) / "model")
    shell = 'cd "$WORK/${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" && exec "$@"'
    os.environ["WORK"] = str(work)
    arguments = t.generate("model", *IDS)
    t.refused("a configuration that rank 1 alone cannot read", ["rank 1", "config.json", "'hidden_size'", "-1"], *arguments, ranks=2,
              shell=shell)
    (work / "1" / "model" / "config.json").write_text(json.dumps({**t.sound.config, "rms_norm_eps": 1e-3}))
    t.refused("a configuration that differs on rank 1", ["configuration"], *arguments, ranks=2, shell=shell)
    (work / "1" / "model" / "config.json").write_text(json.dumps(t.sound.config))
    weights = work / "1" / "model" / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-4])
    t.refused("weights that are cut on rank 1", ["rank 1", "model.safetensors", "truncated"], *arguments, ranks=2, shell=shell)
    weights.write_bytes(raw)
    t.accepted("two sound ranks", *arguments, ranks=2, shell=shell)


GROUPS = {"checkpoint": checkpoint, "shards": shards, "config": config, "text": text, "ranks": ranks}


def main():
    if "--list" in sys.argv[1:]:
        print("\n".join(GROUPS))
        return 0
    parser = launch.parser(__doc__)
    parser.add_argument("--group", choices=GROUPS, required=True)
    args = parser.parse_args()
    args.lockstep = str(Path(args.lockstep).resolve())
    with tempfile.TemporaryDirectory(prefix="lockstep-hostile-") as directory:
        tester = Tester(args, Path(directory))
        GROUPS[args.group](tester)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"largest resident memory of a process: {peak / 2**20:.0f} MiB")
    if peak > MEMORY_LIMIT:
        tester.failures.append(f"a process took {peak} bytes of memory")
    for failure in tester.failures:
        print(f"FAILED: {failure}")
    return 1 if tester.failures else 0


if __name__ == "__main__":
    sys.exit(main())
