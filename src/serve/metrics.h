// ServerMetrics: what /metrics tells, in Prometheus' format. Names are vLLM's where the meaning is the same.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "engine/request.h"

namespace lockstep {

// Of a request that has ended.
struct RequestFigures {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t n = 1;
  int64_t max_tokens = 0;
  double seconds_to_first_token = -1.0;  // -1: there was none
  double seconds = 0.0;                  // in all
  double decode_seconds = 0.0;           // from the first token to the last
};

// Safe to call from several threads.
class ServerMetrics {
 public:
  explicit ServerMetrics(const std::string& model_name);
  ~ServerMetrics();

  void take_engine(const EngineStats& stats);  // from one thread
  void count_response(const std::string& route, int status);
  void observe_token_gap(double seconds);
  // reason: as `finish_reason` has it, or "abort" where the client left.
  void count_finished(const std::string& reason);
  void observe_request(const RequestFigures& figures);
  void set_connections(int64_t count);
  std::string text();

 private:
  struct Series;

  std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<Series> series_;
};

}  // namespace lockstep
