// TreeBuilder: what the JSON and the YAML parser share: events in, Node out; it is where duplicate keys and depth are refused.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/document.h"

namespace lockstep {

// Throws Error where the text has a zero byte: a parser of JSON takes it for the end and would pass over what follows.
void refuse_zero_bytes(const std::string& text, const std::filesystem::path& file);

class TreeBuilder {
 public:
  explicit TreeBuilder(const std::filesystem::path& file) : file_(file.string()) {}

  // Between begin_map() and end() a key() comes before each value. Throws Error naming file and line.
  void begin_map(int line) { begin(Node::Map{}, line); }
  void begin_list(int line) { begin(Node::List{}, line); }
  void key(const std::string& name, int line);
  void scalar(Node node);
  void end();

  // Whether the next event has to be a key.
  bool expects_key() const { return !open_.empty() && open_.back().is_map && !open_.back().has_key; }
  Node take() { return std::move(root_); }
  const std::string& file() const { return file_; }

 private:
  struct Open {
    Node node;
    bool is_map = false;
    bool has_key = false;
    std::string key;
    std::unordered_map<std::string, int> lines;  // of the keys so far
  };
  void begin(decltype(Node::value) value, int line);
  void add(Node node);

  std::string file_;
  std::vector<Open> open_;
  Node root_;
};

}  // namespace lockstep
