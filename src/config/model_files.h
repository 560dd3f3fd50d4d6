// Where a model's configuration lies, and the sections of our YAML.
#pragma once

#include <filesystem>

#include "config/options.h"

namespace lockstep {

// Resolves what a user gives as --model: a directory or a YAML file as it is, or a name in configs/models. Throws Error saying
// where it looked and which names there are.
std::filesystem::path find_model(const std::filesystem::path& path);

// Sets the options that the `engine:` section of a YAML file gives. Throws Error naming file, line, key, value, what is allowed.
void apply_engine_section(const std::filesystem::path& yaml_file, EngineOptions& options);

}  // namespace lockstep
