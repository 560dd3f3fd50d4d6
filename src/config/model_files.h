// Where a model's configuration lies, and the sections of our YAML.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/options.h"

namespace lockstep {

// Resolves what a user gives as --model: a directory or a YAML file as it is, or a name in configs/models. Throws Error saying
// where it looked and which names there are.
std::filesystem::path find_model(const std::filesystem::path& path);

// The YAML files of configs/<folder>: of the first place that has any among ./configs, and configs beside the executable and up
// to three folders higher.
struct Catalogue {
  std::vector<std::filesystem::path> files;  // sorted
  std::vector<std::string> looked;           // where it looked
};
Catalogue find_catalogue(const std::string& folder);
// The file of that name without its extension in one of these places, or an empty path.
std::filesystem::path find_in_catalogue(const std::string& folder, const std::filesystem::path& name);

// Sets the options that the `engine:` section of a YAML file gives. Throws Error naming file, line, key, value, what is allowed.
void apply_engine_section(const std::filesystem::path& yaml_file, EngineOptions& options);

}  // namespace lockstep
