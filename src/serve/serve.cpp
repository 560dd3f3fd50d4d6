#include "serve/serve.h"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <random>

#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/stop_signal.h"
#include "engine/bring_up.h"
#include "engine/engine.h"
#include "engine/load_tokenizer.h"
#include "serve/api.h"
#include "serve/http_server.h"

namespace lockstep {
namespace {

HttpServerOptions server_options(const ServeOptions& options) {
  HttpServerOptions out;
  out.host = options.host;
  out.port = static_cast<uint16_t>(options.port);
  out.num_threads = options.http_threads;
  out.max_connections = options.max_connections;
  out.certificate = options.ssl_certfile;
  out.key = options.ssl_keyfile;
  out.limits.max_body_bytes = static_cast<size_t>(options.max_body_mib) << 20;
  out.limits.read_timeout = HttpSeconds(options.read_timeout_s);
  out.limits.idle_timeout = HttpSeconds(options.keep_alive_timeout_s);
  out.limits.send_timeout = HttpSeconds(options.send_timeout_s);
  return out;
}

std::vector<std::string> api_keys(const ServeOptions& options) {
  std::vector<std::string> keys = options.api_keys;
  if (const auto key = Env::read().api_key; key && !key->empty()) keys.push_back(*key);
  return keys;
}

std::string random_letters() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

void run_root(const World& world, ModelRunner& runner, const EngineOptions& engine_options, const ServeOptions& options,
              const Tokenizer* tokenizer, HttpServer& server, const StopSignal& stop, const std::string& version) {
  Engine engine(world, runner, engine_options, tokenizer);
  auto encoding = request_encoder_options(options, engine_options, runner.config(), runner.limits().max_model_len);
  encoding.grammars = engine.grammars();
  const RequestEncoder encoder(runner.config(), tokenizer, std::move(encoding));
  ServerMetrics metrics(encoder.model_name());
  boost::asio::thread_pool workers(static_cast<size_t>(options.http_threads));
  // One post a step, not one a request: that thread wakes the others.
  const auto wake_all = [&server](std::vector<std::shared_ptr<Generation>> generations) {
    boost::asio::post(server.io(), [all = std::move(generations)] {
      for (const auto& generation : all) generation->wake();
    });
  };
  const auto on_step = [&](const EngineStats& stats) {
    metrics.take_engine(stats);
    metrics.set_connections(server.num_connections());
  };
  EngineLoop loop(engine, runner.limits().max_num_seqs + options.max_queue, {on_step, wake_all});
  ApiContext context{encoder, loop, metrics, workers, version};
  context.created = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (options.request_timeout_s > 0) context.request_timeout = Seconds(options.request_timeout_s);
  context.logs_requests = !options.disable_log_requests;
  context.logs_prompts = options.enable_log_prompts;
  context.id_prefix = random_letters();
  const ApiKeys keys(api_keys(options));
  const Api api(context, keys);
  // Also when the engine throws: the threads must not outlive what they use.
  const auto stop_server = [](HttpServer* s) { s->stop(HttpSeconds(0)); };
  const std::unique_ptr<HttpServer, decltype(stop_server)> guard(&server, stop_server);
  server.start([&api](const HttpRequest& head, HttpResponse& refusal) { return api.admit(head, refusal); },
               [&api](std::shared_ptr<HttpExchange> exchange) { api.handle(exchange); });
  spdlog::info("serving '{}' at {}://{}:{}, {}", encoder.model_name(), options.ssl_certfile.empty() ? "http" : "https",
               options.host, server.port(), keys.required() ? "to who has the API key" : "to everybody who can reach it");
  loop.run([&stop] { return stop.requested(); }, options.drain_timeout_s,
           [&] {
             spdlog::warn("signal {}: what has begun is finished, for at most {} s", stop.number(), options.drain_timeout_s);
             server.drain();
           });
  constexpr HttpSeconds kLastAnswers{5};
  server.stop(kLastAnswers);
  workers.join();
  engine.shutdown();
  spdlog::info("served {} prompt and {} output tokens", engine.stats().prompt_tokens, engine.stats().output_tokens);
}

}  // namespace

int run_serve(const World& world, const CommandLine& command_line, const std::string& version) {
  const StopSignal stop(StopSignal::Also::kUser1);  // mpirun passes it on, where SIGTERM ends the job
  const ServeOptions& options = command_line.serve;
  EngineOptions engine;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<HttpServer> server;
  world.phase("reading the model's configuration", [&] {
    engine = resolve_engine_options(command_line);
    config = load_model_config(engine.model, engine.max_model_len);
  });
  // Before the weights, which may take long.
  world.phase("opening the port", [&] {
    if (!world.is_root()) return;
    tokenizer = load_tokenizer(config, engine);
    server = std::make_unique<HttpServer>(server_options(options));
  });
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine, config, Workload{});
  if (world.is_root()) {
    run_root(world, *runner, engine, options, tokenizer.get(), *server, stop, version);
  } else {
    serve_rank(world, *runner, engine);  // rank 0 decides when to stop
  }
  return 0;
}

}  // namespace lockstep
