#include "config/model_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "config/architecture.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxLayers = 10000;
// More than any model has by far; everything that is computed from the sizes then fits into 64 bits.
constexpr long double kMaxParameters = 1e15L;

// Keys of the four configuration classes that do not change what inference computes.
const std::vector<std::string_view> kHarmlessKeys = {"_name_or_path",  "attention_dropout", "initializer_range",   "pad_token_id",
                                                     "pretraining_tp", "use_cache",         "transformers_version"};

std::string known_names() {
  std::vector<std::string_view> names;
  for (const Architecture& a : architectures()) names.push_back(a.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Architecture& read_architecture(MapReader& keys) {
  const Architecture* found = nullptr;
  const auto choose = [&](const char* key, std::string_view name) {
    const Architecture* named = find_architecture(name);
    if (named == nullptr) keys.refuse(key, known_names());
    if (found != nullptr && found != named) keys.refuse(key, fmt::format("the same as the architecture, {}", found->name));
    found = named;
  };
  if (const Node* node = keys.find_value("architectures")) {
    const Node::List* list = node->get_if<Node::List>();
    const std::string* only = list != nullptr && list->size() == 1 ? list->front().get_if<std::string>() : nullptr;
    if (only == nullptr) keys.refuse("architectures", fmt::format("a list of one of {}", known_names()));
    check(find_architecture(*only) != nullptr, "{}:{}: key '{}' is [\"{}\"]; allowed: one of {}", keys.file(), node->line,
          keys.path_of("architectures"), *only, known_names());
    choose("architectures", *only);
  }
  if (const auto name = keys.text("architecture")) choose("architecture", *name);
  if (const auto name = keys.text("model_type")) choose("model_type", *name);
  if (found == nullptr)
    keys.refuse(keys.find("model_type") ? "model_type" : "architecture", fmt::format("one of {}", known_names()));
  return *found;
}

DType read_dtype(MapReader& keys) {
  std::optional<DType> dtype;
  for (const char* key : {"dtype", "torch_dtype"}) {
    std::optional<std::string> name = keys.text(key);
    if (!name) continue;
    if (name->starts_with("torch.")) name = name->substr(6);
    const std::vector<DType> known = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
    const auto found = std::find_if(known.begin(), known.end(), [&](DType t) { return name_of(t) == *name; });
    if (found == known.end()) keys.refuse(key, "float32, bfloat16 or float16");
    if (dtype && *dtype != *found) keys.refuse(key, fmt::format("the same as dtype, {}", name_of(*dtype)));
    dtype = *found;
  }
  return dtype.value_or(DType::kFloat32);  // exact whatever the checkpoint holds
}

void read_heads(MapReader& keys, const Architecture& arch, ModelConfig& config) {
  config.num_heads = keys.required_integer("num_attention_heads", 1, kMaxSize);
  // Absent is the class's default; null is always num_attention_heads.
  const bool kv_absent = keys.find("num_key_value_heads") == nullptr;
  const int64_t kv_default = kv_absent && arch.num_key_value_heads ? *arch.num_key_value_heads : config.num_heads;
  config.num_kv_heads = keys.integer("num_key_value_heads", 1, kMaxSize).value_or(kv_default);
  if (config.num_heads % config.num_kv_heads != 0) {
    check(!kv_absent, "{}: missing key '{}': the default of {}, {}, does not divide num_attention_heads, {}", keys.file(),
          keys.path_of("num_key_value_heads"), arch.name, config.num_kv_heads, config.num_heads);
    keys.refuse("num_key_value_heads", fmt::format("a divisor of num_attention_heads, {}", config.num_heads));
  }

  const bool head_dim_absent = keys.find("head_dim") == nullptr;
  if (const auto head_dim = keys.integer("head_dim", 1, kMaxSize)) {
    config.head_dim = *head_dim;
    if (config.head_dim % 2 != 0) keys.refuse("head_dim", "an even integer (rotary embedding pairs its elements)");
  } else if (arch.head_dim) {
    if (!head_dim_absent) keys.refuse("head_dim", "an even integer");
    config.head_dim = *arch.head_dim;
  } else {
    if (config.hidden_size % config.num_heads != 0) {
      keys.refuse("num_attention_heads", fmt::format("a divisor of hidden_size, {}, or give head_dim", config.hidden_size));
    }
    config.head_dim = config.hidden_size / config.num_heads;
    if (config.head_dim % 2 != 0) {
      keys.refuse("num_attention_heads",
                  fmt::format("one that makes head_dim = hidden_size / num_attention_heads = {} even, or give head_dim",
                              config.head_dim));
    }
  }
  if (config.num_heads > kMaxSize / config.head_dim) {
    keys.refuse("num_attention_heads", fmt::format("at most {} with head_dim {}", kMaxSize / config.head_dim, config.head_dim));
  }
}

void read_biases(MapReader& keys, UnknownKeys unknown, const Architecture& arch, ModelConfig& config) {
  // What the class has without asking, a checkpoint's own key cannot change; in our YAML a contradiction is refused.
  const bool strict = unknown == UnknownKeys::kRefuse;
  if (arch.attention_bias == AttentionBias::kByKey) {
    config.qkv_bias = config.o_bias = keys.boolean("attention_bias", false);
  } else {
    config.qkv_bias = arch.attention_bias == AttentionBias::kQkv;
    if (strict && keys.boolean("attention_bias", config.qkv_bias) != config.qkv_bias) {
      keys.refuse("attention_bias", fmt::format("{} for {}", config.qkv_bias, arch.name));
    }
  }
  if (arch.has_mlp_bias_key) {
    config.mlp_bias = keys.boolean("mlp_bias", false);
  } else if (strict && keys.boolean("mlp_bias", false)) {
    keys.refuse("mlp_bias", fmt::format("false for {}", arch.name));
  }
}

// Whether `layer_types` is given, and whether it names sliding_attention.
std::pair<bool, bool> read_layer_types(MapReader& keys, const Architecture& arch, int64_t num_layers) {
  const Node* node = keys.find_value("layer_types");
  if (node == nullptr) return {false, false};
  const Node::List* list = node->get_if<Node::List>();
  if (list == nullptr || static_cast<int64_t>(list->size()) != num_layers) {
    keys.refuse("layer_types", fmt::format("a list of num_hidden_layers, {}, names", num_layers));
  }
  bool sliding = false;
  for (const Node& item : *list) {
    const std::string* type = item.get_if<std::string>();
    const bool is_sliding = type != nullptr && *type == "sliding_attention" && arch.window == WindowUse::kByFlag;
    check(is_sliding || (type != nullptr && *type == "full_attention"), "{}:{}: key '{}' contains {}; allowed: full_attention{}",
          keys.file(), item.line, keys.path_of("layer_types"), item.describe(),
          arch.window == WindowUse::kByFlag ? ", sliding_attention" : "");
    sliding = sliding || is_sliding;
  }
  return {true, sliding};
}

// The window that attention of some layer uses; 0 for none.
int64_t read_window(MapReader& keys, UnknownKeys unknown, const Architecture& arch, int64_t num_layers) {
  const auto [has_types, sliding_type] = read_layer_types(keys, arch, num_layers);
  const Node* node = keys.find("sliding_window");
  switch (arch.window) {
    case WindowUse::kNever:
      if (unknown == UnknownKeys::kRefuse && node != nullptr && !node->is_null()) {
        keys.refuse("sliding_window", fmt::format("null, for {} has none", arch.name));
      }
      return 0;
    case WindowUse::kAlways:
      if (node != nullptr && node->is_null()) return 0;
      return keys.integer("sliding_window", 1, kMaxSize).value_or(kDefaultSlidingWindow);
    case WindowUse::kByFlag: {
      const bool enabled = keys.boolean("use_sliding_window", false);
      const int64_t first_layer = keys.integer("max_window_layers", 0, kMaxSize).value_or(kDefaultMaxWindowLayers);
      if (!enabled) {
        if (sliding_type) keys.refuse("layer_types", "full_attention only, or use_sliding_window true");
        return 0;
      }
      if (node != nullptr && node->is_null()) {
        if (sliding_type) keys.refuse("sliding_window", "an integer, for layer_types names sliding_attention");
        return 0;
      }
      const int64_t window = keys.integer("sliding_window", 1, kMaxSize).value_or(kDefaultSlidingWindow);
      return (has_types ? sliding_type : first_layer < num_layers) ? window : 0;
    }
  }
  return 0;
}

void check_context(MapReader& keys, const ModelConfig& config, int64_t max_model_len) {
  check(max_model_len <= config.max_position_embeddings,
        "{}: a context of {} tokens was asked for (max-model-len), but max_position_embeddings is {}; ask for at most that",
        keys.file(), max_model_len, config.max_position_embeddings);
  const int64_t context = max_model_len > 0 ? max_model_len : config.max_position_embeddings;
  if (config.sliding_window > 0 && context > config.sliding_window) {
    const std::string remedy =
        fmt::format("null, or at least the context, {}; or set --max-model-len to at most {}", context, config.sliding_window);
    check(keys.find("sliding_window") != nullptr,
          "{}: missing key '{}': the default of {}, {}, is a window shorter than the context; allowed: {}", keys.file(),
          keys.path_of("sliding_window"), config.architecture, config.sliding_window, remedy);
    keys.refuse("sliding_window", remedy);
  }
}

// In floating point, for the 64-bit sum in num_parameters() could overflow.
void check_total_size(MapReader& keys, const ModelConfig& c) {
  const long double h = c.hidden_size, heads = c.num_heads + 2.0L * c.num_kv_heads, d = c.head_dim;
  const long double layer =
      h * d * (heads + c.num_heads) + 3 * h * c.intermediate_size + heads * d + 3 * h + 2.0L * c.intermediate_size;
  const long double total = 2 * h * c.vocab_size + c.num_layers * layer;
  check(total <= kMaxParameters, "{}: the sizes make a model of {:.2e} parameters; at most {:.0e} are allowed", keys.file(),
        total, kMaxParameters);
}

void read_special_tokens(MapReader& keys, const Architecture& arch, ModelConfig& config) {
  if (keys.find("eos_token_id") == nullptr) {
    if (arch.eos_token_id && *arch.eos_token_id < config.vocab_size) config.eos_token_ids = {*arch.eos_token_id};
  } else {
    config.eos_token_ids = keys.token_ids("eos_token_id", config.vocab_size).value_or(std::vector<int32_t>{});
  }
  if (keys.find("bos_token_id") == nullptr) {
    if (arch.bos_token_id && *arch.bos_token_id < config.vocab_size) config.bos_token_id = arch.bos_token_id;
  } else if (const auto bos = keys.integer("bos_token_id", 0, config.vocab_size - 1)) {
    config.bos_token_id = static_cast<int32_t>(*bos);
  }
}

}  // namespace

ModelConfig read_model(MapReader& keys, UnknownKeys unknown, int64_t max_model_len) {
  const Architecture& arch = read_architecture(keys);
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (keys.find_value(key) != nullptr) keys.refuse(key, "null, for quantized weights are not supported");
  }
  if (const auto act = keys.text("hidden_act"); act && *act != "silu" && *act != "swish") keys.refuse("hidden_act", "silu");

  ModelConfig config;
  config.architecture = arch.name;
  config.vocab_size = keys.required_integer("vocab_size", 1, kMaxSize);
  config.hidden_size = keys.required_integer("hidden_size", 1, kMaxSize);
  config.intermediate_size = keys.required_integer("intermediate_size", 1, kMaxSize);
  config.num_layers = keys.required_integer("num_hidden_layers", 1, kMaxLayers);
  read_heads(keys, arch, config);
  check_total_size(keys, config);
  config.max_position_embeddings = keys.integer("max_position_embeddings", 1, kMaxSize).value_or(arch.max_position_embeddings);
  config.rms_norm_eps = keys.number("rms_norm_eps", 0.0, 1.0).value_or(kDefaultRmsNormEps);
  config.tie_word_embeddings = keys.boolean("tie_word_embeddings", false);
  read_biases(keys, unknown, arch, config);
  config.qk_norm = arch.qk_norm;
  config.rope = read_rope(keys, unknown);
  config.dtype = read_dtype(keys);
  const int64_t window = read_window(keys, unknown, arch, config.num_layers);
  config.sliding_window = window < config.max_position_embeddings ? window : 0;
  read_special_tokens(keys, arch, config);
  if (unknown == UnknownKeys::kRefuse) keys.refuse_unknown(kHarmlessKeys);
  check_context(keys, config, max_model_len);
  return config;
}

}  // namespace lockstep
