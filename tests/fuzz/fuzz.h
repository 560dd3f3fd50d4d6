// What the fuzz targets share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lockstep::fuzz {

inline std::string text_of(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// Runs `action`; Error is a fine answer to bad input, any other exception a finding. Returns whether there was no Error.
template <typename Action>
bool allow_error(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    if (std::string_view(error.what()).empty()) std::abort();  // it must say something
    return false;
  }
}

// Ends the process, which the fuzzer reports, unless `ok`.
inline void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace lockstep::fuzz
