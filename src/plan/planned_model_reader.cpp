// load_planned_model(): from a Hugging Face config.json or our YAML. What the runtime reads is read by its own reader; of the
// rest, the keys that say sizes.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "config/architecture.h"
#include "config/map_reader.h"
#include "config/model_files.h"
#include "config/model_reader.h"
#include "plan/planned_model.h"

namespace lockstep {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMaxSize = 1 << 30;

// The configuration's file and the map within it.
struct Source {
  fs::path file;
  Node root;
  const Node* map = nullptr;
};

void open_json(Source& source, const fs::path& directory) {
  source.file = directory / "config.json";
  check(is_listed(source.file), "{}: no config.json in this directory; a Hugging Face model has one", directory.string());
  source.root = read_json(source.file);
  source.map = &source.root;
}

void open(Source& source, const fs::path& found) {
  if (leads_to_directory(found)) return open_json(source, found);
  source.file = found;
  source.root = read_yaml(found);
  source.map = source.root.find("model");
  check(source.map != nullptr,
        "{}: missing key 'model'; needed: a map of the architecture, or of `path` to a Hugging Face directory", found.string());
  if (const Node* path = source.map->find("path")) {
    const std::string* directory = path->get_if<std::string>();
    check(directory != nullptr, "{}:{}: key 'model.path' is {}; allowed: a Hugging Face directory", found.string(), path->line,
          path->describe());
    open_json(source, found.parent_path() / *directory);
  }
}

// "deepseek_v2" or "DeepseekV2ForCausalLM": what the configuration calls itself.
std::string architecture_name(const Node& map) {
  if (const Node* list = map.find("architectures")) {
    const auto* names = list->get_if<Node::List>();
    if (names != nullptr && !names->empty() && names->front().get_if<std::string>()) return *names->front().get_if<std::string>();
  }
  for (const char* key : {"architecture", "model_type"}) {
    const Node* node = map.find(key);
    if (node != nullptr && node->get_if<std::string>()) return *node->get_if<std::string>();
  }
  return "";
}

// The class of the runtime that is nearest: it says which biases and norms there are.
std::string nearest_architecture(const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower.starts_with("qwen2")) return "Qwen2ForCausalLM";
  if (lower.starts_with("qwen3")) return "Qwen3ForCausalLM";
  return "LlamaForCausalLM";
}

Node text_node(const std::string& text, int line) { return {text, text, line}; }

bool is_supported_rope(const Node& rope) {
  if (rope.is_null() || rope.get_if<Node::Map>() == nullptr) return true;  // the reader judges it
  for (const char* key : {"rope_type", "type"}) {
    const Node* type = rope.find(key);
    if (type != nullptr && type->get_if<std::string>()) {
      const std::string& name = *type->get_if<std::string>();
      return name == "default" || name == "linear" || name == "llama3";
    }
  }
  return true;
}

// A copy of `map` that the runtime's reader takes, and in `model.missing` what had to go.
Node readable(const Node& map, PlannedModel& model) {
  const std::string name = architecture_name(map);
  const bool known = find_architecture(name) != nullptr;
  static const std::vector<std::string_view> kSizes = {"vocab_size",
                                                       "hidden_size",
                                                       "intermediate_size",
                                                       "num_hidden_layers",
                                                       "num_attention_heads",
                                                       "num_key_value_heads",
                                                       "head_dim",
                                                       "max_position_embeddings",
                                                       "tie_word_embeddings",
                                                       "attention_bias",
                                                       "dtype",
                                                       "torch_dtype"};
  Node::Map kept;
  for (const auto& [key, node] : *map.get_if<Node::Map>()) {
    if (key == "quantization_config" || key == "compression_config") continue;
    if (!known && std::find(kSizes.begin(), kSizes.end(), key) == kSizes.end()) continue;
    if (known && (key == "rope_scaling" || key == "rope_parameters") && !is_supported_rope(node)) {
      model.missing.push_back("its scaling of the rotary embedding");
      continue;
    }
    kept.push_back({key, node});
  }
  if (!known) {
    model.missing.push_back(fmt::format("the architecture {}, planned as a {} of its sizes",
                                        name.empty() ? "without a name" : name, nearest_architecture(name)));
    kept.push_back({"architecture", text_node(nearest_architecture(name), map.line)});
  }
  return {kept, "", map.line};
}

std::optional<int64_t> first_of(MapReader& keys, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto value = keys.integer(name, 0, kMaxSize)) return value;
  }
  return std::nullopt;
}

// DeepSeek: n_routed_experts, …; Mixtral: num_local_experts; Qwen: num_experts, ….
void read_experts(MapReader& keys, PlannedModel& model) {
  const auto count = first_of(keys, {"n_routed_experts", "num_local_experts", "num_experts"});
  if (!count || *count == 0) return;
  Experts experts;
  experts.count = *count;
  experts.per_token = keys.required_integer("num_experts_per_tok", 1, *count);
  experts.intermediate_size = keys.integer("moe_intermediate_size", 1, kMaxSize).value_or(model.config.intermediate_size);
  experts.shared_intermediate_size =
      keys.integer("shared_expert_intermediate_size", 0, kMaxSize)
          .value_or(keys.integer("n_shared_experts", 0, 1000).value_or(0) * experts.intermediate_size);
  experts.first_layer = keys.integer("first_k_dense_replace", 0, model.config.num_layers).value_or(0);
  experts.every = first_of(keys, {"moe_layer_freq", "decoder_sparse_step"}).value_or(1);
  if (experts.every < 1) keys.refuse("moe_layer_freq", "an integer of at least 1");
  model.experts = experts;
  model.missing.push_back("mixtures of experts");
}

void read_latent(MapReader& keys, PlannedModel& model) {
  const auto kv_rank = keys.integer("kv_lora_rank", 1, kMaxSize);
  if (!kv_rank) return;
  LatentAttention latent;
  latent.kv_rank = *kv_rank;
  latent.q_rank = keys.integer("q_lora_rank", 0, kMaxSize).value_or(0);
  latent.nope_dim = keys.required_integer("qk_nope_head_dim", 1, kMaxSize);
  latent.rope_dim = keys.required_integer("qk_rope_head_dim", 1, kMaxSize);
  latent.v_dim = keys.required_integer("v_head_dim", 1, kMaxSize);
  model.latent = latent;
  model.config.head_dim = latent.nope_dim + latent.rope_dim;
  model.missing.push_back("latent attention");
}

void read_quantization(MapReader& keys, PlannedModel& model) {
  const Node* node = keys.find_value("quantization_config");
  if (node == nullptr) return;
  MapReader q(*node, keys.file(), keys.path_of("quantization_config"));
  const std::string method = q.text("quant_method").value_or("");
  if (method == "fp8" || method == "fbgemm_fp8") {
    model.format = WeightFormat::kFp8;
    return;
  }
  const int64_t bits = q.integer("bits", 1, 16).value_or(method == "awq" || method == "gptq" ? 4 : 0);
  if (bits != 4 && bits != 8) {
    q.refuse(q.find("bits") != nullptr ? "bits" : "quant_method",
             "a method that plan knows (gptq or awq with 4 or 8 bits, fp8); or give --dtype with a directory without it");
  }
  model.format = bits == 4 ? WeightFormat::kInt4 : WeightFormat::kInt8;
  const Node* group = q.find("group_size");
  const auto* size = group != nullptr ? group->get_if<int64_t>() : nullptr;
  model.quantization_group = size == nullptr ? 128 : *size > 0 ? *size : 0;  // -1: a whole row
}

}  // namespace

fs::path find_planned_model(const std::string& model) {
  check(!model.empty(), "--model is empty; give a Hugging Face directory, a YAML file or a name in configs/models");
  if (is_listed(model) || fs::path(model).has_parent_path() || !find_in_catalogue("models", model).empty())
    return find_model(model);
  const fs::path planned = find_in_catalogue("planned", model);
  return planned.empty() ? find_model(model) : planned;
}

PlannedModel load_planned_model(const std::string& name, int64_t max_model_len) {
  const fs::path found = find_planned_model(name);
  Source source;
  open(source, found);
  const std::string prefix = source.map == &source.root ? "" : "model";
  MapReader keys(*source.map, source.file.string(), prefix);

  PlannedModel model;
  model.name = name;
  const Node map = readable(*source.map, model);
  if (model.missing.empty() && keys.find_value("quantization_config") == nullptr) {
    model.config = load_model_config(found, max_model_len);  // as every other command reads it
  } else {
    MapReader kept(map, source.file.string(), prefix);
    model.config = read_model(kept, UnknownKeys::kIgnore, max_model_len);
  }
  model.format = model.config.dtype == DType::kFloat32   ? WeightFormat::kFloat32
                 : model.config.dtype == DType::kFloat16 ? WeightFormat::kFloat16
                                                         : WeightFormat::kBFloat16;
  read_latent(keys, model);
  read_experts(keys, model);
  read_quantization(keys, model);
  return model;
}

}  // namespace lockstep
