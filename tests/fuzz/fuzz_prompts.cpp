// A file of prompts.
#include <sstream>

#include "app/prompts.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string text = fuzz::text_of(data, size);
  fuzz::allow_error([&] {
    std::istringstream in(text);
    std::string joined;
    for (const std::string& line : read_prompts(in, "FILE")) {
      fuzz::require(line.find('\n') == std::string::npos);
      joined += line + '\n';
    }
    fuzz::require(joined == text || joined == text + '\n');  // every byte is in its line
  });
  return 0;
}
