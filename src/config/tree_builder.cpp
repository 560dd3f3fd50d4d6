#include "config/tree_builder.h"

#include <utility>

#include "base/error.h"

namespace lockstep {

void refuse_zero_bytes(const std::string& text, const std::filesystem::path& file) {
  const size_t zero = text.find('\0');
  check(zero == std::string::npos, "{}: has a zero byte at {}; it must be a text file in UTF-8", file.string(), zero);
}

void TreeBuilder::begin(decltype(Node::value) value, int line) {
  check(open_.size() < static_cast<size_t>(kMaxDocumentDepth), "{}:{}: nested deeper than {} levels", file_, line,
        kMaxDocumentDepth);
  Open& open = open_.emplace_back();
  open.is_map = std::holds_alternative<Node::Map>(value);
  open.node.value = std::move(value);
  open.node.line = line;
}

void TreeBuilder::key(const std::string& name, int line) {
  Open& map = open_.back();
  const auto [where, is_new] = map.lines.emplace(name, line);
  check(is_new, "{}:{}: key '{}' is given twice; it already stands in line {}", file_, line, name, where->second);
  map.key = name;
  map.has_key = true;
}

void TreeBuilder::scalar(Node node) { add(std::move(node)); }

void TreeBuilder::end() {
  Node node = std::move(open_.back().node);
  open_.pop_back();
  add(std::move(node));
}

void TreeBuilder::add(Node node) {
  if (open_.empty()) {
    root_ = std::move(node);
  } else if (Open& parent = open_.back(); parent.is_map) {
    node.line = parent.lines.at(parent.key);  // a YAML null or map begins later, where it would mislead
    std::get<Node::Map>(parent.node.value).push_back({std::exchange(parent.key, {}), std::move(node)});
    parent.has_key = false;
  } else {
    std::get<Node::List>(parent.node.value).push_back(std::move(node));
  }
}

}  // namespace lockstep
