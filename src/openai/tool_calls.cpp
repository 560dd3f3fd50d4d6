#include "openai/tool_calls.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "openai/request_json.h"

namespace lockstep {
namespace {

using Json = RequestJson;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kHermesBegin = "<tool_call>", kHermesEnd = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kMistralBegin = "[TOOL_CALLS]", kMistralId = "[CALL_ID]", kMistralArguments = "[ARGS]";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// The length of the longest end of `text` that begins `marker`.
size_t begun(std::string_view text, std::string_view marker) {
  for (size_t length = std::min(marker.size() - 1, text.size()); length > 0; --length) {
    if (text.ends_with(marker.substr(0, length))) return length;
  }
  return 0;
}

// False: it is no call.
bool read_call(const Json& value, std::vector<ToolCall>& calls) {
  if (!value.is_object()) return false;
  const auto name = value.find("name");
  if (name == value.end() || !name->is_string() || name->get_ref<const std::string&>().empty()) return false;
  auto arguments = value.find("arguments");
  if (arguments == value.end()) arguments = value.find("parameters");
  Json object = arguments == value.end() || arguments->is_null() ? Json::object() : *arguments;
  if (object.is_string()) object = parse_request_json(object.get<std::string>());
  if (!object.is_object()) return false;
  calls.push_back({name->get<std::string>(), object.dump()});
  return true;
}

// The end of the JSON object that `text` begins with; npos: it does not end.
size_t end_of_object(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// Runs `read`, which may throw for what is no JSON; empty: there is no call.
template <typename Read>
std::vector<ToolCall> calls_of(const Read& read) {
  std::vector<ToolCall> calls;
  try {
    if (!read(calls)) calls.clear();
  } catch (const Error&) {
    calls.clear();
  }
  return calls;
}

std::vector<ToolCall> read_object(std::string_view text) {
  return calls_of([&](std::vector<ToolCall>& calls) { return read_call(parse_request_json(text), calls); });
}

// Objects between semicolons or blanks.
std::vector<ToolCall> read_objects(std::string_view text) {
  return calls_of([&](std::vector<ToolCall>& calls) {
    for (text = trim(text); !text.empty(); text = trim(text)) {
      const size_t end = text.front() == '{' ? end_of_object(text) : std::string_view::npos;
      if (end == std::string_view::npos || !read_call(parse_request_json(text.substr(0, end)), calls)) return false;
      text = trim(text.substr(end));
      while (!text.empty() && (text.front() == ';' || text.front() == ',')) text.remove_prefix(1);
    }
    return true;
  });
}

// name[CALL_ID]id[ARGS]{...}, where all in brackets may be missing, between markers.
std::vector<ToolCall> read_named(std::string_view text) {
  return calls_of([&](std::vector<ToolCall>& calls) {
    for (text = trim(text); !text.empty(); text = trim(text)) {
      if (text.starts_with(kMistralBegin)) text.remove_prefix(kMistralBegin.size());
      const size_t open = text.find('{');
      if (open == std::string_view::npos) return false;
      std::string_view name = text.substr(0, open);
      name = name.substr(0, std::min(name.find(kMistralId), name.find(kMistralArguments)));
      const size_t end = end_of_object(text.substr(open));
      if (trim(name).empty() || end == std::string_view::npos) return false;
      const Json call = {{"name", trim(name)}, {"arguments", parse_request_json(text.substr(open, end))}};
      if (!read_call(call, calls)) return false;
      text = text.substr(open + end);
    }
    return true;
  });
}

std::vector<ToolCall> read_mistral(std::string_view text) {
  text = trim(text);
  if (!text.starts_with('[')) return read_named(text);
  return calls_of([&](std::vector<ToolCall>& calls) {
    const Json list = parse_request_json(text);
    return std::all_of(list.begin(), list.end(), [&](const Json& value) { return read_call(value, calls); });
  });
}

}  // namespace

ToolFormat find_tool_format(std::string_view chat_template) {
  const auto has = [&](std::string_view text) { return chat_template.find(text) != std::string_view::npos; };
  if (has(kMistralBegin)) return ToolFormat::kMistral;
  // Qwen 3 Coder's calls are XML within the same marks.
  if (has(kHermesBegin)) return has("<function=") ? ToolFormat::kNone : ToolFormat::kHermes;
  if (has("<|start_header_id|>") && has("\"parameters\": ")) return ToolFormat::kLlama3Json;
  return ToolFormat::kNone;
}

ToolCallParser ToolCallParser::forced(std::string tool) {
  ToolCallParser parser(ToolFormat::kNone);
  parser.is_forced_ = true;
  parser.forced_tool_ = std::move(tool);
  return parser;
}

// What was cut off by the end of the context or of max_tokens is handed out as it is: the client sees the finish_reason.
void ToolCallParser::push_forced() {
  std::vector<ToolCall> calls = forced_tool_.empty() ? read_mistral(held_) : std::vector<ToolCall>{};
  if (calls.empty()) calls.push_back({forced_tool_, std::string(trim(held_))});
  if (!trim(held_).empty()) add(std::move(calls));
  held_.clear();
}

std::string ToolCallParser::push(std::string_view text) {
  if (is_forced_) {
    held_ += text;
    return {};
  }
  if (format_ == ToolFormat::kNone) return std::string(text);
  held_ += text;
  switch (format_) {
    case ToolFormat::kHermes: return push_hermes(/*at_end=*/false);
    case ToolFormat::kLlama3Json: return push_llama3(/*at_end=*/false);
    default: return push_mistral(/*at_end=*/false);
  }
}

std::string ToolCallParser::finish() {
  if (is_forced_) {
    push_forced();
    return {};
  }
  switch (format_) {
    case ToolFormat::kNone: return {};
    case ToolFormat::kHermes: return push_hermes(/*at_end=*/true);
    case ToolFormat::kLlama3Json: return push_llama3(/*at_end=*/true);
    default: return push_mistral(/*at_end=*/true);
  }
}

std::vector<ToolCall> ToolCallParser::take_calls() { return std::exchange(calls_, {}); }

void ToolCallParser::add(std::vector<ToolCall> calls) {
  num_calls_ += calls.size();
  std::move(calls.begin(), calls.end(), std::back_inserter(calls_));
}

std::string ToolCallParser::before(std::string_view marker, bool at_end) {
  const size_t at = held_.find(marker);
  size_t end = at != std::string::npos ? at : held_.size();
  if (at == std::string::npos && !at_end) end -= begun(held_, marker);
  if (at != std::string::npos || !at_end) {
    const size_t last = std::string_view(held_).substr(0, end).find_last_not_of(kBlanks);
    const size_t kept = last == std::string::npos ? 0 : last + 1;
    std::string out = held_.substr(0, kept);
    held_.erase(0, at != std::string::npos ? at : kept);
    return out;
  }
  std::string rest = std::exchange(held_, {});
  return has_called() && trim(rest).empty() ? std::string() : rest;
}

std::string ToolCallParser::push_hermes(bool at_end) {
  std::string content;
  for (;;) {
    content += before(kHermesBegin, at_end);
    if (!held_.starts_with(kHermesBegin)) return content;
    const size_t end = held_.find(kHermesEnd);
    if (end == std::string::npos && !at_end) return content;
    const size_t inner = std::min(end, held_.size()) - kHermesBegin.size();
    std::vector<ToolCall> calls = read_object(std::string_view(held_).substr(kHermesBegin.size(), inner));
    const size_t length = end == std::string::npos ? held_.size() : end + kHermesEnd.size();
    if (calls.empty()) content += held_.substr(0, length);
    add(std::move(calls));
    held_.erase(0, length);
  }
}

std::string ToolCallParser::push_llama3(bool at_end) {
  if (is_plain_) return std::exchange(held_, {});
  std::string_view text = held_;
  const size_t first = text.find_first_not_of(kBlanks);
  text.remove_prefix(std::min(first, text.size()));
  if (text.starts_with(kPythonTag)) text = trim(text.substr(kPythonTag.size()));
  const bool may_call = text.empty() || text.front() == '{' || kPythonTag.starts_with(text);
  if (may_call && !at_end) return {};
  if (may_call) add(read_objects(text));
  if (has_called()) {
    held_.clear();
    return {};
  }
  is_plain_ = true;
  return std::exchange(held_, {});
}

std::string ToolCallParser::push_mistral(bool at_end) {
  std::string content = before(kMistralBegin, at_end);
  if (!held_.starts_with(kMistralBegin) || !at_end) return content;
  add(read_mistral(std::string_view(held_).substr(kMistralBegin.size())));
  if (!has_called()) content += held_;
  held_.clear();
  return content;
}

}  // namespace lockstep
