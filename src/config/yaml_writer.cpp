// to_yaml(): the inverse of load_model_config() on our YAML.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "config/architecture.h"
#include "config/model_config.h"

namespace lockstep {
namespace {

std::string quoted(const std::filesystem::path& path) {
  YAML::Emitter out;
  out << YAML::DoubleQuoted << path.string();
  return out.c_str();
}

std::string rope_lines(const RopeConfig& rope) {
  std::string lines = fmt::format("  rope_theta: {}\n", rope.theta);
  if (rope.scaling == RopeScaling::kNone) return lines;
  lines += fmt::format("  rope_scaling:\n    rope_type: {}\n    factor: {}\n",
                       rope.scaling == RopeScaling::kLinear ? "linear" : "llama3", rope.factor);
  if (rope.scaling == RopeScaling::kLlama3) {
    lines += fmt::format("    low_freq_factor: {}\n    high_freq_factor: {}\n    original_max_position_embeddings: {}\n",
                         rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position_embeddings);
  }
  return lines;
}

std::string window_lines(const Architecture& arch, int64_t window) {
  const std::string value = window > 0 ? std::to_string(window) : "null";
  if (arch.window == WindowUse::kAlways) return fmt::format("  sliding_window: {}\n", value);
  if (window > 0) return fmt::format("  use_sliding_window: true\n  max_window_layers: 0\n  sliding_window: {}\n", value);
  return "";
}

// The biases follow from the architecture and two keys; any other combination has no spelling.
std::string bias_lines(const Architecture& arch, const ModelConfig& config) {
  const bool by_key = arch.attention_bias == AttentionBias::kByKey;
  const bool spelled = by_key ? config.qkv_bias == config.o_bias
                              : config.qkv_bias == (arch.attention_bias == AttentionBias::kQkv) && !config.o_bias;
  check(spelled && (arch.has_mlp_bias_key || !config.mlp_bias) && config.qk_norm == arch.qk_norm,
        "a {} with qkv_bias {}, o_bias {}, mlp_bias {}, qk_norm {} cannot be written as YAML", arch.name, config.qkv_bias,
        config.o_bias, config.mlp_bias, config.qk_norm);
  std::string lines;
  if (by_key) lines += fmt::format("  attention_bias: {}\n", config.qkv_bias);
  if (arch.has_mlp_bias_key) lines += fmt::format("  mlp_bias: {}\n", config.mlp_bias);
  return lines;
}

}  // namespace

std::string to_yaml(const ModelConfig& c) {
  const Architecture* arch = find_architecture(c.architecture);
  check(arch != nullptr, "unknown architecture '{}'", c.architecture);
  std::string yaml = fmt::format(
      "model:\n  architecture: {}\n  vocab_size: {}\n  hidden_size: {}\n  intermediate_size: {}\n  num_hidden_layers: {}\n"
      "  num_attention_heads: {}\n  num_key_value_heads: {}\n  head_dim: {}\n  max_position_embeddings: {}\n  rms_norm_eps: {}\n"
      "  tie_word_embeddings: {}\n",
      c.architecture, c.vocab_size, c.hidden_size, c.intermediate_size, c.num_layers, c.num_heads, c.num_kv_heads, c.head_dim,
      c.max_position_embeddings, c.rms_norm_eps, c.tie_word_embeddings);
  yaml += bias_lines(*arch, c) + rope_lines(c.rope) + window_lines(*arch, c.sliding_window);
  yaml += fmt::format("  dtype: {}\n  eos_token_id: [{}]\n  bos_token_id: {}\n", name_of(c.dtype),
                      fmt::join(c.eos_token_ids, ", "), c.bos_token_id ? std::to_string(*c.bos_token_id) : "null");
  if (!c.weights.empty()) yaml += fmt::format("weights: {}\n", quoted(c.weights));
  if (!c.tokenizer.empty()) yaml += fmt::format("tokenizer: {}\n", quoted(c.tokenizer));
  return yaml;
}

}  // namespace lockstep
