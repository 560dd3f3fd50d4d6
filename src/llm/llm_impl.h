// LLM inside: of a World that is there already, too.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "llm/llm.h"
#include "llm/session.h"
#include "text/chat_template.h"

namespace lockstep {

struct LLM::Impl {
  std::unique_ptr<World> own_world;  // null: somebody else's
  std::unique_ptr<Session> session;
  std::optional<ChatTemplate> chat_template;  // on rank 0
  std::string why_no_template;
  bool done = false;  // the ranks have parted
  std::shared_ptr<spdlog::logger> logger_before;

  ~Impl();
  // Collective; own_world or `world` is what the session is in.
  void open(const World& world, const std::function<EngineOptions()>& resolve);
  void part() noexcept;
  Session& root(const char* what) const;  // throws Error where rank 0 is not to be asked
  std::vector<int32_t> encode_chat(const std::vector<ChatMessage>& messages) const;
  std::vector<RequestOutput> generate(const std::vector<std::vector<int32_t>>& prompts, const SamplingParams& sampling,
                                      const Follow& follow) const;
};

// For commands, which have a World.
class LlmOfWorld {
 public:
  // Collective. Throws PhaseFailed or Error.
  static LLM make(const World& world, const std::function<EngineOptions()>& resolve);
};

}  // namespace lockstep
