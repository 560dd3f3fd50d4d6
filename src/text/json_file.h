// Reads a JSON file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lockstep::text {

std::string read_file(const std::filesystem::path& file, std::string_view remedy);

// Throws Error naming the file: cannot be read (with `remedy`), is not JSON, has the same key twice in an object (of which
// parsers keep the one or the other), is nested too deep or too large.
nlohmann::json parse_json(std::string_view content, const std::string& name);
nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view remedy);

}  // namespace lockstep::text
