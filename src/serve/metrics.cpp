#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace lockstep {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Labels = std::map<std::string, std::string>;
using Buckets = Histogram::BucketBoundaries;

// vLLM's buckets, in seconds.
const Buckets& first_token_buckets() {
  static const Buckets buckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                  1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
  return buckets;
}
const Buckets& token_buckets() {
  static const Buckets buckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                                  0.4,    0.5,   0.75,   1,     2.5,  5,     7.5,  10,    20,  40,   80};
  return buckets;
}
const Buckets& request_buckets() {
  static const Buckets buckets = {0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920};
  return buckets;
}
const Buckets& count_buckets() {
  static const Buckets buckets = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};
  return buckets;
}

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t open_descriptors() {
  std::error_code error;
  int64_t count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error)) ++count;
  return count;
}

}  // namespace

struct ServerMetrics::Series {
  Series(prometheus::Registry& registry, const std::string& model)
      : registry(registry), labels{{"model_name", model}, {"engine", "0"}} {}

  Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  Counter& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }

  prometheus::Registry& registry;
  Labels labels;
  Gauge& running = gauge("vllm:num_requests_running", "Sequences that run");
  Gauge& waiting = gauge("vllm:num_requests_waiting", "Sequences that wait");
  Gauge& kv_usage = gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks in use; 1 is all");
  Counter& preemptions = counter("vllm:num_preemptions_total", "Sequences that were stopped to be computed again later");
  Counter& prefix_queries = counter("vllm:prefix_cache_queries_total", "Tokens that were looked for in the prefix cache");
  Counter& prefix_hits = counter("vllm:prefix_cache_hits_total", "Tokens that were found there");
  Counter& prompt_tokens = counter("vllm:prompt_tokens_total", "Prompt tokens computed or found");
  Counter& output_tokens = counter("vllm:generation_tokens_total", "Tokens produced");
  Counter& steps = counter("lockstep:steps_total", "Steps of the engine");
  Histogram& first_token =
      histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token", first_token_buckets());
  Histogram& token_gap = histogram("vllm:inter_token_latency_seconds", "Between tokens of a sequence", token_buckets());
  Histogram& per_token =
      histogram("vllm:request_time_per_output_token_seconds", "Mean time of a request's tokens after the first", token_buckets());
  Histogram& seconds = histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end", request_buckets());
  Histogram& prompt_length = histogram("vllm:request_prompt_tokens", "Prompt tokens of a request", count_buckets());
  Histogram& output_length = histogram("vllm:request_generation_tokens", "Tokens produced for a request", count_buckets());
  Histogram& n = histogram("vllm:request_params_n", "n of a request", count_buckets());
  Histogram& max_tokens = histogram("vllm:request_params_max_tokens", "max_tokens of a request", count_buckets());
  Family<Counter>& finished =
      prometheus::BuildCounter().Name("vllm:request_success_total").Help("Sequences that ended, by reason").Register(registry);
  Family<Counter>& responses =
      prometheus::BuildCounter().Name("lockstep:http_responses_total").Help("Answers, by route and status").Register(registry);
  Gauge& connections = gauge("lockstep:http_connections", "Open connections");
  Gauge& memory = gauge("process_resident_memory_bytes", "Memory of this process");
  Gauge& descriptors = gauge("process_open_fds", "Open file descriptors of this process");
  EngineStats last;
};

ServerMetrics::ServerMetrics(const std::string& model_name)
    : registry_(std::make_shared<prometheus::Registry>()), series_(std::make_unique<Series>(*registry_, model_name)) {
  for (const char* reason : {"stop", "length", "timeout", "abort"})
    series_->finished.Add({{"model_name", model_name}, {"engine", "0"}, {"finished_reason", reason}});
}

ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::take_engine(const EngineStats& stats) {
  Series& s = *series_;
  const auto advance = [](Counter& counter, int64_t now, int64_t before) {
    if (now > before) counter.Increment(static_cast<double>(now - before));
  };
  s.running.Set(static_cast<double>(stats.num_running));
  s.waiting.Set(static_cast<double>(stats.num_waiting));
  s.kv_usage.Set(stats.num_blocks > 0 ? static_cast<double>(stats.num_blocks_used) / static_cast<double>(stats.num_blocks) : 0.0);
  advance(s.preemptions, stats.num_preemptions, s.last.num_preemptions);
  advance(s.prefix_queries, stats.prefix_queries, s.last.prefix_queries);
  advance(s.prefix_hits, stats.prefix_hits, s.last.prefix_hits);
  advance(s.prompt_tokens, stats.prompt_tokens, s.last.prompt_tokens);
  advance(s.output_tokens, stats.output_tokens, s.last.output_tokens);
  advance(s.steps, stats.num_steps, s.last.num_steps);
  s.last = stats;
}

void ServerMetrics::count_response(const std::string& route, int status) {
  series_->responses.Add({{"route", route}, {"status", std::to_string(status)}}).Increment();
}

void ServerMetrics::count_finished(const std::string& reason) {
  Labels labels = series_->labels;
  labels["finished_reason"] = reason;
  series_->finished.Add(labels).Increment();
}

void ServerMetrics::observe_token_gap(double seconds) { series_->token_gap.Observe(seconds); }

void ServerMetrics::observe_request(const RequestFigures& figures) {
  Series& s = *series_;
  if (figures.seconds_to_first_token >= 0.0) s.first_token.Observe(figures.seconds_to_first_token);
  s.seconds.Observe(figures.seconds);
  s.prompt_length.Observe(static_cast<double>(figures.prompt_tokens));
  s.output_length.Observe(static_cast<double>(figures.output_tokens));
  s.n.Observe(static_cast<double>(figures.n));
  s.max_tokens.Observe(static_cast<double>(figures.max_tokens));
  const int64_t later = figures.output_tokens - figures.n;
  if (later > 0) s.per_token.Observe(figures.decode_seconds * static_cast<double>(figures.n) / static_cast<double>(later));
}

void ServerMetrics::set_connections(int64_t count) { series_->connections.Set(static_cast<double>(count)); }

std::string ServerMetrics::text() {
  series_->memory.Set(static_cast<double>(resident_bytes()));
  series_->descriptors.Set(static_cast<double>(open_descriptors()));
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

}  // namespace lockstep
