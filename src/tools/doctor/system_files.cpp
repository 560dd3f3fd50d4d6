#include "tools/doctor/system_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "tools/doctor/facts.h"

namespace lockstep::doctor {
namespace {

constexpr std::streamsize kMostBytes = 64 << 10;

std::string trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<int64_t> parse(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool SystemFiles::exists(const std::string& name) const {
  std::error_code ignored;
  return std::filesystem::exists(path(name), ignored);
}

std::optional<std::string> SystemFiles::text(const std::string& name) const {
  std::ifstream file(path(name), std::ios::binary);
  if (!file) return std::nullopt;
  std::string all(static_cast<size_t>(kMostBytes), '\0');
  file.read(all.data(), kMostBytes);
  all.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return all;
}

std::string SystemFiles::line(const std::string& name) const {
  const std::string all = text(name).value_or("");
  return trim(all.substr(0, all.find('\n')));
}

std::optional<int64_t> SystemFiles::integer(const std::string& name) const { return parse(line(name)); }

std::vector<std::string> SystemFiles::list(const std::string& name) const {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path(name), error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

int64_t SystemFiles::limit(const std::string& label) const {
  std::istringstream lines(text("proc/self/limits").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(label)) continue;
    std::istringstream words(line.substr(label.size()));
    std::string soft;
    words >> soft;
    return parse(soft).value_or(kUnlimited);  // "unlimited"
  }
  return kUnlimited;
}

std::string SystemFiles::field(const std::string& name, const std::string& key) const {
  std::istringstream lines(text(name).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos && trim(line.substr(0, colon)) == key) return trim(line.substr(colon + 1));
  }
  return "";
}

std::vector<int> parse_list(const std::string& text) {
  std::vector<int> all;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t dash = part.find('-');
    const auto first = parse(trim(part.substr(0, dash)));
    const auto last = dash == std::string::npos ? first : parse(trim(part.substr(dash + 1)));
    constexpr int64_t kMost = 1 << 20;
    if (!first || !last || *first < 0 || *last > kMost) continue;
    for (int64_t i = *first; i <= *last; ++i) all.push_back(static_cast<int>(i));
  }
  return all;
}

}  // namespace lockstep::doctor
