// JsonFields: the keys of a JSON object, each read once, checked, and what was not read refused.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "openai/request.h"
#include "openai/request_json.h"

namespace lockstep {

class JsonFields {
 public:
  using Json = RequestJson;

  // object must outlive this. Throws RequestError unless it is one.
  explicit JsonFields(const Json& object) : object_(object) {
    if (!object.is_object()) throw RequestError("", fmt::format("the request is {}; expected an object", object.type_name()));
  }

  // Null where the key is absent or null.
  const Json* find(const std::string& key) {
    seen_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(const std::string& key) { return find(key) != nullptr; }

  [[noreturn]] static void refuse(const std::string& key, const Json& value, const std::string& allowed) {
    std::string shown = value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
    constexpr size_t kMost = 60;
    if (shown.size() > kMost) shown = shown.substr(0, kMost) + "...";
    throw RequestError(key, fmt::format("'{}' is {}; allowed: {}", key, shown, allowed));
  }

  template <typename Int>
  void integer(const std::string& key, Int& target, int64_t min, int64_t max) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const bool ok = value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= kMaxInt64) &&
                    value->get<int64_t>() >= min && value->get<int64_t>() <= max;
    if (!ok) refuse(key, *value, fmt::format("an integer from {} to {}", min, max));
    target = static_cast<Int>(value->get<int64_t>());
  }

  void number(const std::string& key, float& target, double min, double max, bool open_min = false) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const double x = value->is_number() ? value->get<double>() : std::nan("");
    if (!((open_min ? x > min : x >= min) && x <= max)) {
      refuse(key, *value,
             fmt::format("a number {} {} {} {}", open_min ? "above" : "from", min, open_min ? "and at most" : "to", max));
    }
    target = static_cast<float>(x);
  }

  void boolean(const std::string& key, bool& target) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) refuse(key, *value, "true or false");
    target = value->get<bool>();
  }

  void text(const std::string& key, std::string& target) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string()) refuse(key, *value, "a string");
    target = value->get<std::string>();
  }

  // Keys that may be there and mean nothing here.
  void ignore(std::initializer_list<const char*> keys) { seen_.insert(keys.begin(), keys.end()); }

  // Throws for a key that nobody asked for, unless it is null.
  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      if (seen_.count(key) == 0 && !value.is_null()) {
        throw RequestError(key, fmt::format("'{}' is not a parameter that is known here",
                                            Json(key).dump(-1, ' ', true, Json::error_handler_t::replace)));
      }
    }
  }

 private:
  static constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

  const Json& object_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace lockstep
