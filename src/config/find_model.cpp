#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "config/model_files.h"

namespace lockstep {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> catalogue_directories() {
  const fs::path below = fs::path("configs") / "models";
  std::vector<fs::path> directories = {below};
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    fs::path parent = executable.parent_path();
    for (int level = 0; level < 3; ++level) {
      parent = parent.parent_path();
      directories.push_back(parent / below);
    }
  }
  return directories;
}

std::vector<std::string> catalogue_names(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

fs::path find_model(const fs::path& path) {
  check(!path.empty(), "--model is empty; give a Hugging Face directory, a YAML file or a name in configs/models");
  std::error_code error;
  if (leads_to_directory(path)) return path;
  if (is_listed(path)) {
    check(path.extension() == ".yaml" || path.extension() == ".yml",
          "{}: neither a directory nor a .yaml file; give a Hugging Face directory, a YAML file or a name in configs/models",
          path.string());
    return path;
  }
  check(!path.has_parent_path() && path.extension() != ".yaml" && path.extension() != ".yml", "{}: no such file or directory",
        path.string());
  std::vector<std::string> looked, names;
  for (const fs::path& directory : catalogue_directories()) {
    fs::path file = directory / path;
    file += ".yaml";
    if (fs::is_regular_file(file, error)) return file;
    looked.push_back(file.string());
    if (names.empty()) names = catalogue_names(directory);
  }
  fail("{}: no such directory, and no model of that name at {}{}{}", path.string(), fmt::join(looked, ", "),
       names.empty() ? "" : "; known names: ", fmt::join(names, ", "));
}

}  // namespace lockstep
