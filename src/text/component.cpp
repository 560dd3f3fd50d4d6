#include "text/component.h"

#include <algorithm>

#include "base/error.h"

namespace lockstep::text {

namespace {
constexpr int kMaxDepth = 16;  // Sequences inside Sequences; real files need two
}

Component::Component(const nlohmann::json& value, std::string where, int depth)
    : value_(&value), where_(std::move(where)), depth_(depth) {
  check(value.is_object(), "{}: is {}, expected an object", where_, value.type_name());
  check(depth <= kMaxDepth, "{}: components are nested more than {} deep", where_, kMaxDepth);
}

bool Component::has(std::string_view key) const {
  const auto it = value_->find(std::string(key));
  return it != value_->end() && !it->is_null();
}

const nlohmann::json& Component::at(std::string_view key) const {
  const auto it = value_->find(std::string(key));
  check(it != value_->end(), "{}: key '{}' is missing", where_, key);
  return *it;
}

std::string Component::string(std::string_view key) const {
  const auto& value = at(key);
  check(value.is_string(), "{}: key '{}' is {}, expected a string", where_, key, value.type_name());
  return value.get<std::string>();
}

bool Component::boolean(std::string_view key, std::optional<bool> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const auto& value = at(key);
  check(value.is_boolean(), "{}: key '{}' is {}, expected true or false", where_, key, value.type_name());
  return value.get<bool>();
}

int64_t Component::integer(std::string_view key, int64_t low, int64_t high) const {
  const auto& value = at(key);
  const bool ok = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(high)
                                             : value.is_number_integer() && value.get<int64_t>() <= high;
  check(ok && value.get<int64_t>() >= low, "{}: key '{}' is {}, expected an integer from {} to {}", where_, key,
        value.is_number() ? value.dump() : value.type_name(), low, high);
  return value.get<int64_t>();
}

const nlohmann::json& Component::array(std::string_view key) const {
  const auto& value = at(key);
  check(value.is_array(), "{}: key '{}' is {}, expected an array", where_, key, value.type_name());
  return value;
}

Component Component::child(std::string_view key) const { return {at(key), fmt::format("{}.{}", where_, key), depth_ + 1}; }

std::vector<Component> Component::children(std::string_view key) const {
  std::vector<Component> out;
  const auto& values = array(key);
  for (size_t i = 0; i < values.size(); ++i) out.emplace_back(values[i], fmt::format("{}.{}[{}]", where_, key, i), depth_ + 1);
  return out;
}

void Component::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& item : value_->items()) {
    if (item.key() == "type") continue;
    check(std::find(keys.begin(), keys.end(), item.key()) != keys.end(), "{}: key '{}' is not supported; supported are: {}",
          where_, item.key(), fmt::join(keys, ", "));
  }
}

void Component::refuse_type(std::string_view supported) const {
  fail("{}: type '{}' is not supported; supported are: {}", where_, type(), supported);
}

std::pair<bool, std::string> Component::pattern() const {
  const Component pattern = child("pattern");
  pattern.allow_only({"String", "Regex"});
  check(pattern.json().size() == 1, "{}: expected either String or Regex", pattern.where());
  const bool is_regex = pattern.has("Regex");
  std::string text = pattern.string(is_regex ? "Regex" : "String");
  check(!text.empty(), "{}: the pattern is empty", pattern.where());
  return {is_regex, std::move(text)};
}

}  // namespace lockstep::text
