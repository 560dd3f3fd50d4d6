#!/usr/bin/env python3
"""Runs each `lockstep bench` on a tiny model and checks the figures in its --json: that they fit each other, that the floor is that of
the model's shapes, and that wrong input is refused. Times themselves are not judged here.

  bench_test.py --list
  bench_test.py --mpirun mpirun --lockstep build/cpu/bin/lockstep --case latency
"""

import json
import math
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

TIMEOUT = 120
FLOPS = 1e9  # FLOP/s given to every run, so low that many rows of a small model compute for longer than they read

# 12 query heads on 4 KV heads.
SHAPE = {"vocab_size": 304, "hidden_size": 96, "intermediate_size": 208, "num_hidden_layers": 3, "num_attention_heads": 12,
         "num_key_value_heads": 4, "head_dim": 16, "max_position_embeddings": 256}
YAML = "model:\n  architecture: LlamaForCausalLM\n" + "".join(f"  {key}: {value}\n" for key, value in SHAPE.items()) + """\
  rms_norm_eps: 1.0e-5
  rope_theta: 10000.0
  tie_word_embeddings: false
  dtype: bfloat16
"""


class Failure(Exception):
    pass


def expect(condition, *what):
    if not condition:
        raise Failure(" ".join(map(str, what)))


def close(actual, expected, what):
    expect(math.isclose(actual, expected, rel_tol=1e-6), what, "is", actual, "and should be", expected)


def tokenizer_json():
    """Byte-level BPE without merges: every byte is a token."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1), *range(ord("\u00ae"), ord("\u00ff") + 1)]
    moved = [byte for byte in range(256) if byte not in kept]
    symbols = [chr(byte) for byte in kept] + [chr(256 + i) for i in range(len(moved))]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {symbol: i for i, symbol in enumerate(symbols)}, "merges": []}}


class Runner:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.model = directory / "model.yaml"
        self.model.write_text(YAML)
        self.tokenizer = directory / "tokenizer.json"
        self.tokenizer.write_text(json.dumps(tokenizer_json()))

    def process(self, arguments):
        command = [self.args.lockstep, "bench", *map(str, arguments)]
        if arguments[0] != "engine":  # which computes nothing
            command += ["--device", self.args.device]
        if self.args.ranks > 1:
            command = launch.rank_command(self.args.mpirun, self.args.ranks, command)
        process = launch.start(command)
        out, err = launch.finish(process, TIMEOUT)
        return process.returncode, out, err

    def run(self, which, *arguments):
        """The results; also that the table on stdout has the row count of the JSON."""
        file = self.directory / f"{which}.json"
        code, out, err = self.process([which, "--model", self.model, "--load-format", "dummy", "--flops-rate", FLOPS / 1e12, "--json",
                                       file, *arguments])
        expect(code == 0, f"exit code {code}\n--- stdout\n{out}\n--- stderr\n{err}")
        results = json.loads(file.read_text())
        expect(results["benchmark"] == which and results["ranks"] == self.args.ranks, results)
        expect(len(results["read_bandwidth_bytes_per_second"]) == self.args.ranks, results)
        expect(all(rate == FLOPS for rate in results["flops_per_second"]), results)
        if which != "kernels":
            expect(0 < results["first_token_seconds"] < TIMEOUT, results)
            expect("first token" in out, out)
        return results, out

    def pool_gib(self, blocks):
        """GiB a rank for so many KV blocks of 16 tokens in bfloat16; the ranks must divide the KV heads."""
        heads = SHAPE["num_key_value_heads"] // self.args.ranks
        return blocks * 16 * SHAPE["num_hidden_layers"] * 2 * heads * SHAPE["head_dim"] * 2 / 2**30 * 1.001

    def refuse(self, words, *arguments):
        code, out, err = self.process(arguments)
        expect(code != 0, f"accepted: {arguments}\n--- stdout\n{out}")
        for word in words:
            expect(word in err, f"'{word}' is not in the message\n{err}")


def one_rank_floor(results, tokens, sampled, kv_tokens, attended):
    """Seconds of a step on one rank, from the shapes: the sum over operations of max(bytes / bandwidth, FLOPs / rate)."""
    bandwidth = results["read_bandwidth_bytes_per_second"][0]
    m, size = SHAPE, 2
    h, q, kv = m["hidden_size"], m["num_attention_heads"] * m["head_dim"], m["num_key_value_heads"] * m["head_dim"]

    def linear(rows, fan_in, fan_out):
        return max(fan_in * fan_out * size / bandwidth, 2 * rows * fan_in * fan_out / FLOPS)

    layer = (linear(tokens, h, q + 2 * kv) + linear(tokens, q, h) + linear(tokens, h, 2 * m["intermediate_size"]) +
             linear(tokens, m["intermediate_size"], h) + max(kv_tokens * 2 * kv * size / bandwidth, 4 * attended * q / FLOPS))
    return m["num_hidden_layers"] * layer + linear(sampled, h, m["vocab_size"])


def check_times(row, median):
    """seconds is the median of those of the repeats; the floor's share fits both."""
    repeats = sorted(row[median + "_of_repeats"])
    expect(all(time > 0 for time in repeats), row)
    middle = len(repeats) // 2
    close(row[median], repeats[middle] if len(repeats) % 2 else (repeats[middle - 1] + repeats[middle]) / 2, median)
    close(row["floor_ratio"], row["floor_seconds"] / row[median], "floor_ratio")


def case_latency(runner):
    results, out = runner.run("latency", "--batch-sizes", "1,3", "--context", "9,40", "--output-len", 12, "--skip", 4, "--repeats", 3)
    points = [(row["context"], row["batch"]) for row in results["rows"]]
    expect(points == [(9, 1), (9, 3), (40, 1), (40, 3)], points)
    for row in results["rows"]:
        expect(row["fits"] and len(row["seconds_per_step_of_repeats"]) == 3, row)
        check_times(row, "seconds_per_step")
        steps = [row[f"interval_p{percent}_seconds"] for percent in (50, 90, 99, 100)]
        expect(0 < steps[0] and steps == sorted(steps), row)
        expect(min(row["seconds_per_step_of_repeats"]) <= steps[-1], "the mean step is above the longest", row)
        close(row["tokens_per_second"] * row["seconds_per_step"], row["batch"], "tokens a step")
        if runner.args.ranks == 1:
            context = row["context"] + (4 + 12 - 1) / 2  # the step in the middle of tokens 5 to 12
            reads = row["batch"] * context
            close(row["floor_seconds"], one_rank_floor(results, row["batch"], row["batch"], reads, reads), "floor_seconds")
    expect(out.count("%") == 4, out)
    # A step makes 2 AllReduces a layer and one for the embedding. Prompts of one batch fit one step, and all repeats are alike.
    steps = 3 * 4 * 12
    if runner.args.device == "cpu":  # CUDA may run a step once more to make a graph of it
        expect(results["all_reduce_calls"] == steps * (2 * SHAPE["num_hidden_layers"] + 1), results["all_reduce_calls"], steps)


def case_latency_too_large(runner):
    # A pool of 70 blocks of 16 tokens: 8 x 204 do not fit, 2 x 204 do.
    results, out = runner.run("latency", "--batch-sizes", "2,8", "--context", 200, "--output-len", 4, "--skip", 1, "--repeats", 1,
                              "--kv-cache-memory-gib", runner.pool_gib(70), "--profile", runner.directory / "trace.json")
    expect(len(read_trace(runner.directory / "trace.json")["host"]["step"]) >= 3, "the batch that fits is not in the trace")
    expect([row["fits"] for row in results["rows"]] == [True, False], results["rows"])
    expect("does not fit the KV cache" in out, out)
    expect("seconds_per_step" not in results["rows"][1], results["rows"])


def case_prefill(runner):
    results, _ = runner.run("prefill", "--shapes", "1x50,3x33", "--repeats", 2, "--max-num-batched-tokens", 40)
    expect([(row["batch"], row["length"]) for row in results["rows"]] == [(1, 50), (3, 33)], results["rows"])
    for row in results["rows"]:
        check_times(row, "seconds")
        close(row["tokens_per_second"] * row["seconds"], row["batch"] * row["length"], "tokens")
    if runner.args.ranks == 1:
        # In chunks of 40 tokens: 40 + 10; the second attends to all 50.
        chunks = one_rank_floor(results, 40, 0, 40, 40 * 41 / 2) - 96 * 304 * 2 / results["read_bandwidth_bytes_per_second"][0]
        chunks += one_rank_floor(results, 10, 1, 50, 50 * 51 / 2 - 40 * 41 / 2)
        close(results["rows"][0]["floor_seconds"], chunks, "floor_seconds")


def check_throughput(results, lengths):
    """lengths: (prompt, output) of each request."""
    prompts, outputs = sum(p for p, _ in lengths), sum(o for _, o in lengths)
    expect((results["requests"], results["prompt_tokens"], results["output_tokens"]) == (len(lengths), prompts, outputs), results)
    check_times(results, "seconds")
    close(results["output_tokens_per_second"] * results["seconds"], outputs, "output tokens")
    close(results["total_tokens_per_second"] * results["seconds"], prompts + outputs, "all tokens")
    close(results["mean_outputs_per_step"] * results["steps"], outputs, "outputs of all steps")
    computed = results["mean_tokens_per_step"] * results["steps"]  # the last token of a request is not computed
    if results["preemptions"] == 0:
        close(computed, prompts + outputs - len(lengths), "query tokens of all steps")
    if results["ranks"] == 1:
        m = SHAPE
        h, q, kv = m["hidden_size"], m["num_attention_heads"] * m["head_dim"], m["num_key_value_heads"] * m["head_dim"]
        elements = m["num_hidden_layers"] * h * (2 * q + 2 * kv + 3 * m["intermediate_size"])
        tokens = [p + o - 1 for p, o in lengths]
        flops = 2 * elements * sum(tokens) + 2 * h * m["vocab_size"] * outputs
        flops += m["num_hidden_layers"] * 4 * q * sum(n * (n + 1) // 2 for n in tokens)
        close(results["flops"], flops, "flops")
        bandwidth = results["read_bandwidth_bytes_per_second"][0]
        close(results["floor_seconds"], max(flops / FLOPS, results["bytes"] / bandwidth), "floor_seconds")
        expect(results["bytes"] > results["steps"] * 2 * (elements + h * m["vocab_size"]), "bytes", results["bytes"])


def case_throughput(runner):
    results, _ = runner.run("throughput", "--num-requests", 21, "--input-len", 30, "--output-len", 7, "--repeats", 3, "--max-num-seqs", 8)
    check_throughput(results, [(30, 7)] * 21)
    expect(results["preemptions"] == 0, results)
    expect(results["steps"] >= 21 * 7 / 8, "8 at a time need at least", 21 * 7 / 8, "steps:", results["steps"])


def case_throughput_ranges(runner):
    results, _ = runner.run("throughput", "--num-requests", 40, "--input-len", 20, "--output-len", 10, "--range-ratio", 0.5)
    expect(results["requests"] == 40, results)
    # Between 10 and 30, and 5 and 15; that 40 drawn lengths add up to the mean's sum or come near an end is next to impossible.
    expect(40 * 14 < results["prompt_tokens"] < 40 * 26 and results["prompt_tokens"] != 800, results["prompt_tokens"])
    expect(40 * 7 < results["output_tokens"] < 40 * 13 and results["output_tokens"] != 400, results["output_tokens"])


def case_preemption(runner):
    # A pool of 40 blocks: sequences of 20 + 100 tokens take 2 blocks at first and 8 in the end.
    results, _ = runner.run("throughput", "--num-requests", 12, "--input-len", 20, "--output-len", 100, "--kv-cache-memory-gib",
                            runner.pool_gib(40))
    expect(results["preemptions"] > 0, results)
    check_throughput(results, [(20, 100)] * 12)


def case_json_lines(runner):
    file = runner.directory / "requests.jsonl"
    file.write_text("\n".join([json.dumps({"prompt": "Hello", "max_tokens": 3}),
                               json.dumps({"prompt_token_ids": [1, 2, 3, 303]}), "",
                               json.dumps({"prompt": [5, 6], "max_tokens": 4, "custom": True}),
                               json.dumps({"prompt": "left out"})]) + "\n")
    results, _ = runner.run("throughput", "--dataset", file, "--tokenizer", runner.tokenizer, "--num-requests", 3, "--output-len", 9)
    check_throughput(results, [(5, 3), (4, 9), (2, 4)])


def case_chat_lines(runner):
    template = "{% for m in messages %}<|im_start|>{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}>"
    (runner.directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    file = runner.directory / "chat.jsonl"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}) + "\n")
    results, _ = runner.run("throughput", "--dataset", file, "--tokenizer", runner.tokenizer)
    check_throughput(results, [(len("<|im_start|>user:Hi\n>"), 2)])


def case_share_gpt(runner):
    file = runner.directory / "sharegpt.json"

    def talk(*texts):
        return {"id": "x", "conversations": [{"from": who, "value": text} for who, text in zip(["human", "gpt"] * 2, texts)]}

    file.write_text(json.dumps([talk("What?", "That."), talk("alone"), talk("x" * 250, "y" * 20), talk("", "empty"),
                                talk("One", "two", "three"), talk("never", "reached")]))
    results, _ = runner.run("throughput", "--dataset", file, "--tokenizer", runner.tokenizer, "--num-requests", 2)
    check_throughput(results, [(5, 5), (3, 3)])


def case_kernels(runner):
    results, out = runner.run("kernels", "--tokens", "1,5,40", "--context", "7,64", "--repeats", 2, "--max-num-seqs", 8)
    rows = {(row["operation"], row["tokens"], row.get("context")): row for row in results["rows"]}
    expect(len(rows) == len(results["rows"]), "an operation is there twice")
    for name in ("embedding", "rope_table", "qkv", "norm_rope_store", "o", "add_rms_norm", "gate_up silu_mul", "down"):
        expect(all((name, tokens, None) in rows for tokens in (1, 5, 40)), "no", name)
    for name in ("gather_rows", "lm_head", "candidates greedy", "choose_tokens", "penalties", "top-k top-p", "top-p", "candidates sampled"):
        expect([tokens for tokens in (1, 5, 40) if (name, tokens, None) in rows] == [1, 5], name)  # 40 is above --max-num-seqs
    decode = sorted((tokens, context) for name, tokens, context in rows if name == "attention decode")
    expect(decode == [(1, 7), (1, 64), (5, 7), (5, 64)], decode)
    expect(sorted(context for name, _, context in rows if name == "attention prefill") == [5, 40], rows.keys())
    bandwidth = results["read_bandwidth_bytes_per_second"][0]
    for row in rows.values():
        expect(row["seconds"] > 0 and row["bytes"] >= 0 and row["flops"] >= 0, row)
        close(row["floor_seconds"], max(row["bytes"] / bandwidth, row["flops"] / FLOPS), row["operation"])
    if runner.args.ranks == 1:
        close(rows[("gate_up silu_mul", 5, None)]["flops"], 2 * 5 * 96 * 416, "FLOPs of gate_up")
        close(rows[("attention decode", 5, 64)]["flops"], 4 * 5 * 64 * 12 * 16, "FLOPs of attention")
    expect(out.count("sum of a decode step") == 4, out)


def case_load(runner):
    """Every rank loads its part of a checkpoint of three files: bytes as the headers say, each rate from bytes and seconds."""
    checkpoint, file = runner.directory / "checkpoint", runner.directory / "load.json"
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_checkpoint.py"
    subprocess.run([sys.executable, script, "--shape", "smollm2-135m", "--layers", "2", "--shards", "3", checkpoint], check=True)
    total = norms = 0
    for path in checkpoint.glob("*.safetensors"):
        header = path.read_bytes()
        header = json.loads(header[8:8 + int.from_bytes(header[:8], "little")])
        header.pop("__metadata__", None)
        for tensor in header.values():
            begin, end = tensor["data_offsets"]
            total += end - begin
            norms += end - begin if len(tensor["shape"]) == 1 else 0
    # 9 query heads on 3 KV heads: two ranks hold 5 and 4 query heads, and both the KV head that the cut goes through.
    twice = norms + 2 * 2 * 64 * 576 * 2 if runner.args.ranks == 2 else norms * (runner.args.ranks - 1)
    for arguments in ([], ["--dtype", "float32", "--repeats", 1], ["--cold", "--repeats", 1]):
        code, out, err = runner.process(["load", "--model", checkpoint, "--json", file, *arguments])
        expect(code == 0, f"exit code {code}\n--- stdout\n{out}\n--- stderr\n{err}")
        results = json.loads(file.read_text())
        expect(results["benchmark"] == "load" and results["ranks"] == runner.args.ranks, results)
        expect(results["cold"] == ("--cold" in arguments), results)
        for what in ("load", "floor"):
            measured = results[what]
            expect(len(measured["bytes"]) == len(measured["seconds"]) == runner.args.ranks, what, measured)
            expect(sum(measured["bytes"]) == total + twice, what, "read", measured["bytes"], "of", total, "and", twice)
            expect(all(seconds > 0 for seconds in measured["seconds"]), what, measured)
            close(measured["bytes_per_second"], sum(measured["bytes"]) / max(measured["seconds"]), what)
        size = 2 if "float32" in arguments else 1
        in_memory = sum(results["memory"]["bytes"]) / size - total - twice
        expect(0 <= in_memory < 256 * 40 * runner.args.ranks, "memory", results["memory"], total, twice)  # parameters are aligned
        expect(len(out.splitlines()) == 3 + runner.args.ranks, out)  # what it is, the header, the ranks, all
    runner.refuse(["names no weights", "checkpoint"], "load", "--model", runner.model)


def case_engine(runner):
    file = runner.directory / "engine.json"
    schema = runner.directory / "schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}},
                                  "required": ["a", "b"]}))
    text = ["--tokenizer", runner.tokenizer, "--no-enable-prefix-caching"]
    for arguments in ([], text, [*text, "--json-schema", schema]):
        code, out, err = runner.process(["engine", "--batch-size", "1,40", "--steps", 100, "--repeats", 2, "--json", file, *arguments])
        expect(code == 0, f"exit code {code}\n--- stdout\n{out}\n--- stderr\n{err}")
        results = json.loads(file.read_text())
        form = schema in arguments
        expect(results["benchmark"] == "engine" and results["ranks"] == runner.args.ranks, results)
        expect(results["text"] == bool(arguments) and results["prefix_caching"] == (not arguments) and results["form"] == form, results)
        expect([row["sequences"] for row in results["rows"]] == [1, 40], results)
        for row in results["rows"]:
            parts = dict(row["parts_us"])
            expect((parts.pop("mask") > 0) == form, row)  # masks are looked up where the output has a form, and only there
            expect(row["step_us"] > 0 and row["first_us"] > 0 and all(us > 0 for us in parts.values()) and len(parts) == 6, row)
        expect(len(out.splitlines()) == 4 and ("held to a schema" in out) == form, out)
    runner.refuse(["--steps", "5"], "engine", "--steps", 5)
    runner.refuse(["--json-schema", "--tokenizer"], "engine", "--json-schema", schema)
    schema.write_text('{"type": "odd"}')
    runner.refuse(["JSON schema", "/type", "odd"], "engine", *text, "--json-schema", schema)
    runner.refuse(["no/such.json", "--json-schema"], "engine", *text, "--json-schema", "no/such.json")


def read_trace(file):
    """name -> list of (begin, end) in microseconds, of the host and of the device."""
    events = json.loads(file.read_text())["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    rows = {"host": {}, "device": {}}
    for event in events:
        if event["ph"] == "X":
            expect(event["dur"] >= 0 and event["ts"] >= 0, event)
            rows[processes[event["pid"]]].setdefault(event["name"], []).append((event["ts"], event["ts"] + event["dur"]))
    return rows


def draw_trace(trace, picture):
    script = Path(__file__).resolve().parents[2] / "scripts" / "plot_trace.py"
    process = launch.start([sys.executable, script, trace, picture])
    _, err = launch.finish(process, TIMEOUT)
    expect(process.returncode == 0, "plot_trace.py:", err)
    titles = [title.text for title in xml.etree.ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}title")]
    expect(any(title.startswith("step: ") for title in titles), "no step in the picture", titles[:5])


def case_profile(runner):
    few = ["--profile-steps", 3, "--profile", runner.directory / "trace.json"]
    for which, arguments, steps in (("latency", ["--batch-sizes", "2", "--context", 8, "--output-len", 24, "--repeats", 1], 3),
                                    ("prefill", ["--shapes", "1x64", "--repeats", 1], 1),
                                    ("throughput", ["--num-requests", 9, "--input-len", 8, "--output-len", 20], 3)):
        runner.run(which, *arguments, *few)
        rows = read_trace(runner.directory / "trace.json")
        traced = len(rows["host"].get("step", []))
        # The whole of a prefill is traced; where steps run ahead, its token comes with a later call.
        expect(traced >= 1 if which == "prefill" else traced == steps, which, "traced", rows["host"].keys())
        if runner.args.device == "cuda":
            expect(len(rows["device"]) >= 5, which, "saw few kernels:", rows["device"].keys())
            begin, end = min(b for b, _ in rows["host"]["step"]), max(e for _, e in rows["host"]["step"])
            inside = [b for spans in rows["device"].values() for b, _ in spans if begin - 1000 <= b <= end + 100000]
            expect(len(inside) >= 5, which, "the device's clock is not the host's")
        else:
            expect(not rows["device"], rows["device"].keys())
        draw_trace(runner.directory / "trace.json", runner.directory / "trace.svg")
        (runner.directory / "trace.json").unlink()


def case_generate(runner):
    trace = runner.directory / "trace.json"
    command = [runner.args.lockstep, "generate", "--model", runner.model, "--load-format", "dummy", "--prompt-token-ids", "1,2,3",
               "--max-tokens", 9, "--ignore-eos", "--profile", trace, "--profile-steps", 4, "--device", runner.args.device]
    process = launch.start([str(word) for word in command])
    _, err = launch.finish(process, TIMEOUT)
    expect(process.returncode == 0, err)
    steps = read_trace(trace)["host"]["step"]
    expect(len(steps) == 4 and steps == sorted(steps), steps)
    seconds = float(err.split("first token ")[1].split()[0])
    expect(0.01 <= seconds < TIMEOUT, err)


def case_refusals(runner):
    model = ["--model", runner.model, "--load-format", "dummy"]
    runner.refuse(["context of 304 tokens", "has 256"], "latency", *model, "--context", 300, "--output-len", 4, "--skip", 1)
    runner.refuse(["batch of 9", "--max-num-seqs 8"], "latency", *model, "--batch-sizes", 9, "--max-num-seqs", 8)
    runner.refuse(["batch of 9", "--max-num-seqs 8"], "prefill", *model, "--shapes", "9x4", "--max-num-seqs", 8)
    runner.refuse(["context of 8001"], "prefill", *model)
    runner.refuse(["ask for 300 tokens", "256"], "kernels", *model, "--tokens", 300, "--context", 8)
    runner.refuse(["--json", "cannot be written"], "prefill", *model, "--shapes", "1x4", "--repeats", 1, "--json", "/nowhere/x.json")
    runner.refuse(["--profile", "cannot be written"], "prefill", *model, "--shapes", "1x4", "--profile", "/nowhere/x.json")
    runner.refuse(["no/such.jsonl", "cannot be opened"], "throughput", *model, "--dataset", "no/such.jsonl")
    file = runner.directory / "bad.jsonl"
    good = json.dumps({"prompt_token_ids": [1]}) + "\n"
    for line, words in (("{", ["not JSON"]), ("[]", ["not JSON", "entry"]), ('"text"', ["string where a request"]),
                        ('{"prompt": "text"}', ["no tokenizer", "--tokenizer"]), ('{"prompt_token_ids": [304]}', ["304", "vocabulary"]),
                        ('{"prompt_token_ids": [-1]}', ["-1"]), ('{"prompt_token_ids": [1.5]}', ["1.5"]),
                        ('{"prompt_token_ids": []}', ["no tokens"]), ('{"max_tokens": 3}', ["0 of prompt"]),
                        ('{"prompt": [1], "messages": []}', ["2 of prompt"]), ('{"prompt": [1], "max_tokens": 0}', ["max_tokens", "0"]),
                        ('{"prompt": [1], "max_tokens": 256}', ["exceed", "256"])):
        first = "" if line == "[]" else good
        file.write_text(first + (line if first else "[") + "\n")
        runner.refuse(["bad.jsonl", *(["line 2"] if first else []), *words], "throughput", *model, "--dataset", file)
    for text in ("", "\n\n"):
        file.write_text(text)
        runner.refuse(["bad.jsonl", "no usable request"], "throughput", *model, "--dataset", file)


CASES = {name.removeprefix("case_"): function for name, function in globals().items() if name.startswith("case_")}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    parser = launch.parser(__doc__, device=True)
    parser.add_argument("--case", required=True, choices=CASES)
    parser.add_argument("--ranks", type=int, default=1)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as directory:
            CASES[args.case](Runner(args, Path(directory)))
    except (Failure, TimeoutError) as error:
        print(f"FAILED: {args.case}, {args.ranks} ranks, {args.device}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
