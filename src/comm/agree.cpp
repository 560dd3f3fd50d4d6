#include "comm/agree.h"

#include <string>

#include "base/error.h"

namespace lockstep {

void agree(const World& world, const char* what, const std::function<void()>& body) {
  std::string mine;  // "" is success
  try {
    body();
  } catch (const std::exception& e) {
    mine = std::string("!") + e.what();
  }
  const auto all = world.all_gather(mine, what);
  for (int r = 0; r < world.size(); ++r) {
    const std::string& text = all[static_cast<size_t>(r)];
    check(text.empty(), "{}: {}", world.name_of(r), text.empty() ? text : text.substr(1));
  }
}

}  // namespace lockstep
