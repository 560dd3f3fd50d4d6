#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace lockstep::text {

namespace {

struct Alphabet {
  std::array<char32_t, 256> code_point{};
  std::array<int16_t, 0x144> byte{};  // -1: not in the alphabet
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  for (auto& b : a.byte) b = -1;
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    const char32_t c = printable ? static_cast<char32_t>(b) : next++;
    a.code_point[static_cast<size_t>(b)] = c;
    a.byte[c] = static_cast<int16_t>(b);
  }
  return a;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

void append_byte_level(std::string_view bytes, std::string& out) {
  for (const char b : bytes) append_code_point(out, kAlphabet.code_point[static_cast<unsigned char>(b)]);
}

std::string byte_level_to_bytes(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size();) {
    const char32_t c = next_code_point(token, i);
    if (c >= kAlphabet.byte.size() || kAlphabet.byte[c] < 0) return std::string(token);
    out.push_back(static_cast<char>(kAlphabet.byte[c]));
  }
  return out;
}

}  // namespace lockstep::text
