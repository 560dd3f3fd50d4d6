// The main() of a fuzz target where there is no libFuzzer: runs every file of the directories given, and each file's beginnings.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

void run(const std::string& bytes) { LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()); }

}  // namespace

int main(int argc, char** argv) {
  constexpr size_t kBeginnings = 64;
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) {
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);  // so that a crash tells at which file
      std::ifstream in(path, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      run(bytes);
      for (size_t n = 0; n < kBeginnings; ++n) run(bytes.substr(0, bytes.size() * n / kBeginnings));
      ++files;
    }
  }
  if (files == 0) std::fprintf(stderr, "no file in the corpus\n");
  return files == 0 ? 1 : 0;
}
