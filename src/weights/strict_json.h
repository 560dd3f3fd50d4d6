// JSON from files that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lockstep {

// Parses `text`. Throws Error, beginning with `where`, on anything but one JSON value: bad syntax or UTF-8, a key twice in one
// object, nesting deeper than kMaxJsonDepth, an array of more than kMaxJsonArray values, more
// than kMaxJsonKeys keys in all, or a zero byte.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);

inline constexpr int kMaxJsonDepth = 8;
inline constexpr int kMaxJsonArray = 64;  // a shape has a handful of dimensions
// Each costs a hundred times its two bytes in memory. A header needs four a tensor; the largest models have 10^5 tensors.
inline constexpr int kMaxJsonKeys = 1 << 20;

// A string of a file, fit for an error message: control characters replaced, cut after 120 bytes.
std::string printable(std::string_view s);

}  // namespace lockstep
