// Options: everything that the command line or the YAML file's `engine:` section can set. Flag names follow vLLM's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

enum class DeviceChoice { kAuto, kCpu, kCuda };
enum class LoadFormat { kAuto, kDummy };
enum class AllReduceChoice { kAuto, kPeer, kNccl, kHierarchical };
enum class Switch { kOff, kOn };

// How a model writes calls of tools.
enum class ToolFormat {
  kNone,
  kHermes,      // <tool_call>{"name": ..., "arguments": {...}}</tool_call>: Hermes, Qwen 2.5, Qwen 3
  kLlama3Json,  // {"name": ..., "parameters": {...}}, nothing before it but <|python_tag|>; several between semicolons
  kMistral,     // [TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...], or [TOOL_CALLS]name[ARGS]{...}
};

// What form an output must have: docs/structured-output.md.
enum class GrammarKind { kNone, kJsonObject, kJsonSchema, kRegex };
struct GrammarSpec {
  GrammarKind kind = GrammarKind::kNone;
  std::string text;  // the JSON schema, or the regular expression
  bool operator==(const GrammarSpec&) const = default;
};

// How one prompt is continued; the same for all prompts of `generate`.
struct SamplingParams {
  int32_t n = 1;  // continuations; the i-th draws as if the seed were seed + i
  int32_t max_tokens = 128;
  int32_t min_tokens = 0;
  float temperature = 0.0f;  // 0, or below 1e-5: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::optional<uint64_t> seed;  // absent: drawn by rank 0
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool skip_special_tokens = true;                    // they make no text
  int32_t logprobs = -1;                              // -1: off; K >= 0: the chosen token's and the K best
  int32_t prompt_logprobs = -1;                       // likewise, of the prompt's tokens but the first
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to the logits of these tokens
  GrammarSpec grammar;                                // the form of the output
};

struct EngineOptions {
  std::string model;
  std::string tokenizer;  // empty: the model's
  DeviceChoice device = DeviceChoice::kAuto;
  std::string dtype = "auto";  // auto: the checkpoint's
  LoadFormat load_format = LoadFormat::kAuto;
  int32_t tensor_parallel_size = 0;  // 0: the number of ranks
  int64_t max_model_len = 0;         // 0: the model's, cut to what the KV pool holds
  int32_t max_num_seqs = 256;
  int32_t max_num_batched_tokens = 0;  // 0: 8192 on CUDA, 512 on the CPU
  int32_t block_size = 16;             // tokens per KV block
  double gpu_memory_utilization = 0.9;
  double kv_cache_memory_gib = 0.0;  // 0: decided from gpu_memory_utilization (CUDA) or a share of what the prompts need (CPU)
  int32_t threads = 0;               // per rank, CPU; 0: usable cores / ranks on the host
  bool enable_prefix_caching = true;
  Switch batch_invariant = Switch::kOff;
  AllReduceChoice allreduce = AllReduceChoice::kAuto;
  int32_t overlap_tokens = 0;     // steps of so many tokens and more run in two halves; 0: none
  double init_timeout_s = 300.0;  // every wait before the first step, weight loading included
  double step_timeout_s = 60.0;   // every wait within a step
  uint64_t seed = 0;              // of the weights of --load-format dummy
  bool operator==(const EngineOptions&) const = default;
};

}  // namespace lockstep
