// ModelConfig: what a model is, as numbers. Made from a Hugging Face directory or from a YAML file, validated once, never
// changed. Global sizes only: a rank's share is in src/partition.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lockstep {

enum class RopeScaling { kNone, kLinear, kLlama3 };

struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;                           // linear and llama3
  double low_freq_factor = 1.0;                  // llama3
  double high_freq_factor = 4.0;                 // llama3
  int64_t original_max_position_embeddings = 0;  // llama3
  bool operator==(const RopeConfig&) const = default;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;  // even; num_heads * head_dim need not equal hidden_size
  int64_t max_position_embeddings = 0;
  // Attention of some layer reaches back only this far; 0: none, or one that no context can exceed. load_model_config() has made
  // sure that the context asked for fits into it, where it changes nothing.
  int64_t sliding_window = 0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;  // q, k and v projections
  bool o_bias = false;    // attention output projection
  bool mlp_bias = false;  // gate, up and down projections
  bool qk_norm = false;   // RMSNorm over head_dim of every q and k head (Qwen3)
  RopeConfig rope;
  DType dtype = DType::kBFloat16;  // of the checkpoint, as its config says

  // From generation_config.json, config.json or the YAML file; may be empty.
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;

  // Where things are; empty when absent (a YAML architecture run with --load-format dummy and token ids).
  std::filesystem::path weights;    // directory with *.safetensors
  std::filesystem::path tokenizer;  // directory with tokenizer.json and tokenizer_config.json

  int64_t group() const { return num_heads / num_kv_heads; }
  double attention_scale() const;  // head_dim^-1/2
  // Rotary inverse frequencies with scaling applied, [head_dim / 2], as transformers computes them.
  std::vector<float> rope_inv_freq() const;
  // Number of parameters of the whole model (a tied LM head counts once).
  int64_t num_parameters() const;
  // A hash over everything that changes the result; ranks compare it at start-up.
  uint64_t hash() const;
  bool operator==(const ModelConfig&) const = default;
};

// path: a Hugging Face directory, a YAML file, or the name of a file in configs/models without its extension (looked for in
// ./configs/models, then beside the executable in ../configs/models and up to two folders higher).
// max_model_len: the context that will be served (--max-model-len), 0 for the model's max_position_embeddings. A model with a
// sliding window shorter than that is refused, as is a context longer than max_position_embeddings.
// The paths in the result are absolute. Throws Error naming file, line, key, value and what is allowed.
ModelConfig load_model_config(const std::filesystem::path& path, int64_t max_model_len = 0);

// The resolved configuration as YAML that load_model_config() reads back to the same value; what `lockstep config` prints.
std::string to_yaml(const ModelConfig& config);

}  // namespace lockstep
