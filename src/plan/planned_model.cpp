#include "plan/planned_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace lockstep {
namespace {

struct FormatName {
  std::string_view name;
  WeightFormat format;
};
constexpr std::array kFormats = {FormatName{"float32", WeightFormat::kFloat32}, FormatName{"bfloat16", WeightFormat::kBFloat16},
                                 FormatName{"float16", WeightFormat::kFloat16}, FormatName{"fp8", WeightFormat::kFp8},
                                 FormatName{"int8", WeightFormat::kInt8},       FormatName{"int4", WeightFormat::kInt4},
                                 FormatName{"fp32", WeightFormat::kFloat32},    FormatName{"bf16", WeightFormat::kBFloat16},
                                 FormatName{"fp16", WeightFormat::kFloat16}};

constexpr int64_t kDefaultGroup = 128;  // of int4: GPTQ's and AWQ's usual one

// Elements of a gated MLP: gate, up, down.
int64_t mlp_elements(int64_t hidden, int64_t intermediate) { return 3 * hidden * intermediate; }

// What latent attention has instead of q, k, v and o, norms included.
int64_t latent_elements(const ModelConfig& c, const LatentAttention& a) {
  const int64_t q_out = c.num_heads * (a.nope_dim + a.rope_dim);
  const int64_t q = a.q_rank > 0 ? c.hidden_size * a.q_rank + a.q_rank + a.q_rank * q_out : c.hidden_size * q_out;
  const int64_t kv = c.hidden_size * (a.kv_rank + a.rope_dim) + a.kv_rank + a.kv_rank * c.num_heads * (a.nope_dim + a.v_dim);
  return q + kv + c.num_heads * a.v_dim * c.hidden_size;
}

int64_t attention_elements(const ModelConfig& c) {
  return c.hidden_size * (c.num_heads + 2 * c.num_kv_heads) * c.head_dim + c.num_heads * c.head_dim * c.hidden_size +
         (c.qkv_bias ? (c.num_heads + 2 * c.num_kv_heads) * c.head_dim : 0) + (c.o_bias ? c.hidden_size : 0) +
         (c.qk_norm ? 2 * c.head_dim : 0);
}

}  // namespace

std::string_view name_of(WeightFormat format) {
  return std::find_if(kFormats.begin(), kFormats.end(), [&](const FormatName& f) { return f.format == format; })->name;
}

WeightFormat weight_format_from_name(std::string_view name) {
  std::vector<std::string_view> names;
  for (const FormatName& f : kFormats) {
    if (f.name == name) return f.format;
    names.push_back(f.name);
  }
  fail("'{}' is not allowed; allowed: auto, {}", name, fmt::join(names, ", "));
}

int bits_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32: return 32;
    case WeightFormat::kFp8:
    case WeightFormat::kInt8: return 8;
    case WeightFormat::kInt4: return 4;
    default: return 16;
  }
}

bool is_quantized(WeightFormat format) { return bits_of(format) < 16; }

int64_t Experts::layers(int64_t num_layers) const {
  return num_layers <= first_layer ? 0 : (num_layers - first_layer + every - 1) / every;
}

DType PlannedModel::base_dtype() const {
  switch (format) {
    case WeightFormat::kFloat32: return DType::kFloat32;
    case WeightFormat::kFloat16: return DType::kFloat16;
    case WeightFormat::kBFloat16: return DType::kBFloat16;
    default: return config.dtype == DType::kFloat16 ? DType::kFloat16 : DType::kBFloat16;
  }
}

int64_t PlannedModel::num_parameters() const {
  int64_t n = config.num_parameters();
  if (latent) n += config.num_layers * (latent_elements(config, *latent) - attention_elements(config));
  if (experts) {
    const int64_t dense = mlp_elements(config.hidden_size, config.intermediate_size);
    const int64_t sparse = experts->count * mlp_elements(config.hidden_size, experts->intermediate_size) +
                           mlp_elements(config.hidden_size, experts->shared_intermediate_size) +
                           experts->count * config.hidden_size;
    n += experts->layers(config.num_layers) * (sparse - dense);
  }
  return n;
}

int64_t PlannedModel::active_parameters() const {
  int64_t n = num_parameters();
  if (!config.tie_word_embeddings) n -= config.vocab_size * config.hidden_size;
  if (experts) {
    n -= experts->layers(config.num_layers) * (experts->count - experts->per_token) *
         mlp_elements(config.hidden_size, experts->intermediate_size);
  }
  return n;
}

void set_formats(PlannedModel& model, const std::string& dtype, const std::string& kv, int64_t quantization_group) {
  if (!dtype.empty() && dtype != "auto") {
    model.format = weight_format_from_name(dtype);
    model.quantization_group = model.format == WeightFormat::kInt4 ? kDefaultGroup : 0;
  }
  if (quantization_group > 0) {
    check(is_quantized(model.format), "--quantization-group {}: the weights are {}; allowed: with --dtype int4, int8 or fp8",
          quantization_group, name_of(model.format));
    model.quantization_group = quantization_group;
  }
  if (is_quantized(model.format)) model.missing.push_back(fmt::format("{} weights", name_of(model.format)));
  model.kv_element_bytes = static_cast<int64_t>(size_of(model.base_dtype()));
  if (kv.empty() || kv == "auto") return;
  const WeightFormat format = weight_format_from_name(kv);
  check(format != WeightFormat::kInt4 && format != WeightFormat::kInt8,
        "'{}' is not allowed; allowed: auto, float32, bfloat16, float16, fp8", kv);
  model.kv_element_bytes = bits_of(format) / 8;
  if (model.kv_element_bytes != static_cast<int64_t>(size_of(model.base_dtype()))) {
    model.missing.push_back(fmt::format("a KV cache in {}", name_of(format)));
  }
}

}  // namespace lockstep
