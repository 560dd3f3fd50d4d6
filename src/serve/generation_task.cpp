#include "serve/generation_task.h"

#include <boost/asio/post.hpp>

#include "base/log.h"
#include "serve/api_error.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using Json = nlohmann::ordered_json;

constexpr size_t kMostLogged = 2000;  // bytes of a prompt

std::string to_text(const Json& json) { return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace); }

int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// As a JSON string, so that it stays on its line.
std::string for_log(const OpenAiRequest& request) {
  const std::string text = request.endpoint == Endpoint::kChatCompletions ? to_text(request.chat.messages) : [&] {
    Json prompts = Json::array();
    for (const PromptInput& prompt : request.prompts) std::visit([&](const auto& p) { prompts.push_back(p); }, prompt);
    return to_text(prompts);
  }();
  return text.size() > kMostLogged ? text.substr(0, kMostLogged) + "..." : text;
}

}  // namespace

GenerationTask::GenerationTask(ApiContext& context, std::shared_ptr<HttpExchange> exchange, Endpoint endpoint)
    : context_(context), exchange_(std::move(exchange)), endpoint_(endpoint), start_(Clock::now()) {
  const bool chat = endpoint == Endpoint::kChatCompletions;
  head_ = {context.make_id(chat ? "chatcmpl" : "cmpl"), seconds_since_1970(), context.encoder.model_name()};
}

void GenerationTask::start() {
  exchange_->on_gone([self = shared_from_this()] { self->client_left(); });
  asio::post(context_.workers, [self = shared_from_this()] {
    auto prepared = std::make_shared<Prepared>(self->prepare());
    asio::post(self->exchange_->executor(), [self, prepared] { self->submit(std::move(*prepared)); });
  });
}

GenerationTask::Prepared GenerationTask::prepare() const {
  Prepared out;
  try {
    out.request = parse_openai_request(parse_request_json(exchange_->request().body), endpoint_);
    out.prompts = context_.encoder.encode(out.request);
    out.ok = true;
  } catch (const UnknownModel& error) {
    out.refusal = error_response(404, error.what(), error.param());
  } catch (const RequestError& error) {
    out.refusal = error_response(400, error.what(), error.param());
  } catch (const std::exception& error) {
    spdlog::error("{}: a request failed: {}", head_.id, error.what());
    out.refusal = error_response(500, "internal error");
  }
  return out;
}

void GenerationTask::submit(Prepared prepared) {
  if (over_) return;
  if (!prepared.ok) return refuse(prepared.refusal);
  OpenAiRequest& request = prepared.request;
  if (context_.request_timeout) request.options.timeout = context_.request_timeout;
  const std::string& name = request.model;
  if (!name.empty()) head_.model = name;
  if (context_.logs_prompts) prompt_ = for_log(request);
  const SamplingParams sampling = request.sampling;
  const int64_t num_sequences = static_cast<int64_t>(prepared.prompts.size()) * sampling.n;
  if (num_sequences > context_.loop.max_sequences()) {
    return refuse(error_response(400, fmt::format("the request asks for {} continuations; allowed: at most {} at a time",
                                                  num_sequences, context_.loop.max_sequences())));
  }
  for (const auto& prompt : prepared.prompts) figures_.prompt_tokens += static_cast<int64_t>(prompt.size());
  figures_.n = num_sequences;
  figures_.max_tokens = sampling.max_tokens;
  last_tokens_.resize(static_cast<size_t>(num_sequences));
  const std::weak_ptr<GenerationTask> weak = weak_from_this();
  const auto wake = [weak, executor = exchange_->executor()] {
    asio::post(executor, [weak] {
      if (const auto self = weak.lock()) self->take();
    });
  };
  generation_ = std::make_shared<Generation>(prepared.prompts, sampling, request.options, wake);
  if (request.stream) {
    stream_.emplace(std::move(request), std::move(prepared.prompts), context_.encoder.tokenizer(), head_, /*tells_cached=*/true);
  } else {
    response_.emplace(std::move(request), std::move(prepared.prompts), context_.encoder.tokenizer());
  }
  if (!context_.loop.submit(generation_)) {
    return refuse(error_response(429, "too many requests wait already; try again later"));
  }
}

void GenerationTask::refuse(const HttpResponse& response) {
  over_ = true;
  exchange_->respond(response);
  context_.metrics.count_response(exchange_->request().path, response.status);
  log(response.status, "refused");
}

void GenerationTask::take() {
  if (over_) return;
  std::string error;
  const std::vector<Generation::Event> events = generation_->take(error);
  const auto now = Clock::now();
  std::vector<Json> parts;
  for (const auto& [prompt, output] : events) {
    const size_t per_prompt = static_cast<size_t>(stream_ ? stream_->request().sampling.n : response_->request().sampling.n);
    note(output, prompt * per_prompt + static_cast<size_t>(output.index), now);
    if (stream_) {
      stream_->add(prompt, output, parts);
    } else {
      response_->add(prompt, output);
    }
  }
  send_parts(parts);
  if (!error.empty()) {
    const int status = error.find("shutting down") != std::string::npos ? 503 : 400;
    if (!stream_begun_) return refuse(error_response(status, error));
    exchange_->write("data: " + error_body(status, error) + "\n\n");
    exchange_->end_stream();
    over_ = true;
    log(status, error);
  } else if (stream_ ? stream_->done() : response_->done()) {
    finish();
  }
}

void GenerationTask::note(const SequenceOutput& output, size_t choice, Clock::time_point now) {
  if (output.token >= 0) {
    ++figures_.output_tokens;
    if (!first_token_) first_token_ = now;
    if (last_tokens_[choice]) context_.metrics.observe_token_gap(seconds_between(*last_tokens_[choice], now));
    last_tokens_[choice] = now;
    last_token_ = now;
  }
  if (output.finish == FinishReason::kNone) return;
  const auto reason = finish_reason(output.finish).get<std::string>();
  context_.metrics.count_finished(reason);
  constexpr size_t kMostReasons = 100;
  if (reasons_.size() < kMostReasons) reasons_ += (reasons_.empty() ? "" : ",") + reason;
}

void GenerationTask::send_parts(const std::vector<Json>& parts) {
  if (parts.empty()) return;
  if (!std::exchange(stream_begun_, true)) exchange_->begin_stream("text/event-stream; charset=utf-8");
  std::string bytes;
  for (const Json& part : parts) bytes += "data: " + to_text(part) + "\n\n";
  exchange_->write(bytes);
}

void GenerationTask::finish() {
  over_ = true;
  if (stream_) {
    std::vector<Json> parts;
    stream_->finish(parts);
    send_parts(parts);
    exchange_->write("data: [DONE]\n\n");
    exchange_->end_stream();
  } else {
    HttpResponse answer;
    answer.body = to_text(response_->body(head_, /*tells_cached=*/true));
    exchange_->respond(std::move(answer));
  }
  figures_.seconds = seconds_between(start_, Clock::now());
  if (first_token_) {
    figures_.seconds_to_first_token = seconds_between(start_, *first_token_);
    figures_.decode_seconds = seconds_between(*first_token_, *last_token_);
  }
  context_.metrics.observe_request(figures_);
  context_.metrics.count_response(exchange_->request().path, 200);
  log(200, reasons_);
}

void GenerationTask::client_left() {
  if (std::exchange(over_, true)) return;
  if (generation_) context_.loop.cancel(generation_);
  context_.metrics.count_finished("abort");
  log(0, "the client left");
}

void GenerationTask::log(int status, const std::string& how) const {
  if (!context_.logs_requests) return;
  const int64_t cached = stream_ ? stream_->usage().cached_tokens : response_ ? response_->cached_tokens() : 0;
  const double first = first_token_ ? seconds_between(start_, *first_token_) : 0.0;
  spdlog::info("{} {} {} {}: {}; prompt {} (cached {}), output {}, first token {:.3f} s, {:.3f} s{}{}",
               exchange_->request().client, exchange_->request().path, head_.id, status == 0 ? "-" : std::to_string(status), how,
               figures_.prompt_tokens, cached, figures_.output_tokens, first, seconds_between(start_, Clock::now()),
               prompt_.empty() ? "" : "; ", prompt_);
}

}  // namespace lockstep
