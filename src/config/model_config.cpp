#include "config/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>

namespace lockstep {

double ModelConfig::attention_scale() const { return 1.0 / std::sqrt(static_cast<double>(head_dim)); }

// After transformers' src/transformers/modeling_rope_utils.py (_compute_default_rope_parameters,
// _compute_linear_scaling_rope_parameters, _compute_llama3_parameters), in float32 and in the order in which PyTorch evaluates
// it: scalars become float32 when they meet a tensor, and scalar / tensor is the tensor's reciprocal times the scalar.
std::vector<float> ModelConfig::rope_inv_freq() const {
  const float theta = static_cast<float>(rope.theta);
  const float factor = static_cast<float>(rope.factor);
  const double context = static_cast<double>(rope.original_max_position_embeddings);
  const float low_freq_wavelen = static_cast<float>(context / rope.low_freq_factor);
  const float high_freq_wavelen = static_cast<float>(context / rope.high_freq_factor);

  std::vector<float> result(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < result.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    float inv_freq = 1.0f / std::pow(theta, exponent);
    if (rope.scaling == RopeScaling::kLinear) inv_freq /= factor;
    if (rope.scaling == RopeScaling::kLlama3) {
      const float wavelen = (1.0f / inv_freq) * static_cast<float>(2.0 * std::numbers::pi);
      if (wavelen > low_freq_wavelen) {
        inv_freq /= factor;
      } else if (!(wavelen < high_freq_wavelen)) {
        const float smooth = ((1.0f / wavelen) * static_cast<float>(context) - static_cast<float>(rope.low_freq_factor)) /
                             static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
        inv_freq = (1.0f - smooth) * inv_freq / factor + smooth * inv_freq;
      }
    }
    result[i] = inv_freq;
  }
  return result;
}

int64_t ModelConfig::num_parameters() const {
  const int64_t q = num_heads * head_dim;
  const int64_t kv = num_kv_heads * head_dim;
  int64_t layer = hidden_size * (q + 2 * kv) + q * hidden_size  // q, k, v and o projections
                  + 3 * hidden_size * intermediate_size         // gate, up, down
                  + 2 * hidden_size;                            // the two RMSNorms
  if (qkv_bias) layer += q + 2 * kv;
  if (o_bias) layer += hidden_size;
  if (mlp_bias) layer += 2 * intermediate_size + hidden_size;
  if (qk_norm) layer += 2 * head_dim;
  const int64_t embedding = vocab_size * hidden_size;
  return embedding * (tie_word_embeddings ? 1 : 2) + num_layers * layer + hidden_size;
}

// FNV-1a, 64 bits (Fowler, Noll, Vo), over the fields as text; floating-point numbers print so that they read back equal.
uint64_t ModelConfig::hash() const {
  const std::string text = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", architecture,
                                       vocab_size, hidden_size, intermediate_size, num_layers, num_heads, num_kv_heads, head_dim,
                                       max_position_embeddings, sliding_window, rms_norm_eps, tie_word_embeddings, qkv_bias,
                                       o_bias, mlp_bias, qk_norm, rope.theta, static_cast<int>(rope.scaling), rope.factor,
                                       rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position_embeddings,
                                       name_of(dtype), fmt::join(eos_token_ids, ","), bos_token_id.value_or(-1));
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace lockstep
