#include "app/batch_job.h"

#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/trace.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kOrderedAhead = 4096;  // lines that may be ahead of the first unfinished one
constexpr std::chrono::seconds kReportInterval{1};

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

BatchJob::BatchJob(Engine& engine, const RequestEncoder& encoder, BatchReader& reader, BatchOutput& output,
                   const BatchOptions& options, int64_t num_requests, int32_t max_num_seqs)
    : engine_(engine),
      encoder_(encoder),
      reader_(reader),
      output_(output),
      options_(options),
      num_requests_(num_requests),
      max_waiting_(max_num_seqs),
      bar_("batch", true),
      num_done_(output.num_done()),
      num_failed_(output.num_failed()),
      start_(Clock::now()),
      last_report_(start_) {}

bool BatchJob::run(const StopSignal& stop) {
  report("running", /*always=*/true);
  while (!stop.requested()) {
    feed();
    if (!engine_.has_work()) {
      if (reader_.at_end()) break;
      continue;
    }
    for (const SequenceOutput& output : engine_.step()) take(output);
    report("running", /*always=*/false);
  }
  if (stop.requested()) drain(stop);
  check(num_done_ == num_requests_ || stop.requested(), "{} of {} requests are answered, though all have been read", num_done_,
        num_requests_);
  output_.sync();
  report(num_done_ == num_requests_ ? "finished" : "stopped", /*always=*/true);
  return num_done_ == num_requests_;
}

// Enough waits to fill a step, and no more, so that memory does not depend on the length of the input.
void BatchJob::feed() {
  const TraceSpan span("feed");
  while (engine_.stats().num_waiting < max_waiting_) {
    if (options_.ordered && next_place_ - next_written_ >= kOrderedAhead) return;
    std::optional<BatchItem> item = reader_.next(/*wait=*/!engine_.has_work());
    if (!item) return;
    start(std::move(*item));
  }
}

void BatchJob::start(BatchItem item) {
  const int64_t place = next_place_++;
  if (!item.error.empty()) return refuse(item.line, place, item.custom_id, item.error_code, item.error);
  Line line{item.line, place, item.custom_id, nullptr, {}};
  try {
    for (const std::vector<int32_t>& prompt : item.prompts) {
      line.requests.push_back(engine_.add(prompt, item.request.sampling, item.request.options));
    }
  } catch (const Error& error) {
    for (const int64_t request : line.requests) engine_.cancel(request);
    return refuse(item.line, place, item.custom_id, "invalid_request", fmt::format("line {}: {}", item.line, error.what()));
  }
  for (size_t prompt = 0; prompt < line.requests.size(); ++prompt) parts_[line.requests[prompt]] = {place, prompt};
  line.response = std::make_unique<OpenAiResponse>(std::move(item.request), std::move(item.prompts), encoder_.tokenizer());
  lines_.emplace(place, std::move(line));
}

void BatchJob::take(const SequenceOutput& output) {
  const Part part = parts_.at(output.id);
  const auto at = lines_.find(part.place);
  OpenAiResponse& response = *at->second.response;
  response.add(part.prompt, output);
  output_tokens_ += output.token >= 0 ? 1 : 0;
  if (!response.done()) return;
  const Line line = std::move(at->second);
  lines_.erase(at);
  for (const int64_t request : line.requests) parts_.erase(request);
  finish(line);
}

void BatchJob::finish(const Line& line) {
  const bool chat = line.response->request().endpoint == Endpoint::kChatCompletions;
  const std::string id = batch_answer_id(line.number);
  prompt_tokens_ += line.response->prompt_tokens();
  const Json body = line.response->body({(chat ? "chatcmpl-" : "cmpl-") + id, seconds_since_1970(), encoder_.model_name()},
                                        /*tells_cached=*/false);
  put(line.place, to_line({{"id", id},
                           {"custom_id", line.custom_id},
                           {"response", {{"status_code", 200}, {"request_id", id}, {"body", body}}},
                           {"error", nullptr}}));
}

void BatchJob::refuse(int64_t number, int64_t place, const std::string& custom_id, const std::string& code,
                      const std::string& message) {
  ++num_failed_;
  put(place, to_line({{"id", batch_answer_id(number)},
                      {"custom_id", custom_id},
                      {"response", nullptr},
                      {"error", {{"code", code}, {"message", message}}}}));
}

void BatchJob::put(int64_t place, std::string text) {
  ++num_done_;
  ++num_answered_;
  if (!options_.ordered) return output_.write(text);
  held_.emplace(place, std::move(text));
  for (auto first = held_.begin(); first != held_.end() && first->first == next_written_; first = held_.erase(first)) {
    output_.write(first->second);
    ++next_written_;
  }
}

// What has not begun, or all of it, is left for the next run.
void BatchJob::give_up(bool begun_too) {
  for (auto at = lines_.begin(); at != lines_.end();) {
    const Line& line = at->second;
    if (!begun_too && line.response->has_output()) {
      ++at;
      continue;
    }
    for (const int64_t request : line.requests) {
      engine_.cancel(request);
      parts_.erase(request);
    }
    at = lines_.erase(at);
  }
}

void BatchJob::drain(const StopSignal& stop) {
  const bool at_once = stop.number() == SIGINT;
  const double patience_s = at_once ? 0.0 : options_.drain_timeout_s;
  spdlog::warn("signal {}: {}", stop.number(),
               at_once ? "ends now" : fmt::format("what has begun is finished, for at most {} s", patience_s));
  give_up(/*begun_too=*/at_once);
  const auto deadline = Clock::now() + std::chrono::duration<double>(patience_s);
  while (engine_.has_work() && Clock::now() < deadline) {
    for (const SequenceOutput& output : engine_.step()) take(output);
    report("draining", /*always=*/false);
  }
  give_up(/*begun_too=*/true);
  // Answers that wait for earlier ones are not written: they are computed again.
  num_done_ -= static_cast<int64_t>(held_.size());
  held_.clear();
}

std::string BatchJob::summary() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  return fmt::format(
      "{} of {} requests answered, {} of them with an error; this run: {} answers, {} prompt and {} output tokens in {:.2f} s, "
      "{:.1f} output tokens/s",
      num_done_, num_requests_, num_failed_, num_answered_, prompt_tokens_, output_tokens_, seconds,
      static_cast<double>(output_tokens_) / std::max(seconds, 1e-9));
}

void BatchJob::report(const char* state, bool always) {
  const auto now = Clock::now();
  if (!always && now - last_report_ < kReportInterval) return;
  last_report_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(output_tokens_) / std::max(seconds, 1e-9);
  const int64_t left = num_requests_ - num_done_;
  const double seconds_left = num_answered_ > 0 ? seconds / static_cast<double>(num_answered_) * static_cast<double>(left) : 0.0;
  bar_.update(num_done_, num_requests_,
              fmt::format("{}/{}, {:.0f} tokens/s, {:.0f} s left", num_done_, num_requests_, rate, seconds_left));
  if (options_.status_file.empty()) return;
  const EngineStats stats = engine_.stats();
  char host[256] = {};
  ::gethostname(host, sizeof(host) - 1);
  const Json status = {{"state", state},
                       {"requests", num_requests_},
                       {"done", num_done_},
                       {"failed", num_failed_},
                       {"running", stats.num_running},
                       {"waiting", stats.num_waiting},
                       {"prompt_tokens", stats.prompt_tokens},
                       {"output_tokens", output_tokens_},
                       {"output_tokens_per_second", rate},
                       {"seconds", seconds},
                       {"seconds_left", num_answered_ > 0 || left == 0 ? Json(seconds_left) : Json()},
                       {"kv_blocks", stats.num_blocks},
                       {"kv_blocks_used", stats.num_blocks_used},
                       {"preemptions", stats.num_preemptions},
                       {"prefix_queries", stats.prefix_queries},
                       {"prefix_hits", stats.prefix_hits},
                       {"host", host},
                       {"pid", ::getpid()},
                       {"updated", seconds_since_1970()}};
  replace_file(options_.status_file, status.dump(2) + "\n", /*sync=*/false);
}

}  // namespace lockstep
