// Handlers that the flags of several subcommands share: from the text of a value to its place.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/flag_values.h"

namespace lockstep {

inline constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

inline CliFlags::Handler into_integer(int32_t& target, int64_t min, int64_t max) {
  return [&target, min, max](const std::string& text) { target = static_cast<int32_t>(parse_integer(text, min, max)); };
}

inline CliFlags::Handler into_integers(std::vector<int32_t>& target, int64_t min, int64_t max) {
  return [&target, min, max](const std::string& text) {
    const std::vector<int64_t> values = parse_integers(text, min, max);
    target.assign(values.begin(), values.end());
  };
}

template <typename T>
CliFlags::Handler into_number(T& target, NumberRange range) {
  return [&target, range](const std::string& text) { target = static_cast<T>(parse_number(text, range)); };
}

template <typename T>
inline CliFlags::Handler into_text(T& target, const char* allowed) {
  return [&target, allowed](const std::string& text) {
    check(!text.empty(), "'' is not allowed; allowed: {}", allowed);
    target = text;
  };
}

// Prompts that are computed together, and the tokens of each.
using Shapes = std::vector<BenchPrefillOptions::Shape>;

inline std::string describe(const Shapes& shapes) {
  std::string text;
  for (const auto& [batch, length] : shapes) text += fmt::format("{}{}x{}", text.empty() ? "" : ",", batch, length);
  return text;
}

// "1x2048,4x512"
inline CliFlags::Handler into_shapes(Shapes& target) {
  return [&target](const std::string& text) {
    target.clear();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      const std::string part = text.substr(begin, end - begin);
      const size_t cross = part.find('x');
      check(cross != std::string::npos, "'{}' is not allowed; allowed: BATCHxLENGTH between commas, as in 1x2048,4x512", text);
      target.push_back({static_cast<int32_t>(parse_integer(part.substr(0, cross), 1, 65536)),
                        static_cast<int32_t>(parse_integer(part.substr(cross + 1), 1, kMaxInt32))});
      begin = end + 1;
    }
  };
}

// --model, which must be given.
inline void add_model(CliFlags& flags, CommandLine& result) {
  flags
      .value("--model", "MODEL", "Hugging Face directory, YAML file, or a name in configs/models",
             into_text(result.engine.model, "a directory, a YAML file or a name in configs/models"))
      ->required();
}

}  // namespace lockstep
