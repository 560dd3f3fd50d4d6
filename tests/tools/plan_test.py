#!/usr/bin/env python3
"""`lockstep plan` as people type it: alone and under mpirun, by name, directory and YAML, in all formats; and what it refuses."""

import json
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import launch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_S = 60

# DeepSeek-V2-Lite's configuration, as a directory of Hugging Face has it.
DEEPSEEK = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 102400, "hidden_size": 2048,
    "intermediate_size": 10944, "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
    "max_position_embeddings": 163840, "torch_dtype": "bfloat16", "rope_scaling": {"type": "yarn", "factor": 40},
    "topk_method": "greedy", "hidden_act": "silu",
}
AWQ = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768,
    "rope_theta": 1000000.0, "torch_dtype": "float16", "tie_word_embeddings": False, "eos_token_id": 151645,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
}


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


# A model that a benchmark runs in a moment.
TINY = """model:
  architecture: Qwen2ForCausalLM
  vocab_size: 530
  hidden_size: 96
  intermediate_size: 200
  num_hidden_layers: 2
  num_attention_heads: 6
  num_key_value_heads: 2
  max_position_embeddings: 256
  dtype: bfloat16
"""


def main():
    args = launch.parser(__doc__).parse_args()

    def run(*arguments, ranks=0, code=0):
        command = [args.lockstep, "plan", *map(str, arguments)]
        process = launch.start(launch.rank_command(args.mpirun, ranks, command) if ranks else command)
        out, err = launch.finish(process, TIMEOUT_S)
        expect(process.returncode == code, f"{arguments}: exit code {process.returncode}\n{out}\n{err}")
        return out if code == 0 else err

    def plan(*arguments):
        return json.loads(run(*arguments, "--output-format", "json"))

    def refused(*arguments, parts, code=1):
        message = run(*arguments, code=code)
        for part in parts:
            expect(part in message, f"{arguments}: '{part}' is not in: {message}")

    with tempfile.TemporaryDirectory(prefix="lockstep-plan-") as directory:
        where = Path(directory)

        # By name: the sizes of the model's card, the decision, every degree.
        text = run("--model", "llama-3-70b", "--gpu", "h100-80gb", "--max-model-len", 8192, "--concurrency", 8)
        for part in ("70.554 billion", "141.11 GB in bfloat16", "2.68 GB for a sequence of 8192 tokens", "Take tp 4"):
            expect(part in text, f"'{part}' is not in:\n{text}")
        expect(run("--model", "llama-3-70b", "--gpu", "h100-80gb", "--max-model-len", 8192, "--concurrency", 8, ranks=2) == text,
               "two ranks print something else than one")
        two_nodes = plan("--model", "llama-3-8b", "--gpu", "h100", "--gpus-per-node", 8, "--nodes", 2, "--interconnect", "nvlink4",
                         "--shapes", "16x512,64x2048,128x8192")
        expect([row["tp"] for row in two_nodes["rows"]] == list(range(1, 17)), "not every degree from 1 to 16")
        for row in two_nodes["rows"]:
            tp, messages = row["tp"], [p["message_bytes"] for p in row["prefill"]]
            expect(messages == [1 << 26, 1 << 30, 1 << 33], f"messages at hidden 4096: {messages}")
            sent = [p["message_link_bytes"] for p in row["prefill"]]
            expect(all(abs(s - 2 * (tp - 1) / tp * m) < 1 for s, m in zip(sent, messages)), f"tp {tp}: {sent}")
            expect(abs(row["link_bytes_per_token"] - 2 * 32 * 2 * (tp - 1) / tp * 4096 * 2) < 1, f"tp {tp}: bytes a token")
        expect(two_nodes["decision"]["choice"] == "tp 1", two_nodes["decision"])

        # Without --gpu: one line for each.
        table = plan("--model", "qwen2.5-72b", "--max-model-len", 8192)
        fewest = {gpu["gpu"]: gpu["fewest"] for gpu in table["gpus"]}
        expect(fewest["h200"] == 2 and fewest["b200"] == 1 and fewest["rtx-3060-12gb"] == 0, f"72B: {fewest}")

        # A directory of a model that does not run yet; quantized weights; a YAML file that names a directory.
        (where / "deepseek").mkdir()
        (where / "deepseek" / "config.json").write_text(json.dumps(DEEPSEEK))
        (where / "awq").mkdir()
        (where / "awq" / "config.json").write_text(json.dumps(AWQ))
        (where / "named.yaml").write_text("model:\n  path: awq\n")
        latent = plan("--model", where / "deepseek", "--gpu", "a100-80gb", "--max-model-len", 8192)
        expect(abs(latent["model"]["parameters"] - 15.7e9) < 0.05e9, latent["model"])
        expect(latent["model"]["kv_bytes_per_token"] == 27 * 576 * 2, latent["model"])
        expect(not latent["model"]["runs"] and "latent attention" in latent["model"]["missing"], latent["model"])
        for model in (where / "awq", where / "named.yaml"):
            awq = plan("--model", model, "--gpu", "rtx-3060-12gb", "--max-model-len", 8192)
            expect(awq["model"]["format"] == "int4" and abs(awq["model"]["weight_bytes"] - 5.57e9) < 0.02e9, awq["model"])
            expect(awq["decision"]["choice"] == "tp 1", awq["decision"])

        # A GPU of the user's, CPU ranks, Markdown, files.
        mine = where / "mine.yaml"
        mine.write_text((ROOT / "configs/hardware/h100-80gb.yaml").read_text().replace("memory_mib: 81079", "memory_mib: 10000"))
        small = plan("--model", "llama-3-8b", "--gpu", mine)
        expect(not small["rows"][0]["fits"] and small["rows"][3]["fits"], "8B on cards of 10 GB")
        cpu = plan("--model", "llama-3.2-1b", "--gpu", "epyc-9654", "--gpus-per-node", 4, "--max-model-len", 4096)
        expect(cpu["rows"][0]["fits"] and cpu["rows"][3]["token_seconds"] < cpu["rows"][0]["token_seconds"], "CPU ranks")
        markdown = run("--model", "qwen2.5-7b", "--gpu", "l4", "--output-format", "markdown", "--plot", where / "plan.svg", "--json",
                       where / "plan.json")
        expect("| tp | heads |" in markdown and "## " in markdown, markdown)
        ElementTree.parse(where / "plan.svg")
        expect(json.loads((where / "plan.json").read_text())["cluster"]["gpu"] == "l4", "--json")

        # What a benchmark reports of its memory is what plan predicts, to the byte.
        (where / "tiny.yaml").write_text(TINY)
        for ranks in (1, 3):
            result = where / f"latency{ranks}.json"
            bench = [args.lockstep, "bench", "latency", "--model", where / "tiny.yaml", "--load-format", "dummy", "--device", "cpu", "--json", result,
                     "--batch-sizes", "1,3", "--context", "20", "--output-len", "6", "--skip", "2", "--repeats", "1", "--threads", "1"]
            process = launch.start(launch.rank_command(args.mpirun, ranks, list(map(str, bench))))
            out, err = launch.finish(process, TIMEOUT_S)
            expect(process.returncode == 0, f"bench latency, {ranks} ranks: {out}\n{err}")
            compared = json.loads(run("--bench", result, "--gpu", "epyc-9654", "--output-format", "json"))["bench"][0]
            expect([row["what"] for row in compared["bytes"]] == ["weights", "activations", "buffers", "KV cache"], compared)
            for row in compared["bytes"]:
                expect(row["predicted"] == row["measured"] > 0, f"{ranks} ranks: {row}")
            expect(len(compared["seconds"]) == 2 and all(row["measured"] > 0 and row["predicted"] > 0 for row in compared["seconds"]), compared)
        refused("--bench", where / "latency1.json", parts=["latency1.json", "--gpu"])

        # Refusals name what, the value and what is allowed.
        refused("--gpu", "h100", parts=["--model"], code=2)
        refused("--model", "llama-3-8b", "--gpu", "h1000", parts=["--gpu h1000", "known are", "h100-80gb"])
        refused("--model", "llama-9", parts=["llama-9", "known names"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--interconnect", "infiniband-hdr", parts=["--interconnect infiniband-hdr", "inside a node"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--network", "infiniband-hdr", parts=["--network", "--nodes 2"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--dtype", "int3", parts=["--dtype int3", "int4"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--max-model-len", 9000, parts=["8192", "9000"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--context", 9000, parts=["--context", "8192"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "-tp", 9, parts=["--tensor-parallel-size 9", "8 ranks"])
        refused("--model", "llama-3-8b", "--gpu", "h100", "--batch-sizes", "0", parts=["--batch-sizes", "'0'"], code=2)
        refused("--model", "llama-3-8b", "--plot", where / "x.svg", parts=["--plot", "--gpu"])
        refused("--bench", where / "none.json", parts=["none.json"])
        (where / "bad.yaml").write_text("gpu:\n  memory_mib: many\n")
        refused("--model", "llama-3-8b", "--gpu", where / "bad.yaml", parts=["bad.yaml:2", "memory_mib", "many"])
        DEEPSEEK["num_experts_per_tok"] = 100
        (where / "deepseek" / "config.json").write_text(json.dumps(DEEPSEEK))
        refused("--model", where / "deepseek", "--gpu", "h100", parts=["num_experts_per_tok", "100", "64"])
        AWQ["hidden_size"] = -1
        (where / "awq" / "config.json").write_text(json.dumps(AWQ))
        refused("--model", where / "awq", "--gpu", "h100", parts=["hidden_size", "-1"])

    print("plan says what it should")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, TimeoutError) as error:
        print(f"FAILED: {error}")
        sys.exit(1)
