// Requests as OpenAI's API has them, and the parameters that vLLM adds: what stands in a body, checked, as the engine takes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "config/command_line.h"
#include "engine/request.h"
#include "openai/request_json.h"
#include "openai/tool_calls.h"
#include "text/chat_template.h"

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

// Another model than those served: a 404 over HTTP.
class UnknownModel : public RequestError {
 public:
  explicit UnknownModel(const std::string& message) : RequestError("model", message) {}
};

struct OpenAiRequest {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string model;                 // empty: not given
  std::vector<PromptInput> prompts;  // of completions: one or more
  ChatRequest chat;                  // of chat completions
  bool add_special_tokens = true;    // to prompts that are text; what a chat template makes gets none unless this was given
  SamplingParams sampling;
  bool limits_tokens = false;  // sampling.max_tokens was given, or is the endpoint's own; else the context is the limit
  bool no_completion = false;  // max_tokens is 0: only the prompt is of interest (echo); the engine makes a token all the same
  RequestOptions options;
  bool echo = false;              // the prompt goes before the completion
  bool return_token_ids = false;  // of prompt and choices
  bool stream = false;
  bool include_usage = false;                  // at the end of a stream
  bool continuous_usage = false;               // and with each part of it
  bool has_tools = false;                      // tools are given, and may be called
  bool parallel_tool_calls = true;             // else the first counts
  bool forces_call = false;                    // the output is a call, or several, and nothing else
  std::string forced_tool;                     // the output is this one's arguments; empty: a list of calls
  ToolFormat tool_format = ToolFormat::kNone;  // how the model calls them: set by RequestEncoder
};

// A list of token ids that is not empty. key: where it stands. Throws RequestError.
std::vector<int32_t> read_token_ids(const std::string& key, const RequestJson& list);

// body: what the client sent, as JSON. Throws RequestError.
OpenAiRequest parse_openai_request(const RequestJson& body, Endpoint endpoint);

// "/v1/completions" and "/v1/chat/completions".
std::optional<Endpoint> find_endpoint(std::string_view url);

}  // namespace lockstep
