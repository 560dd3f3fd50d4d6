#include "text/json_file.h"

#include <fstream>
#include <iterator>

#include "base/error.h"

namespace lockstep::text {

std::string read_file(const std::filesystem::path& file, std::string_view remedy) {
  std::ifstream in(file, std::ios::binary);
  check(in.good() && std::filesystem::is_regular_file(file), "{}: cannot be read; {}", file.string(), remedy);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view remedy) {
  const std::string content = read_file(file, remedy);
  try {
    return nlohmann::json::parse(content);
  } catch (const nlohmann::json::exception& e) {
    fail("{}: is not valid JSON: {}", file.string(), e.what());
  }
}

}  // namespace lockstep::text
