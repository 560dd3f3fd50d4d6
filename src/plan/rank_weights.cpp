#include "plan/rank_weights.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "weights/weights.h"

namespace lockstep {
namespace {

bool is_linear(const std::string& name) {
  for (const char* end : {".qkv", ".o", ".gate_up", ".down"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

bool is_attention(const std::string& name) {
  for (const char* end : {".qkv", ".qkv_bias", ".o", ".o_bias", ".q_norm", ".k_norm"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

bool is_mlp(const std::string& name) {
  for (const char* end : {".gate_up", ".gate_up_bias", ".down", ".down_bias"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

// Heads are dealt; what leads to the latents is whole on every rank.
void add_latent(std::vector<PlannedParameter>& all, const std::string& layer, const ModelConfig& c, const LatentAttention& a,
                int64_t heads) {
  const int64_t q_out = heads * (a.nope_dim + a.rope_dim);
  if (a.q_rank > 0) {
    all.push_back({{layer + "q_a", a.q_rank, c.hidden_size}, true});
    all.push_back({{layer + "q_a_norm", 1, a.q_rank}, false});
  }
  all.push_back({{layer + "q_b", q_out, a.q_rank > 0 ? a.q_rank : c.hidden_size}, true});
  all.push_back({{layer + "kv_a", a.kv_rank + a.rope_dim, c.hidden_size}, true});
  all.push_back({{layer + "kv_a_norm", 1, a.kv_rank}, false});
  all.push_back({{layer + "kv_b", heads * (a.nope_dim + a.v_dim), a.kv_rank}, true});
  all.push_back({{layer + "o", c.hidden_size, heads * a.v_dim}, true});
}

// Every expert's columns are dealt to all ranks; the router is whole.
void add_experts(std::vector<PlannedParameter>& all, const std::string& layer, const ModelConfig& c, const Experts& e,
                 int64_t unit, int tp, int rank) {
  const int64_t columns = deal(e.intermediate_size, unit, tp, rank).size();
  all.push_back({{layer + "router", e.count, c.hidden_size}, false});
  all.push_back({{layer + "experts.gate_up", e.count * 2 * columns, c.hidden_size}, true});
  all.push_back({{layer + "experts.down", e.count * c.hidden_size, columns}, true});
  if (e.shared_intermediate_size == 0) return;
  const int64_t shared = deal(e.shared_intermediate_size, unit, tp, rank).size();
  all.push_back({{layer + "shared.gate_up", 2 * shared, c.hidden_size}, true});
  all.push_back({{layer + "shared.down", c.hidden_size, shared}, true});
}

int64_t aligned(int64_t bytes) {
  // The loader's own rounding, of a row of 4-byte elements.
  return static_cast<int64_t>(Weights::bytes_needed(Parameter{"", 1, (bytes + 3) / 4}, DType::kFloat32));
}

}  // namespace

int64_t ffn_unit(const PlannedModel& model) {
  return model.quantization_group > 0 ? std::lcm(kFfnUnit, model.quantization_group) : kFfnUnit;
}

RankShare planned_share(const PlannedModel& model, int tp, int rank) {
  return rank_share(model.config, tp, rank, ffn_unit(model));
}

std::vector<PlannedParameter> rank_parameters(const PlannedModel& model, int tp, int rank) {
  const Partition partition = make_partition(model.config, tp, rank, ffn_unit(model));
  std::vector<PlannedParameter> all;
  for (const Parameter& p : partition.parameters) {
    if (model.latent && is_attention(p.name)) continue;
    if (model.experts && is_mlp(p.name)) {
      // "layers.N.gate_up"
      const int64_t layer = std::stoll(p.name.substr(p.name.find('.') + 1));
      if (model.experts->has(layer)) continue;
    }
    all.push_back({p, is_quantized(model.format) && is_linear(p.name)});
  }
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    if (model.latent) add_latent(all, prefix, model.config, *model.latent, partition.share.q_heads.size());
    if (model.experts && model.experts->has(layer)) {
      add_experts(all, prefix, model.config, *model.experts, ffn_unit(model), tp, rank);
    }
  }
  if (!is_quantized(model.format)) {
    for (PlannedParameter& p : all) p.quantized = false;
  }
  return all;
}

int64_t parameter_bytes(const PlannedModel& model, const PlannedParameter& p) {
  if (!p.quantized) return static_cast<int64_t>(Weights::bytes_needed(p.parameter, model.base_dtype()));
  const int64_t bits = bits_of(model.format);
  const int64_t elements = p.parameter.rows * p.parameter.cols;
  const int64_t data = (elements * bits + 7) / 8;
  if (model.quantization_group == 0) return aligned(data) + aligned(p.parameter.rows * 4);
  const int64_t groups = (p.parameter.cols + model.quantization_group - 1) / model.quantization_group;
  const int64_t scales = p.parameter.rows * groups * 2;
  const int64_t zeros = (p.parameter.rows * groups * bits + 7) / 8;
  return aligned(data) + aligned(scales) + aligned(zeros);
}

int64_t rank_weight_bytes(const PlannedModel& model, int tp, int rank) {
  // The layers of a kind are alike: one of each is enough.
  PlannedModel part = model;
  const auto bytes = [&](int64_t layers, int64_t first_with_experts) {
    part.config.num_layers = layers;
    if (part.experts) part.experts->first_layer = first_with_experts;
    int64_t sum = 0;
    for (const PlannedParameter& p : rank_parameters(part, tp, rank)) sum += parameter_bytes(part, p);
    return sum;
  };
  const int64_t with_experts = model.experts ? model.experts->layers(model.config.num_layers) : 0;
  const int64_t none = bytes(0, 0);
  int64_t sum = none + (model.config.num_layers - with_experts) * (bytes(1, 1) - none);
  if (with_experts > 0) sum += with_experts * (bytes(1, 0) - none);
  return sum;
}

PlannedModel stage_of(const PlannedModel& model, int stages) {
  PlannedModel stage = model;
  if (stages == 1) return stage;
  stage.config.num_layers = (model.config.num_layers + stages - 1) / stages;
  stage.config.tie_word_embeddings = true;  // one matrix of the vocabulary: the embedding, or at the end the LM head
  if (stage.experts) stage.experts->first_layer = 0;
  return stage;
}

int64_t kv_bytes_per_token(const PlannedModel& model, const RankShare& share) {
  const int64_t elements =
      model.latent ? model.latent->kv_rank + model.latent->rope_dim : 2 * share.kv_heads.size() * model.config.head_dim;
  return model.config.num_layers * elements * model.kv_element_bytes;
}

}  // namespace lockstep
