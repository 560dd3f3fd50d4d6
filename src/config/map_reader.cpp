#include "config/map_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"

namespace lockstep {

MapReader::MapReader(const Node& node, std::string file, std::string prefix)
    : node_(&node), file_(std::move(file)), prefix_(std::move(prefix)) {
  check(node.get_if<Node::Map>() != nullptr, "{}:{}: {} is {}; allowed: a map of keys to values", file_, node.line,
        prefix_.empty() ? "the document" : fmt::format("key '{}'", prefix_), node.describe());
}

std::string MapReader::path_of(std::string_view key) const {
  return prefix_.empty() ? std::string(key) : fmt::format("{}.{}", prefix_, key);
}

const Node* MapReader::find(std::string_view key) {
  asked_.emplace(key);
  return node_->find(key);
}

const Node* MapReader::find_value(std::string_view key) {
  const Node* node = find(key);
  return node != nullptr && node->is_null() ? nullptr : node;
}

std::optional<int64_t> MapReader::integer(std::string_view key, int64_t min, int64_t max) {
  const Node* node = find_value(key);
  if (node == nullptr) return std::nullopt;
  const int64_t* value = node->get_if<int64_t>();
  if (value == nullptr || *value < min || *value > max) refuse(key, fmt::format("an integer from {} to {}", min, max));
  return *value;
}

int64_t MapReader::required_integer(std::string_view key, int64_t min, int64_t max) {
  const std::optional<int64_t> value = integer(key, min, max);
  if (!value) refuse(key, fmt::format("an integer from {} to {}", min, max));
  return *value;
}

std::optional<double> MapReader::number(std::string_view key, double above, double max) {
  const Node* node = find_value(key);
  if (node == nullptr) return std::nullopt;
  double value = std::nan("");
  if (const double* d = node->get_if<double>()) value = *d;
  if (const int64_t* i = node->get_if<int64_t>()) value = static_cast<double>(*i);
  if (!(value > above && value <= max)) refuse(key, fmt::format("a number above {} and at most {}", above, max));
  return value;
}

bool MapReader::boolean(std::string_view key, bool otherwise) {
  const Node* node = find_value(key);
  if (node == nullptr) return otherwise;
  const bool* value = node->get_if<bool>();
  if (value == nullptr) refuse(key, "true or false");
  return *value;
}

std::optional<std::string> MapReader::text(std::string_view key) {
  const Node* node = find_value(key);
  if (node == nullptr) return std::nullopt;
  const std::string* value = node->get_if<std::string>();
  if (value == nullptr || value->empty()) refuse(key, "text");
  return *value;
}

std::optional<std::vector<int32_t>> MapReader::token_ids(std::string_view key, int64_t end) {
  const Node* node = find_value(key);
  if (node == nullptr) return std::nullopt;
  const std::string allowed = fmt::format("a token id from 0 to {} (vocab_size - 1) or a list of them", end - 1);
  std::vector<int32_t> ids;
  const auto add = [&](const Node& item) {
    const int64_t* id = item.get_if<int64_t>();
    check(id != nullptr && *id >= 0 && *id < end, "{}:{}: key '{}' is or contains {}; allowed: {}", file_, item.line,
          path_of(key), item.describe(), allowed);
    ids.push_back(static_cast<int32_t>(*id));
  };
  if (const Node::List* list = node->get_if<Node::List>()) {
    for (const Node& item : *list) add(item);
  } else {
    add(*node);
  }
  return ids;
}

void MapReader::refuse(std::string_view key, std::string_view allowed) const {
  const Node* node = node_->find(key);
  if (node == nullptr) {
    fail("{}: missing key '{}'; needed: {}", file_, path_of(key), allowed);
  }
  fail("{}:{}: key '{}' is {}; allowed: {}", file_, node->line, path_of(key), node->describe(), allowed);
}

void MapReader::refuse_unknown(const std::vector<std::string_view>& also_known) const {
  std::set<std::string_view> known(asked_.begin(), asked_.end());
  known.insert(also_known.begin(), also_known.end());
  for (const auto& [key, node] : *node_->get_if<Node::Map>()) {
    check(known.contains(key), "{}:{}: unknown key '{}' with value {}; allowed: {}", file_, node.line, path_of(key),
          node.describe(), fmt::join(known, ", "));
  }
}

}  // namespace lockstep
