#include <fmt/format.h>

#include <limits>

#include "base/error.h"
#include "config/architecture.h"
#include "config/model_reader.h"

namespace lockstep {
namespace {

constexpr double kMaxTheta = 1e15;
constexpr double kMaxFactor = 1e6;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

void require_full_rotary(MapReader& keys) {
  const std::optional<double> factor = keys.number("partial_rotary_factor", 0.0, 1.0);
  if (factor && *factor != 1.0) keys.refuse("partial_rotary_factor", "1 (all of head_dim is rotated)");
}

RopeScaling read_type(MapReader& map) {
  const std::optional<std::string> rope_type = map.text("rope_type");
  const std::optional<std::string> type = map.text("type");  // the spelling before transformers 4.43
  const std::string allowed = "default, linear or llama3";
  if (rope_type && type && *rope_type != *type) map.refuse("type", fmt::format("the same as rope_type, \"{}\"", *rope_type));
  const char* key = type && !rope_type ? "type" : "rope_type";
  if (!rope_type && !type) {
    if (map.find_value("factor") != nullptr) map.refuse(key, allowed);
    return RopeScaling::kNone;
  }
  const std::string& name = rope_type ? *rope_type : *type;
  if (name == "default") return RopeScaling::kNone;
  if (name == "linear") return RopeScaling::kLinear;
  if (name == "llama3") return RopeScaling::kLlama3;
  map.refuse(key, allowed);
}

double required_number(MapReader& map, const char* key, double above, double max) {
  const std::optional<double> value = map.number(key, above, max);
  if (!value) map.refuse(key, fmt::format("a number above {} and at most {}", above, max));
  return *value;
}

double read_factor(MapReader& map) {
  const double factor = required_number(map, "factor", 0.0, kMaxFactor);
  if (factor < 1.0) map.refuse("factor", fmt::format("a number from 1 to {}", kMaxFactor));
  return factor;
}

// One `rope_scaling` or `rope_parameters` map. theta: set where the map gives it.
RopeConfig read_map(MapReader& map, MapReader& outer, UnknownKeys unknown, std::optional<double>& theta) {
  for (const auto& [key, node] : *map.node().get_if<Node::Map>()) {
    // transformers allows one map per kind of layer; reading on would silently drop them.
    if (node.get_if<Node::Map>() != nullptr) map.refuse(key, "a plain value (parameters per layer type are not supported)");
  }
  require_full_rotary(map);
  theta = map.number("rope_theta", 0.0, kMaxTheta);
  RopeConfig rope;
  rope.scaling = read_type(map);
  if (rope.scaling != RopeScaling::kNone) rope.factor = read_factor(map);
  if (rope.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = required_number(map, "low_freq_factor", 0.0, kMaxFactor);
    rope.high_freq_factor = required_number(map, "high_freq_factor", 0.0, kMaxFactor);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      map.refuse("high_freq_factor", fmt::format("a number above low_freq_factor, {}", rope.low_freq_factor));
    }
    const char* key = "original_max_position_embeddings";
    const std::optional<int64_t> outside = outer.integer(key, 1, kMaxInt32);
    rope.original_max_position_embeddings = !map.find_value(key) && outside ? *outside : map.required_integer(key, 1, kMaxInt32);
  }
  if (unknown == UnknownKeys::kRefuse) map.refuse_unknown();
  return rope;
}

}  // namespace

RopeConfig read_rope(MapReader& keys, UnknownKeys unknown) {
  require_full_rotary(keys);
  const std::optional<double> outer_theta = keys.number("rope_theta", 0.0, kMaxTheta);
  std::optional<double> theta = outer_theta;
  std::optional<RopeConfig> rope;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Node* node = keys.find_value(key);
    if (node == nullptr) continue;
    MapReader map(*node, keys.file(), keys.path_of(key));
    std::optional<double> map_theta;
    const RopeConfig read = read_map(map, keys, unknown, map_theta);
    if (map_theta && theta && *map_theta != *theta) {
      map.refuse("rope_theta", fmt::format("the same as where it is also given, {}", *theta));
    }
    if (map_theta) theta = map_theta;
    if (rope && *rope != read) keys.refuse(key, "the same parameters as rope_parameters, or only one of the two");
    rope = read;
  }
  RopeConfig result = rope.value_or(RopeConfig{});
  result.theta = theta.value_or(kDefaultRopeTheta);
  return result;
}

}  // namespace lockstep
