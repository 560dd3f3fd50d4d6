// Error: the one exception type. Part of the public library.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace lockstep {

// Its message says what went wrong, where (file, key, tensor), the offending value and the remedy.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::source_location where = std::source_location::current())
      : std::runtime_error(message), where_(where) {}
  // The line of our code that threw; shown in logs at debug level.
  const std::source_location& where() const noexcept { return where_; }

 private:
  std::source_location where_;
};

}  // namespace lockstep
