#include "config/architecture.h"

namespace lockstep {

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = {
      {.name = "LlamaForCausalLM",
       .model_type = "llama",
       .attention_bias = AttentionBias::kByKey,
       .window = WindowUse::kNever,
       .has_mlp_bias_key = true,
       .qk_norm = false,
       .num_key_value_heads = std::nullopt,
       .head_dim = std::nullopt,
       .max_position_embeddings = 2048,
       .bos_token_id = 1,
       .eos_token_id = 2},
      {.name = "MistralForCausalLM",
       .model_type = "mistral",
       .attention_bias = AttentionBias::kNone,
       .window = WindowUse::kAlways,
       .has_mlp_bias_key = false,
       .qk_norm = false,
       .num_key_value_heads = 8,
       .head_dim = std::nullopt,
       .max_position_embeddings = 131072,
       .bos_token_id = 1,
       .eos_token_id = 2},
      {.name = "Qwen2ForCausalLM",
       .model_type = "qwen2",
       .attention_bias = AttentionBias::kQkv,
       .window = WindowUse::kByFlag,
       .has_mlp_bias_key = false,
       .qk_norm = false,
       .num_key_value_heads = 32,
       .head_dim = std::nullopt,
       .max_position_embeddings = 32768,
       .bos_token_id = std::nullopt,
       .eos_token_id = std::nullopt},
      {.name = "Qwen3ForCausalLM",
       .model_type = "qwen3",
       .attention_bias = AttentionBias::kByKey,
       .window = WindowUse::kByFlag,
       .has_mlp_bias_key = false,
       .qk_norm = true,
       .num_key_value_heads = 32,
       .head_dim = 128,
       .max_position_embeddings = 32768,
       .bos_token_id = std::nullopt,
       .eos_token_id = std::nullopt},
  };
  return all;
}

const Architecture* find_architecture(std::string_view name_or_model_type) {
  for (const Architecture& a : architectures()) {
    if (a.name == name_or_model_type || a.model_type == name_or_model_type) return &a;
  }
  return nullptr;
}

}  // namespace lockstep
