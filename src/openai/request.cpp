#include "openai/request.h"

#include <charconv>
#include <limits>

#include "openai/chat_fields.h"
#include "openai/json_fields.h"
#include "openai/output_form.h"
#include "openai/tool_choice.h"

namespace lockstep {
namespace {

using Json = RequestJson;

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int32_t kMaxChoices = 128;
constexpr size_t kMaxPrompts = 2048;
constexpr size_t kMaxStops = 64;
constexpr int32_t kMaxLogprobs = 20;              // what the sampling kernels report at most (kMaxTopLogprobs in kernels/ops.h)
constexpr int32_t kDefaultCompletionTokens = 16;  // OpenAI's

bool is_token_id(const Json& value) {
  return value.is_number_integer() && value >= 0 && value <= std::numeric_limits<int32_t>::max();
}

}  // namespace

std::vector<int32_t> read_token_ids(const std::string& key, const Json& list) {
  if (!list.is_array() || list.empty()) JsonFields::refuse(key, list, "a list of token ids, not empty");
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!is_token_id(id)) JsonFields::refuse(key, id, "token ids, which are integers from 0 on");
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

namespace {

// Text, token ids, or a list of either.
std::vector<PromptInput> read_prompts(const Json& value) {
  const std::string key = "prompt";
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array() || value.empty()) JsonFields::refuse(key, value, "text, token ids, or a list of either, not empty");
  if (is_token_id(value.front())) return {read_token_ids(key, value)};
  if (value.size() > kMaxPrompts) {
    throw RequestError(key,
                       fmt::format("'prompt' lists {} prompts; allowed: at most {} in a request", value.size(), kMaxPrompts));
  }
  std::vector<PromptInput> prompts;
  for (const Json& prompt : value) {
    if (prompt.is_string()) {
      prompts.emplace_back(prompt.get<std::string>());
    } else {
      prompts.emplace_back(read_token_ids(key, prompt));
    }
  }
  return prompts;
}

void read_stops(JsonFields& fields, SamplingParams& s) {
  if (const Json* stop = fields.find("stop")) {
    const Json list = stop->is_array() ? *stop : Json::array({*stop});
    if (list.size() > kMaxStops) JsonFields::refuse("stop", *stop, fmt::format("at most {} texts", kMaxStops));
    for (const Json& text : list) {
      if (!text.is_string() || text.get_ref<const std::string&>().empty()) JsonFields::refuse("stop", *stop, "texts, not empty");
      s.stop.push_back(text.get<std::string>());
    }
  }
  if (const Json* ids = fields.find("stop_token_ids")) {
    if (!ids->is_array() || !ids->empty()) s.stop_token_ids = read_token_ids("stop_token_ids", *ids);
  }
}

void read_bias(JsonFields& fields, SamplingParams& s) {
  const Json* bias = fields.find("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) JsonFields::refuse("logit_bias", *bias, "an object of token ids and numbers");
  for (const auto& [key, value] : bias->items()) {
    int32_t token = -1;
    const auto end = key.data() + key.size();
    const bool is_id = std::from_chars(key.data(), end, token).ptr == end && token >= 0;
    const bool in_range = value.is_number() && value.get<double>() >= -100.0 && value.get<double>() <= 100.0;
    if (!is_id || !in_range)
      JsonFields::refuse("logit_bias", Json::object({{key, value}}), "token ids, each with a number from -100 to 100");
    s.logit_bias.emplace_back(token, value.get<float>());
  }
}

void read_logprobs(JsonFields& fields, OpenAiRequest& request) {
  SamplingParams& s = request.sampling;
  if (request.endpoint == Endpoint::kCompletions) {
    fields.integer("logprobs", s.logprobs, 0, kMaxLogprobs);
  } else {
    bool wanted = false;
    fields.boolean("logprobs", wanted);
    int32_t top = 0;
    fields.integer("top_logprobs", top, 0, kMaxLogprobs);
    if (top > 0 && !wanted) throw RequestError("top_logprobs", "'top_logprobs' is given, but 'logprobs' is not true");
    if (wanted) s.logprobs = top;
  }
  fields.integer("prompt_logprobs", s.prompt_logprobs, 0, kMaxLogprobs);
  // What echo reports of the prompt is what is reported of the completion.
  if (request.echo && s.logprobs >= 0) s.prompt_logprobs = std::max(s.prompt_logprobs, s.logprobs);
}

void read_sampling(JsonFields& fields, OpenAiRequest& request) {
  SamplingParams& s = request.sampling;
  s.temperature = 1.0f;  // OpenAI's default
  fields.integer("n", s.n, 1, kMaxChoices);
  int32_t best_of = s.n;
  fields.integer("best_of", best_of, 1, kMaxChoices);
  if (best_of != s.n) throw RequestError("best_of", fmt::format("'best_of' is {} and 'n' {}; allowed: the same", best_of, s.n));
  s.max_tokens = request.endpoint == Endpoint::kCompletions ? kDefaultCompletionTokens : static_cast<int32_t>(kMaxInt);
  request.limits_tokens =
      request.endpoint == Endpoint::kCompletions || fields.has("max_tokens") || fields.has("max_completion_tokens");
  fields.integer("max_tokens", s.max_tokens, request.echo ? 0 : 1, kMaxInt);
  fields.integer("max_completion_tokens", s.max_tokens, 1, kMaxInt);
  request.no_completion = s.max_tokens == 0;
  s.max_tokens = std::max(s.max_tokens, 1);
  fields.integer("min_tokens", s.min_tokens, 0, kMaxInt);
  if (s.min_tokens > s.max_tokens) {
    throw RequestError("min_tokens",
                       fmt::format("'min_tokens' is {}; allowed: at most 'max_tokens', {}", s.min_tokens, s.max_tokens));
  }
  fields.number("temperature", s.temperature, 0, 100);
  fields.number("top_p", s.top_p, 0, 1, /*open_min=*/true);
  fields.integer("top_k", s.top_k, -1, kMaxInt);
  s.top_k = std::max(s.top_k, 0);
  fields.number("min_p", s.min_p, 0, 1);
  fields.number("presence_penalty", s.presence_penalty, -2, 2);
  fields.number("frequency_penalty", s.frequency_penalty, -2, 2);
  fields.number("repetition_penalty", s.repetition_penalty, 0, 100, /*open_min=*/true);
  fields.boolean("ignore_eos", s.ignore_eos);
  fields.boolean("skip_special_tokens", s.skip_special_tokens);
  if (fields.has("seed")) {
    int64_t seed = 0;
    fields.integer("seed", seed, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
    s.seed = static_cast<uint64_t>(seed);
  }
  read_stops(fields, s);
  read_bias(fields, s);
  read_logprobs(fields, request);
  s.grammar = read_output_form(fields);
}

// What is part of the API but not of this program: nothing is wrong as long as it is not asked for.
void refuse_unsupported(JsonFields& fields) {
  for (const char* key : {"functions", "function_call"}) {
    if (fields.has(key)) throw RequestError(key, fmt::format("'{}' is given; use 'tools' and 'tool_choice'", key));
  }
  bool beam_search = false;
  fields.boolean("use_beam_search", beam_search);
  if (beam_search) throw RequestError("use_beam_search", "'use_beam_search' is true; there is no beam search");
  if (const Json* modalities = fields.find("modalities"); modalities != nullptr && *modalities != Json::array({"text"})) {
    JsonFields::refuse("modalities", *modalities, "[\"text\"]");
  }
  if (const Json* suffix = fields.find("suffix"); suffix != nullptr && *suffix != "") {
    throw RequestError("suffix", "'suffix' is given; text cannot be inserted before it");
  }
}

// tool_choice leaves nothing but calls.
void force_call(OpenAiRequest& request) {
  if (request.sampling.grammar.kind != GrammarKind::kNone) {
    throw RequestError("tool_choice",
                       "'tool_choice' asks for a call, and another form is asked of the output, too; allowed: one of them");
  }
  request.sampling.grammar = tool_call_form(request.chat.tools, request.forced_tool);
}

}  // namespace

std::optional<Endpoint> find_endpoint(std::string_view url) {
  if (url == "/v1/completions") return Endpoint::kCompletions;
  if (url == "/v1/chat/completions") return Endpoint::kChatCompletions;
  return std::nullopt;
}

OpenAiRequest parse_openai_request(const Json& body, Endpoint endpoint) {
  JsonFields fields(body);
  OpenAiRequest request;
  request.endpoint = endpoint;
  fields.text("model", request.model);
  if (endpoint == Endpoint::kCompletions) {
    const Json* prompt = fields.find("prompt");
    if (prompt == nullptr) throw RequestError("prompt", "'prompt' is missing; expected text, token ids, or a list of either");
    request.prompts = read_prompts(*prompt);
    fields.boolean("echo", request.echo);
  } else {
    request.add_special_tokens = false;  // the template spells them out
    read_chat(fields, request);
    if (const Json* effort = fields.find("reasoning_effort")) request.chat.template_kwargs["reasoning_effort"] = *effort;
  }
  fields.boolean("add_special_tokens", request.add_special_tokens);
  fields.boolean("return_token_ids", request.return_token_ids);
  fields.boolean("stream", request.stream);
  if (const Json* options = fields.find("stream_options")) {
    bool ignored = false;
    JsonFields stream_options(*options);
    stream_options.boolean("include_usage", request.include_usage);
    stream_options.boolean("continuous_usage_stats", request.continuous_usage);
    stream_options.boolean("include_obfuscation", ignored);
    stream_options.finish();
    if (!request.stream) throw RequestError("stream_options", "'stream_options' is given, but 'stream' is not true");
  }
  read_sampling(fields, request);
  if (request.forces_call) force_call(request);
  int32_t urgency = 0;
  fields.integer("priority", urgency, -kMaxInt, kMaxInt);
  request.options.priority = -urgency;  // in vLLM's API, the lowest goes first
  fields.text("cache_salt", request.options.cache_salt);
  refuse_unsupported(fields);
  fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"});
  fields.finish();
  return request;
}

}  // namespace lockstep
