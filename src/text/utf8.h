// UTF-8: code points in and out, and the repair of invalid bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::text {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// The code point that starts at text[i]; moves i behind it. text must be valid UTF-8 and i a boundary.
char32_t next_code_point(std::string_view text, size_t& i);

void append_code_point(std::string& out, char32_t c);

// Bytes of the character that starts with this lead byte of valid UTF-8.
constexpr size_t utf8_length(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

// The start of the last character of text[0, end), end > 0. text must be valid UTF-8.
size_t previous_character(std::string_view text, size_t end);

size_t count_code_points(std::string_view text);

// Turns a stream of bytes into valid UTF-8: each maximal invalid subpart becomes one U+FFFD (the Unicode Standard, 3.9,
// "U+FFFD Substitution of Maximal Subparts"), as Python's bytes.decode(errors="replace") and Rust's from_utf8_lossy do.
class Utf8Repairer {
 public:
  // Appends to `out` the characters that `bytes` completes; holds back at most three bytes.
  void push(std::string_view bytes, std::string& out);
  // An incomplete character becomes U+FFFD; the object is as new afterwards.
  void finish(std::string& out);

 private:
  char pending_[3] = {};
  size_t num_pending_ = 0;
  size_t missing_ = 0;        // continuation bytes still to come
  unsigned char low_ = 0x80;  // what the next continuation byte may be
  unsigned char high_ = 0xBF;
};

std::string repair_utf8(std::string_view bytes);

bool is_valid_utf8(std::string_view bytes);

}  // namespace lockstep::text
