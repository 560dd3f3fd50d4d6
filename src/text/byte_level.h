// GPT-2's byte alphabet: each byte as one printable character, so that byte-level BPE can work on text.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::text {

// Appends the character of each byte. Source: bytes_to_unicode() of GPT-2's encoder.py: printable bytes stand for themselves,
// the other 68 for U+0100 and up, in order.
void append_byte_level(std::string_view bytes, std::string& out);

// The bytes that `token` spells, or token itself when one of its characters is not in the alphabet.
std::string byte_level_to_bytes(std::string_view token);

}  // namespace lockstep::text
