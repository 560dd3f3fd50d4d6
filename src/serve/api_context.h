// What the handlers of the API share.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "openai/request_encoder.h"
#include "serve/engine_loop.h"
#include "serve/metrics.h"

namespace lockstep {

struct ApiContext {
  const RequestEncoder& encoder;
  EngineLoop& loop;
  ServerMetrics& metrics;
  boost::asio::thread_pool& workers;  // parse, render and encode: long prompts must not hold up other connections
  std::string version;
  int64_t created = 0;  // seconds since 1970
  std::optional<Seconds> request_timeout;
  bool logs_requests = true;
  bool logs_prompts = false;
  std::string id_prefix;  // of this process
  std::atomic<uint64_t> next_id{0};

  std::string make_id(const char* kind) { return fmt::format("{}-{}{:08x}", kind, id_prefix, next_id++); }
};

}  // namespace lockstep
