// Document: a JSON or YAML file as a tree of values that remember their lines, so that whoever reads it can say where a bad
// value stands. Both parsers refuse duplicate keys, several documents in a file, deep nesting and large files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lockstep {

struct Node {
  struct Member;
  using List = std::vector<Node>;
  using Map = std::vector<Member>;  // in the file's order; no key twice
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Map> value;
  std::string text;  // a scalar as written, without quotes; for messages and for the parsers of flags
  int line = 0;      // of its key, or of the value itself in a list; counted from 1

  bool is_null() const { return std::holds_alternative<std::monostate>(value); }
  template <typename T>
  const T* get_if() const;
  // The value under `key` of a map, or nullptr.
  const Node* find(std::string_view key) const;
  // For messages: "null", "true", "12", "\"text\"", "a list of 3", "a map of 2 keys"; long text is cut.
  std::string describe() const;
};

struct Node::Member {
  std::string key;
  Node node;
};

template <typename T>
const T* Node::get_if() const {
  return std::get_if<T>(&value);
}

// Bounds that no true configuration comes near; they keep hostile files from costing time or stack.
inline constexpr size_t kMaxDocumentBytes = 16 << 20;
inline constexpr int kMaxDocumentDepth = 64;

// The file's bytes. Throws Error when it cannot be read or is longer than kMaxDocumentBytes.
std::string read_text_file(const std::filesystem::path& file);

// Strict JSON (RFC 8259: no comments, no NaN; a byte order mark at the start is passed over). file: for messages. Throws Error
// naming file, line and column.
Node parse_json(const std::string& text, const std::filesystem::path& file);
Node read_json(const std::filesystem::path& file);

// YAML in UTF-8 without aliases, anchors, tags and merge keys, of at most 1 MiB; plain scalars as in the YAML 1.2 core schema
// (null, true, false, decimal integers, floats). Throws Error naming file, line and column.
Node parse_yaml(const std::string& text, const std::filesystem::path& file);
Node read_yaml(const std::filesystem::path& file);

}  // namespace lockstep
