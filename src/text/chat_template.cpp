#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "text/jinja.h"
#include "text/json_file.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace lockstep {

namespace {

// The template's text, from tokenizer_config.json.
std::string template_of(const nlohmann::json& config, const std::string& file) {
  const auto it = config.find("chat_template");
  check(it != config.end() && !it->is_null(),
        "{}: there is no chat_template, and no chat_template.jinja beside it; use a model that is "
        "made for chat, or give the prompt as plain text",
        file);
  if (it->is_string()) return it->get<std::string>();
  check(it->is_array(), "{}: chat_template is {}, expected a string or a list of named templates", file, it->type_name());
  std::string names;
  for (const auto& entry : *it) {
    const bool ok = entry.is_object() && entry.contains("name") && entry["name"].is_string() && entry.contains("template") &&
                    entry["template"].is_string();
    check(ok, "{}: an entry of chat_template is not an object with the strings name and template", file);
    if (entry["name"] == "default") return entry["template"].get<std::string>();
    names += " '" + entry["name"].get<std::string>() + "'";
  }
  fail("{}: chat_template has no entry named 'default', only:{}", file, names);
}

// We render what we have compared with transformers; a template is known by the marks that it writes.
void check_style(std::string_view source, const std::string& file) {
  for (const std::string_view mark : {"<|im_start|>", "<|start_header_id|>", "[INST]"}) {
    if (source.find(mark) != std::string_view::npos) return;
  }
  fail(
      "{}: this chat template is of none of the supported styles: ChatML (<|im_start|>), Llama 2 ([INST] with <<SYS>>), Llama 3 "
      "(<|start_header_id|>), Mistral ([INST]); general Jinja templates are not supported yet. Give the prompt as plain text, in "
      "the "
      "format that the model expects",
      file);
}

// bos_token, eos_token and the like: a string or an object with `content`. What is null stays undefined in the template.
std::map<std::string, std::string> special_tokens_of(const nlohmann::json& config) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : config.items()) {
    if (!key.ends_with("_token")) continue;
    if (value.is_string()) {
      out[key] = value.get<std::string>();
    } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
      out[key] = value["content"].get<std::string>();
    }
  }
  return out;
}

}  // namespace

ChatTemplate ChatTemplate::load(const std::filesystem::path& directory) {
  const auto config_file = directory / "tokenizer_config.json";
  const auto jinja_file = directory / "chat_template.jinja";
  const bool has_jinja_file = is_listed(jinja_file);
  nlohmann::json config = nlohmann::json::object();
  if (!has_jinja_file || is_listed(config_file)) {
    config = text::read_json_file(config_file, "a chat template is read from it, or from chat_template.jinja beside it");
    check(config.is_object(), "{}: is {}, expected an object", config_file.string(), config.type_name());
  }
  // Where both are, transformers takes the file of its own.
  const std::string where = (has_jinja_file ? jinja_file : config_file).string();
  const std::string source = has_jinja_file ? text::read_file(jinja_file, "") : template_of(config, where);
  check(text::is_valid_utf8(source), "{}: the chat template is not valid UTF-8", where);
  check_style(source, where);
  return {std::make_shared<const text::JinjaTemplate>(source, where), special_tokens_of(config)};
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages) const {
  text::JinjaValue variables = {
      {"messages", text::JinjaValue::array()}, {"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", true}};
  for (const ChatMessage& m : messages) {
    variables["messages"].push_back({{"role", m.role}, {"content", text::repair_utf8(m.content)}});
  }
  for (const auto& [name, token] : special_tokens_) variables[name] = token;
  return jinja_->render(variables);
}

}  // namespace lockstep
