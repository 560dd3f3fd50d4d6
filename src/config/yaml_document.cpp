#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "config/document.h"
#include "config/tree_builder.h"

namespace lockstep {
namespace {

constexpr size_t kMaxYamlBytes = 1 << 20;  // yaml-cpp needs about a second for as much, and far more than it for much more

bool is_decimal_integer(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A plain scalar by the core schema of YAML 1.2 (section 10.3.2), without its octal and hexadecimal integers.
decltype(Node::value) resolve_plain(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return std::monostate{};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  std::string_view number = text;
  if (number.front() == '+') number.remove_prefix(1);
  if (is_decimal_integer(text)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error == std::errc() && end == number.data() + number.size()) return value;
  }
  if (number == ".inf" || number == ".Inf" || number == ".INF") return std::numeric_limits<double>::infinity();
  if (number == "-.inf" || number == "-.Inf" || number == "-.INF") return -std::numeric_limits<double>::infinity();
  if (number == ".nan" || number == ".NaN" || number == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  if (number.find_first_not_of("0123456789.eE+-") == std::string_view::npos) {  // neither "inf" nor "nan", which from_chars takes
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (end == number.data() + number.size()) {
      if (error == std::errc::result_out_of_range) return std::numeric_limits<double>::infinity();
      if (error == std::errc()) return value;
    }
  }
  return text;
}

// yaml-cpp would put U+FFFD for what is broken.
void check_utf8(const std::string& text, const std::filesystem::path& file) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
  } catch (const nlohmann::json::exception& e) {
    fail("{}: is not UTF-8 text: {}", file.string(), e.what());
  }
}

class YamlHandler : public YAML::EventHandler {
 public:
  explicit YamlHandler(const std::filesystem::path& file) : builder_(file) {}
  Node take() { return builder_.take(); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, "?", anchor, ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail("{}:{}: YAML aliases (*name) are not supported; write the value out", builder_.file(), line(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    add(mark, tag, anchor, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor);
    builder_.begin_list(line(mark));
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor);
    builder_.begin_map(line(mark));
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  static int line(const YAML::Mark& mark) { return mark.line + 1; }

  void refuse_extras(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    check(anchor == YAML::NullAnchor, "{}:{}: YAML anchors (&name) are not supported; write the value out", builder_.file(),
          line(mark));
    check(tag.empty() || tag == "?" || tag == "!", "{}:{}: YAML tags ({}) are not supported", builder_.file(), line(mark), tag);
  }

  void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    refuse_extras(mark, tag, anchor);
    check(!builder_.expects_key(), "{}:{}: a key must be plain text, not a list or a map", builder_.file(), line(mark));
  }

  // tag "?" marks a plain scalar, "!" a quoted one.
  void add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) {
    refuse_extras(mark, tag, anchor);
    if (builder_.expects_key()) {
      check(!text.empty(), "{}:{}: an empty key", builder_.file(), line(mark));
      builder_.key(text, line(mark));
    } else {
      builder_.scalar({tag == "!" ? decltype(Node::value)(text) : resolve_plain(text), text, line(mark)});
    }
  }

  TreeBuilder builder_;
};

}  // namespace

Node parse_yaml(const std::string& text, const std::filesystem::path& file) {
  refuse_zero_bytes(text, file);
  check(text.size() <= kMaxYamlBytes, "{}: larger than {} KiB, too large for a YAML file", file.string(), kMaxYamlBytes >> 10);
  check_utf8(text, file);
  std::istringstream in(text);
  YamlHandler handler(file);
  try {
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(handler))
      fail("{}: empty; a model file has the sections model, weights, tokenizer, engine", file.string());
    if (YamlHandler second(file); parser.HandleNextDocument(second)) fail("{}: more than one YAML document", file.string());
  } catch (const YAML::Exception& e) {
    fail("{}:{}:{}: broken YAML: {}", file.string(), e.mark.line + 1, e.mark.column + 1, e.msg);
  }
  return handler.take();
}

Node read_yaml(const std::filesystem::path& file) { return parse_yaml(read_text_file(file), file); }

}  // namespace lockstep
