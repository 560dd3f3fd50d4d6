#include "weights/strict_json.h"

#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace lockstep {
namespace {

using nlohmann::json;

// Watches the parse from inside, so that what is refused is never built.
class Guard {
 public:
  explicit Guard(const std::string& where) : where_(where) {}

  bool operator()(int, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        count_value();
        check(levels_.size() < kMaxJsonDepth, "{}: JSON is nested deeper than {} levels", where_, kMaxJsonDepth);
        levels_.emplace_back();
        levels_.back().array = event == json::parse_event_t::array_start;
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end: levels_.pop_back(); break;
      case json::parse_event_t::key: {
        check(++keys_ <= kMaxJsonKeys, "{}: JSON has more than {} keys", where_, kMaxJsonKeys);
        const std::string& key = parsed.get_ref<const std::string&>();
        check(levels_.back().keys.insert(key).second, "{}: key '{}' occurs twice in one JSON object", where_, printable(key));
        break;
      }
      case json::parse_event_t::value: count_value(); break;
    }
    return true;
  }

 private:
  struct Level {
    bool array = false;
    int values = 0;
    std::unordered_set<std::string> keys;
  };

  void count_value() {
    if (levels_.empty() || !levels_.back().array) return;
    check(++levels_.back().values <= kMaxJsonArray, "{}: a JSON array has more than {} values", where_, kMaxJsonArray);
  }

  const std::string& where_;
  std::vector<Level> levels_;
  int keys_ = 0;
};

}  // namespace

json parse_strict_json(std::string_view text, const std::string& where) {
  // The parser takes a zero byte for the end of the text and would ignore what follows.
  const size_t zero = text.find('\0');
  check(zero == std::string_view::npos, "{}: JSON has a zero byte at {}", where, zero);
  try {
    return json::parse(text.begin(), text.end(), Guard(where));
  } catch (const json::exception& e) {
    fail("{}: is not valid JSON: {}", where, printable(e.what()));
  }
}

std::string printable(std::string_view s) {
  constexpr size_t kLongest = 120;
  std::string out;
  for (const char c : s.substr(0, kLongest)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (s.size() > kLongest) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0u) == 0x80u) out.pop_back();  // no half character
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0u) out.pop_back();
    out += "...";
  }
  return out;
}

}  // namespace lockstep
