#include "text/json_file.h"

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "text/strict_json.h"

namespace lockstep::text {

namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{256} << 20;  // the largest real ones have 35 MB

}  // namespace

std::string read_file(const std::filesystem::path& file, std::string_view remedy) {
  std::error_code error;
  check(std::filesystem::is_regular_file(file, error), "{}: cannot be read; {}", file.string(), remedy);
  const auto size = std::filesystem::file_size(file, error);
  check(!error && size <= kMaxFileBytes, "{}: has {} bytes, at most {} are supported", file.string(), size, kMaxFileBytes);
  std::ifstream in(file, std::ios::binary);
  check(in.good(), "{}: cannot be read; {}", file.string(), remedy);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

nlohmann::json parse_json(std::string_view content, const std::string& name) {
  return parse_strict_json<nlohmann::json>(content, name);
}

nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view remedy) {
  return parse_json(read_file(file, remedy), file.string());
}

}  // namespace lockstep::text
