// StrictJsonHandler: builds a JSON value from the parser's events, as nlohmann's own handler does, but refuses what is nested too
// deep, and an object with the same key twice, of which parsers keep the one or the other.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lockstep::text {

inline constexpr size_t kMaxJsonDepth = 64;

// Json: nlohmann::json, or nlohmann::ordered_json, which keeps the order of keys.
template <typename Json>
class StrictJsonHandler final : public nlohmann::json_sax<Json> {
 public:
  // name: of the text, for messages.
  explicit StrictJsonHandler(std::string name) : name_(std::move(name)) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr), true; }
  bool boolean(bool value) override { return add(value), true; }
  bool number_integer(int64_t value) override { return add(value), true; }
  bool number_unsigned(uint64_t value) override { return add(value), true; }
  bool number_float(double value, const std::string& /*text*/) override { return add(value), true; }
  bool string(std::string& value) override { return add(std::move(value)), true; }
  bool binary(typename Json::binary_t& /*value*/) override { return false; }
  bool start_object(size_t /*size*/) override { return open(Json::object()); }
  bool start_array(size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& value) override {
    auto& object = open_.back()->template get_ref<typename Json::object_t&>();
    if constexpr (kOrdered) {  // whose own look-up goes through all keys
      check(keys_.back().insert(value).second, "{}: key '{}' occurs twice in one object", name_, value);
      slot_ = &object.emplace_back(std::move(value), nullptr).second;
    } else {
      const auto [it, is_new] = object.try_emplace(std::move(value));
      check(is_new, "{}: key '{}' occurs twice in one object", name_, it->first);
      slot_ = &it->second;
    }
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/, const nlohmann::json::exception& e) override {
    fail("{}: is not valid JSON: {}", name_, e.what());
  }

 private:
  static constexpr bool kOrdered = std::is_same_v<Json, nlohmann::ordered_json>;

  Json& add(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_array()) return open_.back()->emplace_back(std::move(value));
    return *slot_ = std::move(value);
  }
  bool open(Json value) {
    check(open_.size() < kMaxJsonDepth, "{}: is nested more than {} deep", name_, kMaxJsonDepth);
    open_.push_back(&add(std::move(value)));
    if constexpr (kOrdered) keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    if constexpr (kOrdered) keys_.pop_back();
    return true;
  }

  std::string name_;
  Json root_;
  std::vector<Json*> open_;                            // objects and arrays around the next value
  std::vector<std::unordered_set<std::string>> keys_;  // of these
  Json* slot_ = nullptr;                               // where the value of the last key goes
};

// Throws Error naming the text.
template <typename Json>
Json parse_strict_json(std::string_view content, const std::string& name) {
  StrictJsonHandler<Json> handler(name);
  Json::sax_parse(content, &handler);
  return handler.take();
}

}  // namespace lockstep::text
