// ChatMessage: one turn of a chat. Part of the public library.
#pragma once

#include <string>

namespace lockstep {

struct ChatMessage {
  std::string role;  // system, user, assistant
  std::string content;
};

}  // namespace lockstep
