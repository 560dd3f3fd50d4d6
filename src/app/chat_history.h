// ChatHistory: the turns of a chat, and what of them still fits the context.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "text/chat_message.h"

namespace lockstep {

class ChatHistory {
 public:
  using Encode = std::function<std::vector<int32_t>(const std::vector<ChatMessage>&)>;

  // Empty: no system message.
  void set_system(const std::string& text) { system_ = text; }
  const std::string& system() const { return system_; }
  void clear() { turns_.clear(); }
  void add(const std::string& question, const std::string& answer) { turns_.push_back({question, answer}); }
  size_t num_turns() const { return turns_.size(); }
  // All of it, the system message first.
  std::vector<ChatMessage> messages() const;

  struct Prompt {
    std::vector<int32_t> token_ids;
    size_t num_dropped = 0;  // turns, the oldest, that did not fit and are forgotten
  };
  // The prompt that asks `question` after all that was said. While prompt and `room` tokens for the answer exceed `context`, the
  // oldest turn is forgotten. Throws Error, and forgets nothing, when the question alone leaves no room for one token, and when
  // `encode` does.
  Prompt ask(const std::string& question, const Encode& encode, int64_t context, int64_t room);

 private:
  struct Turn {
    std::string question;
    std::string answer;
  };
  std::string system_;
  std::vector<Turn> turns_;
};

}  // namespace lockstep
