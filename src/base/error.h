// What code of ours throws: fail() and check() make an Error whose message says what went wrong, where (file, key, tensor), the
// offending value and the remedy; whoever reports it adds rank and host.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "base/exception.h"

namespace lockstep {

// A format string that remembers where it was written, so that fail() needs no macro.
template <typename... Args>
struct FormatAt {
  fmt::format_string<Args...> format;
  std::source_location where;
  template <typename S>
  consteval FormatAt(const S& s, std::source_location w = std::source_location::current()) : format(s), where(w) {}
};

// Throws Error with a formatted message: fail("{}: key '{}' is {}, expected a positive integer", file, key, value).
template <typename... Args>
[[noreturn]] void fail(FormatAt<std::type_identity_t<Args>...> at, Args&&... args) {
  throw Error(fmt::format(at.format, std::forward<Args>(args)...), at.where);
}

// Throws Error unless `ok`; for conditions whose failure the user can cause and for internal invariants alike.
template <typename... Args>
void check(bool ok, FormatAt<std::type_identity_t<Args>...> at, Args&&... args) {
  if (!ok) [[unlikely]] {
    throw Error(fmt::format(at.format, std::forward<Args>(args)...), at.where);
  }
}

}  // namespace lockstep
