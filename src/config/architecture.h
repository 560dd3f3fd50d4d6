// Architecture: what the name of a model class implies, as transformers' configuration classes and modeling files have it
// (src/transformers/models/{llama,mistral,qwen2,qwen3}).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lockstep {

enum class AttentionBias {
  kNone,   // never (Mistral)
  kQkv,    // always on q, k and v, never on o (Qwen2)
  kByKey,  // `attention_bias`, on q, k, v and o (Llama, Qwen3)
};

enum class WindowUse {
  kNever,   // the key has no effect (Llama)
  kAlways,  // wherever sliding_window is not null (Mistral)
  kByFlag,  // where use_sliding_window is true, in layers from max_window_layers on or as layer_types says (Qwen)
};

// Defaults of keys that a configuration may leave out.
struct Architecture {
  std::string_view name;        // in `architectures`
  std::string_view model_type;  // in `model_type`
  AttentionBias attention_bias;
  WindowUse window;
  bool has_mlp_bias_key;
  bool qk_norm;
  std::optional<int64_t> num_key_value_heads;  // nullopt: num_attention_heads
  std::optional<int64_t> head_dim;             // nullopt: hidden_size / num_attention_heads
  int64_t max_position_embeddings;
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> eos_token_id;
};

// The defaults that all of them share.
inline constexpr double kDefaultRmsNormEps = 1e-6;
inline constexpr double kDefaultRopeTheta = 10000.0;
inline constexpr int64_t kDefaultSlidingWindow = 4096;
inline constexpr int64_t kDefaultMaxWindowLayers = 28;

const std::vector<Architecture>& architectures();

// By class name ("Qwen2ForCausalLM") or model type ("qwen2"); nullptr when there is none.
const Architecture* find_architecture(std::string_view name_or_model_type);

}  // namespace lockstep
