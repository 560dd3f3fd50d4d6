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

std::vector<fs::path> catalogue_directories(const std::string& folder) {
  const fs::path below = fs::path("configs") / folder;
  std::vector<fs::path> directories = {below};
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    fs::path parent = executable.parent_path();
    for (int level = 0; level < 3; ++level) {
      parent = parent.parent_path();
      directories.push_back(parent / below);
      directories.push_back(parent / "share" / "lockstep" / below);  // where it is installed
    }
  }
  return directories;
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
  if (const fs::path file = find_in_catalogue("models", path); !file.empty()) return file;
  const Catalogue catalogue = find_catalogue("models");
  std::vector<std::string> names;
  for (const fs::path& file : catalogue.files) names.push_back(file.stem().string());
  std::vector<std::string> looked;
  for (const std::string& directory : catalogue.looked) looked.push_back(fmt::format("{}/{}.yaml", directory, path.string()));
  fail("{}: no such directory, and no model of that name at {}{}{}", path.string(), fmt::join(looked, ", "),
       names.empty() ? "" : "; known names: ", fmt::join(names, ", "));
}

Catalogue find_catalogue(const std::string& folder) {
  Catalogue catalogue;
  for (const fs::path& directory : catalogue_directories(folder)) {
    catalogue.looked.push_back(directory.string());
    if (!catalogue.files.empty()) continue;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      if (entry.path().extension() == ".yaml") catalogue.files.push_back(entry.path());
    }
  }
  std::sort(catalogue.files.begin(), catalogue.files.end());
  return catalogue;
}

fs::path find_in_catalogue(const std::string& folder, const fs::path& name) {
  std::error_code error;
  for (const fs::path& directory : catalogue_directories(folder)) {
    fs::path file = directory / name;
    file += ".yaml";
    if (fs::is_regular_file(file, error)) return file;
  }
  return {};
}

}  // namespace lockstep
