// Component: a JSON object of tokenizer.json together with its place in the file, so that every complaint names both.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::text {

class Component {
 public:
  // where: "DIR/tokenizer.json: decoder". Throws Error when `value` is not an object.
  Component(const nlohmann::json& value, std::string where, int depth = 0);

  const std::string& where() const { return where_; }
  const nlohmann::json& json() const { return *value_; }
  std::string type() const { return string("type"); }

  bool has(std::string_view key) const;  // present and not null
  std::string string(std::string_view key) const;
  bool boolean(std::string_view key, std::optional<bool> fallback = std::nullopt) const;
  int64_t integer(std::string_view key, int64_t low, int64_t high) const;
  const nlohmann::json& array(std::string_view key) const;
  Component child(std::string_view key) const;
  std::vector<Component> children(std::string_view key) const;  // the objects of an array

  // Refuses every key but these and "type": a field that we do not know may change the result.
  void allow_only(std::initializer_list<std::string_view> keys) const;
  // Throws: this component's type is not one of `supported`.
  [[noreturn]] void refuse_type(std::string_view supported) const;
  // "pattern": {"String": …} or {"Regex": …}: whether it is a regular expression, and its text.
  std::pair<bool, std::string> pattern() const;

 private:
  const nlohmann::json& at(std::string_view key) const;

  const nlohmann::json* value_;
  std::string where_;
  int depth_;
};

}  // namespace lockstep::text
