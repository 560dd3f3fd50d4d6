#include "app/chat_history.h"

#include <utility>

#include "base/error.h"

namespace lockstep {

std::vector<ChatMessage> ChatHistory::messages() const {
  std::vector<ChatMessage> all;
  if (!system_.empty()) all.push_back({"system", system_});
  for (const Turn& turn : turns_) {
    all.push_back({"user", turn.question});
    all.push_back({"assistant", turn.answer});
  }
  return all;
}

ChatHistory::Prompt ChatHistory::ask(const std::string& question, const Encode& encode, int64_t context, int64_t room) {
  ChatHistory kept = *this;
  Prompt prompt;
  for (;; ++prompt.num_dropped) {
    std::vector<ChatMessage> messages = kept.messages();
    messages.push_back({"user", question});
    prompt.token_ids = encode(messages);
    const auto length = static_cast<int64_t>(prompt.token_ids.size());
    if (length + room <= context) break;
    if (kept.turns_.empty()) {
      check(length < context,
            "the message makes a prompt of {} tokens; with one to produce it exceeds the context of {} (--max-model-len); it was "
            "not sent",
            length, context);
      break;  // a short answer is better than none
    }
    kept.turns_.erase(kept.turns_.begin());
  }
  *this = std::move(kept);
  return prompt;
}

}  // namespace lockstep
