// GenerationTask: one request for a completion, from its body to the end of its answer.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "openai/response.h"
#include "openai/stream.h"
#include "serve/api_context.h"
#include "serve/http.h"

namespace lockstep {

class GenerationTask : public std::enable_shared_from_this<GenerationTask> {
 public:
  GenerationTask(ApiContext& context, std::shared_ptr<HttpExchange> exchange, Endpoint endpoint);
  // Answers through the exchange, now and later; all but parsing happens on its executor.
  void start();

 private:
  using Clock = std::chrono::steady_clock;
  struct Prepared {
    OpenAiRequest request;
    std::vector<std::vector<int32_t>> prompts;
    HttpResponse refusal;  // of a request that is wrong
    bool ok = false;
  };
  Prepared prepare() const;
  void submit(Prepared prepared);
  void refuse(const HttpResponse& response);
  void take();
  void note(const SequenceOutput& output, size_t choice, Clock::time_point now);
  void send_parts(const std::vector<nlohmann::ordered_json>& parts);
  void finish();
  void client_left();
  void log(int status, const std::string& how) const;

  ApiContext& context_;
  std::shared_ptr<HttpExchange> exchange_;
  Endpoint endpoint_;
  ResponseHead head_;
  Clock::time_point start_;
  bool over_ = false;  // answered, or nobody waits for the answer
  std::shared_ptr<Generation> generation_;
  std::optional<OpenAiResponse> response_;  // one of these
  std::optional<OpenAiStream> stream_;
  bool stream_begun_ = false;
  std::vector<std::optional<Clock::time_point>> last_tokens_;  // by choice
  std::optional<Clock::time_point> first_token_, last_token_;
  RequestFigures figures_;
  std::string reasons_;  // how the choices ended, for the log
  std::string prompt_;   // for the log, if wanted
};

}  // namespace lockstep
