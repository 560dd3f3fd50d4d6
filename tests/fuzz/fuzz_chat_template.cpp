// A tokenizer_config.json with its chat template, through a directory as the program reads it.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fuzz.h"
#include "text/chat_template.h"

namespace {

// A directory of this process, removed when it ends.
class Directory {
 public:
  Directory() : path_(std::filesystem::temp_directory_path() / ("lockstep_fuzz_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  static const Directory directory;
  std::ofstream(directory.path() / "tokenizer_config.json", std::ios::binary) << fuzz::text_of(data, size);
  fuzz::allow_error([&] {
    const ChatTemplate chat = ChatTemplate::load(directory.path());
    static_cast<void>(
        chat.render(plain_chat({{"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Yes."}, {"user", "Why?"}})));
  });
  return 0;
}
