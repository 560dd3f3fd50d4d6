// Questions about paths that never throw: paths come from the user, and std::filesystem's throwing ones name no remedy.
#pragma once

#include <filesystem>

namespace lockstep {

// Whether the directory has an entry of that name, be it a broken symlink: then it is named when it is opened, not passed over.
inline bool is_listed(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

inline bool leads_to_directory(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

}  // namespace lockstep
