#include "text/chat_template.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "text/jinja/characters.h"
#include "text/jinja/jinja.h"
#include "text/json_file.h"
#include "text/utf8.h"

namespace lockstep {

namespace {

using Json = ChatRequest::Json;
using Sources = std::map<std::string, std::string>;  // name -> text of a template

constexpr const char* kDefault = "default";

// Of tokenizer_config.json.
Sources sources_of(const nlohmann::json& config, const std::string& file) {
  const auto it = config.find("chat_template");
  check(it != config.end() && !it->is_null(),
        "{}: there is no chat_template, and no chat_template.jinja beside it; use a model that is made for chat, or give the "
        "prompt as "
        "plain text",
        file);
  if (it->is_string()) return {{kDefault, it->get<std::string>()}};
  check(it->is_array(), "{}: chat_template is {}, expected a string or a list of named templates", file, it->type_name());
  Sources out;
  for (const auto& entry : *it) {
    const bool ok = entry.is_object() && entry.contains("name") && entry["name"].is_string() && entry.contains("template") &&
                    entry["template"].is_string();
    check(ok, "{}: an entry of chat_template is not an object with the strings name and template", file);
    out[entry["name"].get<std::string>()] = entry["template"].get<std::string>();
  }
  check(!out.empty(), "{}: chat_template is an empty list", file);
  return out;
}

// Of chat_template.jinja and additional_chat_templates/NAME.jinja.
Sources sources_of(const std::filesystem::path& directory) {
  Sources out;
  if (const auto file = directory / "chat_template.jinja"; is_listed(file)) out[kDefault] = text::read_file(file, "");
  const auto more = directory / "additional_chat_templates";
  if (!leads_to_directory(more)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(more)) {
    if (entry.path().extension() == ".jinja") out[entry.path().stem().string()] = text::read_file(entry.path(), "");
  }
  return out;
}

void add_token(const std::string& name, const nlohmann::json& value, std::map<std::string, std::string>& out) {
  if (value.is_string()) {
    out[name] = value.get<std::string>();
  } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    out[name] = value["content"].get<std::string>();
  }
}

// bos_token, eos_token and the like: a string or an object with `content`. What is null stays undefined in the template.
std::map<std::string, std::string> special_tokens_of(const nlohmann::json& config, const std::filesystem::path& directory) {
  std::map<std::string, std::string> out;
  const auto add_all = [&](const nlohmann::json& from) {
    for (const auto& [key, value] : from.items()) {
      if (key.ends_with("_token")) add_token(key, value, out);
    }
    if (const auto it = from.find("extra_special_tokens"); it != from.end() && it->is_object()) {
      for (const auto& [key, value] : it->items()) add_token(key, value, out);
    }
  };
  add_all(config);
  const auto map_file = directory / "special_tokens_map.json";
  if (!config.contains("added_tokens_decoder") && is_listed(map_file)) {  // of older models; transformers looks into it then, too
    const nlohmann::json map = text::read_json_file(map_file, "");
    check(map.is_object(), "{}: is {}, expected an object", map_file.string(), map.type_name());
    add_all(map);
  }
  return out;
}

nlohmann::json read_config(const std::filesystem::path& directory) {
  const auto file = directory / "tokenizer_config.json";
  nlohmann::json config = text::read_json_file(file, "a chat template is read from it, or from chat_template.jinja beside it");
  check(config.is_object(), "{}: is {}, expected an object", file.string(), config.type_name());
  return config;
}

void check_objects(const Json& list, const char* name, const std::string& where) {
  check(list.is_array(), "{}: '{}' is {}, expected a list of objects", where, name, list.type_name());
  for (const Json& item : list) {
    check(item.is_object(), "{}: '{}' holds {}, expected objects", where, name, item.type_name());
  }
}

// transformers' way: marks the end of the text, and cuts the prompt at the mark.
constexpr std::string_view kMark = "CONTINUE_FINAL_MESSAGE_TAG ";

// Marks the text to go on with; returns it without the mark.
std::string mark_final_text(Json& messages, const std::string& key, const std::string& where) {
  Json& message = messages.back();
  const auto it = message.find(key);
  check(it != message.end() && !it->is_null(), "{}: the final message is to be continued, but has no '{}'", where, key);
  if (it->is_array()) {
    for (auto part = it->rbegin(); part != it->rend(); ++part) {
      if (!part->is_object() || !part->contains("text") || !(*part)["text"].is_string()) continue;
      const std::string text = (*part)["text"].get<std::string>();
      (*part)["text"] = text + std::string(kMark);
      return text;
    }
    fail("{}: the final message is to be continued, but no part of its '{}' has a text", where, key);
  }
  check(it->is_string(), "{}: the final message is to be continued, but its '{}' is {}, not a text", where, key, it->type_name());
  const std::string text = it->get<std::string>();
  *it = text + std::string(kMark);
  return text;
}

std::string cut_at_mark(std::string prompt, const std::string& text, const std::string& where) {
  const auto strip = [](std::string_view s, bool left) { return text::jinja::strip_space(s, left, true); };
  const std::string_view mark = kMark.substr(0, kMark.size() - 1);
  const size_t at = prompt.rfind(mark);
  check(at != std::string::npos && prompt.find(strip(text, true)) != std::string::npos,
        "{}: the final message is to be continued, but the template does not write all of it; use a template that does, or let "
        "the model "
        "begin a message of its own",
        where);
  const bool keeps_space = std::string_view(prompt).substr(at).starts_with(kMark);
  prompt.resize(at);
  if (!keeps_space) prompt.resize(strip(prompt, false).size());  // the template trimmed the text
  return prompt;
}

}  // namespace

ChatRequest plain_chat(const std::vector<ChatMessage>& messages) {
  ChatRequest request;
  for (const ChatMessage& m : messages) {
    request.messages.push_back({{"role", text::repair_utf8(m.role)}, {"content", text::repair_utf8(m.content)}});
  }
  return request;
}

ChatTemplate::ChatTemplate(std::string where, const Sources& sources, std::map<std::string, std::string> tokens)
    : where_(std::move(where)), special_tokens_(std::move(tokens)) {
  for (const auto& [name, source] : sources) {
    check(text::is_valid_utf8(source), "{}: the chat template '{}' is not valid UTF-8", where_, name);
    const std::string place = sources.size() == 1 ? where_ : where_ + ": '" + name + "'";
    templates_[name] = {source, std::make_shared<const text::JinjaTemplate>(source, place)};
  }
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& directory) {
  Sources sources = sources_of(directory);
  const bool has_files = !sources.empty();
  const auto config_file = directory / "tokenizer_config.json";
  nlohmann::json config = nlohmann::json::object();
  if (!has_files || is_listed(config_file)) config = read_config(directory);
  // Where both are, transformers takes the files of their own.
  std::string where = config_file.string();
  if (has_files) {
    where = (directory / (sources.contains(kDefault) ? "chat_template.jinja" : "additional_chat_templates")).string();
  } else {
    sources = sources_of(config, where);
  }
  return {where, sources, special_tokens_of(config, directory)};
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& directory, const std::filesystem::path& template_file) {
  const bool has_config = is_listed(directory / "tokenizer_config.json");
  const nlohmann::json config = has_config ? read_config(directory) : nlohmann::json::object();
  const Sources sources = {{kDefault, text::read_file(template_file, "give the path of a Jinja template")}};
  return {template_file.string(), sources, special_tokens_of(config, directory)};
}

const ChatTemplate::Named& ChatTemplate::choose(const ChatRequest& request) const {
  std::string name = request.template_name;
  if (name.empty()) name = !request.tools.is_null() && templates_.contains("tool_use") ? "tool_use" : kDefault;
  const auto it = templates_.find(name);
  if (it != templates_.end()) return it->second;
  std::string names;
  for (const auto& [other, ignored] : templates_) names += " '" + other + "'";
  fail("{}: there is no chat template named '{}', only:{}; choose one of them", where_, name, names);
}

std::string ChatTemplate::render(const ChatRequest& request) const {
  const Named& chosen = choose(request);
  check_objects(request.messages, "messages", where_);
  check(!request.messages.empty(), "{}: a chat needs at least one message", where_);
  if (!request.tools.is_null()) check_objects(request.tools, "tools", where_);
  if (!request.documents.is_null()) check_objects(request.documents, "documents", where_);
  check(request.template_kwargs.is_object(), "{}: the template's variables are {}, expected an object", where_,
        request.template_kwargs.type_name());
  text::JinjaValue variables = {{"messages", request.messages},
                                {"tools", request.tools},
                                {"documents", request.documents},
                                {"add_generation_prompt", request.add_generation_prompt}};
  for (const auto& [name, token] : special_tokens_) variables[name] = token;
  for (const auto& [name, value] : request.template_kwargs.items()) {
    const bool is_free = name != "messages" && name != "tools" && name != "documents" && name != "add_generation_prompt";
    check(is_free, "{}: '{}' among the template's variables; it has a place of its own in the request", where_, name);
    variables[name] = value;
  }
  const std::string& key = request.continue_final_message;
  if (key.empty()) return chosen.jinja->render(variables);
  check(!request.add_generation_prompt, "{}: the final message is to be continued, which cannot be while a new one is begun, too",
        where_);
  check(chosen.source.find(key) != std::string::npos,
        "{}: the final message is to be continued, but the template does not speak of '{}'", where_, key);
  const std::string text = mark_final_text(variables["messages"], key, where_);
  return cut_at_mark(chosen.jinja->render(variables), text, where_);
}

}  // namespace lockstep
