// Handlers that the flags of several subcommands share: from the text of a value to its place.
#pragma once

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

// --model, which must be given.
inline void add_model(CliFlags& flags, CommandLine& result) {
  flags
      .value("--model", "MODEL", "Hugging Face directory, YAML file, or a name in configs/models",
             into_text(result.engine.model, "a directory, a YAML file or a name in configs/models"))
      ->required();
}

}  // namespace lockstep
