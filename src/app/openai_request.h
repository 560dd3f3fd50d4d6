// Requests as OpenAI's API has them, and the parameters that vLLM adds: what stands in a body, checked, as the engine takes it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "config/command_line.h"
#include "engine/request.h"

namespace lockstep {

enum class Endpoint { kCompletions, kChatCompletions };

// A request that is wrong. param: the key that is to blame, or empty; the message names it, its value and what is allowed.
class RequestError : public Error {
 public:
  RequestError(std::string param, const std::string& message) : Error(message), param_(std::move(param)) {}
  const std::string& param() const noexcept { return param_; }

 private:
  std::string param_;
};

struct OpenAiMessage {
  std::string role;
  std::string content;
};

struct OpenAiRequest {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string model;                    // empty: not given
  std::vector<PromptInput> prompts;     // of completions: one or more
  std::vector<OpenAiMessage> messages;  // of chat completions
  bool add_special_tokens = true;       // to prompts that are text
  SamplingParams sampling;
  bool limits_tokens = false;  // sampling.max_tokens was given, or is the endpoint's own; else the context is the limit
  RequestOptions options;
  bool echo = false;              // the prompt goes before the completion
  bool return_token_ids = false;  // of prompt and choices
  bool stream = false;
  bool include_usage = false;  // at the end of a stream
};

// body: what the client sent, as JSON. Throws RequestError.
OpenAiRequest parse_openai_request(const nlohmann::json& body, Endpoint endpoint);

// "/v1/completions" and "/v1/chat/completions".
std::optional<Endpoint> find_endpoint(std::string_view url);

}  // namespace lockstep
