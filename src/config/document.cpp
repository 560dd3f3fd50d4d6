#include "config/document.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace lockstep {

const Node* Node::find(std::string_view key) const {
  if (const Map* map = get_if<Map>()) {
    for (const auto& [name, node] : *map) {
      if (name == key) return &node;
    }
  }
  return nullptr;
}

std::string Node::describe() const {
  if (const List* list = get_if<List>()) return fmt::format("a list of {}", list->size());
  if (const Map* map = get_if<Map>()) return fmt::format("a map of {} keys", map->size());
  if (is_null()) return "null";
  constexpr size_t kShown = 80;
  const std::string shown = text.size() <= kShown ? text : text.substr(0, kShown) + "…";
  if (!get_if<std::string>()) return shown;
  // Quoted and escaped as in JSON, and broken or cut characters replaced: a terminal would obey some of what may stand there.
  return nlohmann::json(shown).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string read_text_file(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  check(std::filesystem::exists(status), "{}: cannot be opened: {}", file.string(), error.message());
  check(std::filesystem::is_regular_file(status), "{}: not a regular file", file.string());
  std::ifstream in(file, std::ios::binary);
  check(in.good(), "{}: cannot be opened for reading; check its permissions", file.string());
  std::string text;
  char part[1 << 14];
  do {
    in.read(part, sizeof(part));
    text.append(part, static_cast<size_t>(in.gcount()));
    check(!in.bad(), "{}: reading it failed", file.string());
    check(text.size() <= kMaxDocumentBytes, "{}: larger than {} MiB, too large for a configuration file", file.string(),
          kMaxDocumentBytes >> 20);
  } while (in.good());
  return text;
}

}  // namespace lockstep
