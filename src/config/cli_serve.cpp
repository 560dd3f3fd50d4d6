// The flags of `lockstep serve`.
#include <fmt/format.h>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

constexpr double kMaxSeconds = 30 * 86400;

}  // namespace

void add_serve(CliFlags& flags, CommandLine& result) {
  ServeOptions& s = result.serve;
  const auto seconds = [&](const char* name, const char* help, double& target) {
    flags
        .value(name, "SECONDS", fmt::format("{} (default: {})", help, target),
               into_number(target, {.min = 0.1, .max = kMaxSeconds}))
        ->group("Limits");
  };
  add_model(flags, result);
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  flags.value("--host", "ADDRESS", fmt::format("Where to listen; 0.0.0.0 for all addresses of the host (default: {})", s.host),
              into_text(s.host, "an address or a host name"));
  flags.value("--port", "N", fmt::format("0: any that is free, which the log tells (default: {})", s.port),
              into_integer(s.port, 0, 65535));
  flags.value(
      "--api-key", "KEY",
      "Answer only those who send it, on every route but /health; may be repeated. LOCKSTEP_API_KEY does the same, and shows in "
      "no "
      "list of processes",
      [&s](const std::string& text) {
        check(!text.empty(), "'' is not allowed; allowed: text that is not empty");
        s.api_keys.push_back(text);
      },
      CliFlags::Times::kMany);
  flags.value("--ssl-certfile", "FILE", "Speak TLS, with this chain of certificates (PEM)", into_text(s.ssl_certfile, "a file"));
  flags.value("--ssl-keyfile", "FILE", "The key of the certificate (PEM)", into_text(s.ssl_keyfile, "a file"));
  flags.flag("--disable-log-requests", "Do not write a line for each request", s.disable_log_requests);
  flags.flag("--enable-log-prompts", "Write the prompt into that line, too", s.enable_log_prompts);
  add_api_flags(flags, s);
  flags
      .value("--max-queue", "N",
             fmt::format("Continuations that may wait beyond --max-num-seqs; then 429 (default: {})", s.max_queue),
             into_integer(s.max_queue, 0, kMaxInt32))
      ->group("Limits");
  flags
      .value("--max-connections", "N", fmt::format("Connections at a time; then 429 (default: {})", s.max_connections),
             into_integer(s.max_connections, 1, 1000000))
      ->group("Limits");
  flags
      .value("--max-body-mib", "N", fmt::format("Largest body of a request (default: {})", s.max_body_mib),
             into_integer(s.max_body_mib, 1, 4096))
      ->group("Limits");
  seconds("--read-timeout", "For a request to arrive, from its first byte to its last", s.read_timeout_s);
  seconds("--keep-alive-timeout", "For the next request on a connection", s.keep_alive_timeout_s);
  seconds("--send-timeout", "For a client to take what it is sent", s.send_timeout_s);
  flags
      .value("--request-timeout", "SECONDS", "End a request after so long, with finish_reason \"timeout\" (default: never)",
             into_number(s.request_timeout_s, {.min = 0, .max = kMaxSeconds}))
      ->group("Limits");
  flags
      .value("--drain-timeout", "SECONDS",
             fmt::format("After SIGTERM, finish what has begun for so long (default: {})", s.drain_timeout_s),
             into_number(s.drain_timeout_s, {.min = 0, .max = kMaxSeconds}))
      ->group("Limits");
  flags
      .value("--http-threads", "N",
             fmt::format("Threads for the network, and as many to encode prompts (default: {})", s.http_threads),
             into_integer(s.http_threads, 1, 256))
      ->group("Limits");
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models; also /tokenize, /detokenize, /health, /metrics, "
      "/version, and "
      "at /\n"
      "a page to chat. SIGTERM finishes what has begun, then exits with 0.\n"
      "Examples:\n"
      "  mpirun -np 2 lockstep serve --model DIR --port 8000\n"
      "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'");
}

}  // namespace lockstep
