// Reads a JSON file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace lockstep::text {

std::string read_file(const std::filesystem::path& file, std::string_view remedy);

// Throws Error naming the file: cannot be read (with `remedy`), is not JSON.
nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view remedy);

}  // namespace lockstep::text
