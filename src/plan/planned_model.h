// PlannedModel: a model as `lockstep plan` sees it: every model that the runtime runs, and others whose sizes its configuration
// gives (mixtures of experts, latent attention, quantized weights), with what the runtime still lacks for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model_config.h"

namespace lockstep {

// How weights of linears are kept. Norms, biases, embedding and LM head keep the model's dtype in the formats of 8 bits and less,
// as the checkpoints of GPTQ, AWQ and compressed-tensors have it.
enum class WeightFormat { kFloat32, kBFloat16, kFloat16, kFp8, kInt8, kInt4 };
std::string_view name_of(WeightFormat format);  // "bfloat16", "int4"
// Also takes fp32, bf16, fp16. Throws Error naming the value and what is allowed.
WeightFormat weight_format_from_name(std::string_view name);
int bits_of(WeightFormat format);
bool is_quantized(WeightFormat format);

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of a token are one latent, the same on every rank.
struct LatentAttention {
  int64_t q_rank = 0;  // 0: queries are projected at once
  int64_t kv_rank = 0;
  int64_t nope_dim = 0, rope_dim = 0, v_dim = 0;  // of a head
};

struct Experts {
  int64_t count = 0;
  int64_t per_token = 0;
  int64_t intermediate_size = 0;         // of one
  int64_t shared_intermediate_size = 0;  // of those that every token uses, together; 0: none
  int64_t first_layer = 0;               // layers before it are dense
  int64_t every = 1;                     // of the layers from there on
  bool has(int64_t layer) const { return layer >= first_layer && (layer - first_layer) % every == 0; }
  int64_t layers(int64_t num_layers) const;
};

struct PlannedModel {
  std::string name;    // what the user gave
  ModelConfig config;  // head_dim with latent attention: of a query
  std::optional<LatentAttention> latent;
  std::optional<Experts> experts;
  WeightFormat format = WeightFormat::kBFloat16;
  int64_t quantization_group = 0;  // input features that share a scale; 0: a whole row
  int64_t kv_element_bytes = 2;
  std::vector<std::string> missing;  // what the runtime lacks to run it; empty: it runs

  DType base_dtype() const;           // of everything that is not quantized, and of activations
  int64_t num_parameters() const;     // of the whole model
  int64_t active_parameters() const;  // that one token meets, the embedding's table left out
};

// Where the model's configuration is: a directory, or a YAML file, as the next function takes it.
std::filesystem::path find_planned_model(const std::string& model);

// model: a Hugging Face directory, a YAML file, or a name in configs/models or configs/planned. max_model_len: as for
// load_model_config(). Throws Error naming file, line, key, value and what is allowed; a model that the runtime could run in
// principle is refused for the same reasons as there.
PlannedModel load_planned_model(const std::string& model, int64_t max_model_len);

// Sets the format (empty or "auto": the checkpoint's) and the KV element, and says in `missing` what cannot run. kv: "auto",
// "fp8", or a name of a float format.
void set_formats(PlannedModel& model, const std::string& dtype, const std::string& kv, int64_t quantization_group);

}  // namespace lockstep
