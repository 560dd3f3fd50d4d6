// The chat template of a model directory: messages in, the prompt's text out, as transformers' apply_chat_template gives it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/chat_message.h"

namespace lockstep {

namespace text {
class JinjaTemplate;
}

// What apply_chat_template takes. All of it is JSON as in OpenAI's API; the template decides what it reads of it.
struct ChatRequest {
  using Json = nlohmann::ordered_json;

  Json messages = Json::array();  // objects; content is text or a list of parts; tool_calls, reasoning_content, ... as given
  Json tools;                     // null, or a list of objects
  Json documents;                 // null, or a list of objects
  bool add_generation_prompt = true;
  // A key of the last message, mostly "content", whose text the model is to go on with; empty: none. Needs add_generation_prompt
  // = false.
  std::string continue_final_message;
  Json template_kwargs = Json::object();  // other variables: enable_thinking, ...; they go before the tokenizer's special tokens
  std::string template_name;  // of several templates; empty: as transformers chooses ("tool_use" with tools, else "default")
};

// Plain messages, to be followed by the start of the assistant's turn. Invalid UTF-8 becomes U+FFFD.
ChatRequest plain_chat(const std::vector<ChatMessage>& messages);

// Immutable; may be used from several threads.
class ChatTemplate {
 public:
  // Reads the directory's chat_template.jinja and additional_chat_templates/*.jinja; where there are none, chat_template of
  // tokenizer_config.json, a text or a list of named ones. Throws Error when there is none, or one is no template that we can
  // run.
  static ChatTemplate load(const std::filesystem::path& directory);
  // With the template of a file instead; the directory still tells the special tokens, where it has a tokenizer_config.json.
  static ChatTemplate load(const std::filesystem::path& directory, const std::filesystem::path& template_file);

  // The prompt's text, special tokens spelled out. Encode it without adding special tokens: the template has written them. Throws
  // Error when the request is no valid one, or the template refuses it (roles that do not alternate, ...).
  std::string render(const ChatRequest& request) const;
  // The text of the template that render() would take. Throws Error where there is none of that name.
  const std::string& source(const ChatRequest& request) const { return choose(request).source; }

 private:
  struct Named {
    std::string source;
    std::shared_ptr<const text::JinjaTemplate> jinja;
  };
  ChatTemplate(std::string where, const std::map<std::string, std::string>& sources, std::map<std::string, std::string> tokens);
  const Named& choose(const ChatRequest& request) const;

  std::string where_;
  std::map<std::string, Named> templates_;             // by name; a single one is "default"
  std::map<std::string, std::string> special_tokens_;  // "bos_token" -> "<s>", ...: the templates' variables
};

}  // namespace lockstep
