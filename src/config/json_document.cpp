#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "config/document.h"
#include "config/tree_builder.h"

namespace lockstep {
namespace {

// What the parser has read so far. It looks one character ahead of a number at most.
struct Position {
  size_t offset = 0;
  int line = 1;
};

// An input iterator over text that counts lines as the parser advances it.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  CountingIterator(const char* at, Position* position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++position_->offset;
    if (*at_ == '\n') ++position_->line;
    ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Position* position_;
};

// The parser's events; nlohmann::json fixes the names. Values take the line of the last key, which is exact for `"key": value`.
class JsonHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonHandler(const std::filesystem::path& file, const std::string& text, const Position& position)
      : builder_(file), text_(text), position_(position) {}
  Node take() { return builder_.take(); }

  bool null() override { return scalar(std::monostate{}, "null"); }
  bool boolean(bool value) override { return scalar(value, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(static_cast<int64_t>(value), std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    // Beyond int64 it is only ever out of range; as a floating-point number it keeps its size.
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return scalar(static_cast<double>(value), std::to_string(value));
    return scalar(static_cast<int64_t>(value), std::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& text) override { return scalar(value, text); }
  bool string(string_t& value) override { return scalar(value, value); }
  bool binary(binary_t&) override { return false; }  // never in JSON text
  bool start_object(size_t) override {
    builder_.begin_map(line());
    return true;
  }
  bool key(string_t& name) override {
    key_line_ = position_.line;
    builder_.key(name, key_line_);
    return true;
  }
  bool end_object() override { return end(); }
  bool start_array(size_t) override {
    builder_.begin_list(line());
    return true;
  }
  bool end_array() override { return end(); }
  bool parse_error(size_t offset, const std::string& last_token, const nlohmann::json::exception& error) override {
    const size_t at = std::min(offset == 0 ? 0 : offset - 1, text_.size());
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const size_t line_start = at == 0 ? std::string::npos : text_.rfind('\n', at - 1);
    const size_t column = at - (line_start == std::string::npos ? 0 : line_start + 1) + 1;
    const Node last{last_token, last_token, static_cast<int>(line)};
    constexpr int kOutOfRange = 406;  // nlohmann's number for what no double holds
    if (error.id == kOutOfRange) fail("{}:{}:{}: the number {} is out of range", builder_.file(), line, column, last.describe());
    fail("{}:{}:{}: broken JSON at byte {}, after {}", builder_.file(), line, column, at, last.describe());
  }

 private:
  int line() const { return key_line_ > 0 ? key_line_ : position_.line; }
  bool scalar(decltype(Node::value) value, std::string text) {
    builder_.scalar({std::move(value), std::move(text), line()});
    return true;
  }
  bool end() {
    builder_.end();
    return true;
  }

  TreeBuilder builder_;
  const std::string& text_;
  const Position& position_;
  int key_line_ = 0;
};

}  // namespace

Node parse_json(const std::string& text, const std::filesystem::path& file) {
  refuse_zero_bytes(text, file);
  Position position;
  JsonHandler handler(file, text, position);
  const bool ok = nlohmann::json::sax_parse(CountingIterator(text.data(), &position),
                                            CountingIterator(text.data() + text.size(), &position), &handler);
  check(ok, "{}: broken JSON", file.string());
  return handler.take();
}

Node read_json(const std::filesystem::path& file) { return parse_json(read_text_file(file), file); }

}  // namespace lockstep
