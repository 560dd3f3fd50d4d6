#include "tools/bench_latency.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/statistics.h"
#include "tools/bench_run.h"

namespace lockstep {
namespace {

struct Point {
  int32_t batch = 0;
  int32_t context = 0;
};

struct Row {
  Point point;
  bool fits = true;               // in the KV cache, without preemption
  std::vector<double> repeats;    // seconds of a step, the mean of each repeat
  std::vector<double> intervals;  // between the tokens of consecutive steps, of all repeats
  double floor_seconds = 0.0;     // of a step in the middle of what is measured
  double seconds() const { return median(repeats); }
};

class LatencyBench {
 public:
  LatencyBench(BenchRun& run, const BenchLatencyOptions& options) : run_(run), options_(options) {}

  Row measure(const Point& point) {
    Row row{point};
    row.fits = fits(point);
    if (!row.fits) return row;
    for (int32_t repeat = 0; repeat < run_.options().repeats; ++repeat) {
      add(point);
      std::optional<BenchClock::time_point> start, last;
      decode(point, [&](int32_t fewest, BenchClock::time_point now) {
        if (start) row.intervals.push_back(seconds_between(*last, now));
        if (!start && fewest >= options_.skip) start = now;
        last = now;
      });
      row.repeats.push_back(seconds_between(*start, *last) / (options_.output_len - options_.skip));
    }
    // The step that produces token n has a context of context + n - 1; n goes from skip + 1 to output_len.
    const double context = point.context + (options_.skip + options_.output_len - 1) / 2.0;
    row.floor_seconds = run_.floor().step_seconds(StepShape::decode(point.batch, context));
    return row;
  }

  // Traces some steps in the middle of a run of the last point that fits.
  void trace(const std::vector<Point>& points, Profile& profile) {
    const auto last = std::find_if(points.rbegin(), points.rend(), [&](const Point& point) { return fits(point); });
    check(last != points.rend(), "there is nothing to trace: no batch fits the KV cache");
    const Point& point = *last;
    add(point);
    decode(point, [&](int32_t fewest, BenchClock::time_point) {
      profile.end_step();
      if (fewest >= std::min(options_.skip, options_.output_len / 2)) profile.start();
    });
    profile.finish();
  }

 private:
  void add(const Point& point) {
    for (int32_t i = 0; i < point.batch; ++i) {
      const int64_t id = run_.add(run_.random_prompt(point.context), options_.output_len);
      if (i == 0) first_id_ = id;
    }
  }

  // Steps until all are done; calls on_tokens(fewest tokens that a sequence has, now) after each step that brought tokens.
  template <typename OnTokens>
  void decode(const Point& point, const OnTokens& on_tokens) {
    std::vector<int32_t> counts(static_cast<size_t>(point.batch));
    const int64_t preemptions = run_.engine().stats().num_preemptions;
    while (run_.engine().has_work()) {
      const std::vector<SequenceOutput> outputs = run_.step();
      if (outputs.empty()) continue;
      const auto now = BenchClock::now();
      for (const SequenceOutput& output : outputs) ++counts.at(static_cast<size_t>(output.id - first_id_));
      on_tokens(*std::min_element(counts.begin(), counts.end()), now);
    }
    check(run_.engine().stats().num_preemptions == preemptions,
          "the KV cache is too small for {} sequences of {} tokens: some were computed twice", point.batch,
          point.context + options_.output_len);
  }

  bool fits(const Point& point) const {
    const KvCache& cache = run_.runner().cache();
    const int64_t block = cache.layout().block_size;
    return point.batch * ((point.context + options_.output_len + block - 1) / block) <= cache.num_blocks();
  }

  BenchRun& run_;
  const BenchLatencyOptions& options_;
  int64_t first_id_ = 0;
};

void print_header() {
  fmt::print("{:>6} {:>8} {:>10} {:>10} {:>10} {:>12} {:>10} {:>9}\n", "batch", "context", "step ms", "p50 ms", "p99 ms",
             "tokens/s", "floor ms", "of floor");
}

void print(const Row& row) {
  if (row.fits) {
    fmt::print("{:>6} {:>8} {:>10.3f} {:>10.3f} {:>10.3f} {:>12.1f} {:>10.3f} {:>9}\n", row.point.batch, row.point.context,
               row.seconds() * 1e3, percentile(row.intervals, 50) * 1e3, percentile(row.intervals, 99) * 1e3,
               row.point.batch / row.seconds(), row.floor_seconds * 1e3, share_of_floor(row.floor_seconds, row.seconds()));
  } else {
    fmt::print("{:>6} {:>8} does not fit the KV cache\n", row.point.batch, row.point.context);
  }
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Row& row) {
  nlohmann::ordered_json json = {{"batch", row.point.batch}, {"context", row.point.context}, {"fits", row.fits}};
  if (!row.fits) return json;
  json["seconds_per_step"] = row.seconds();
  json["seconds_per_step_of_repeats"] = row.repeats;
  for (const int percent : {50, 90, 99, 100})
    json[fmt::format("interval_p{}_seconds", percent)] = percentile(row.intervals, percent);
  json["tokens_per_second"] = row.point.batch / row.seconds();
  json["floor_seconds"] = row.floor_seconds;
  json["floor_ratio"] = row.floor_seconds / row.seconds();
  return json;
}

}  // namespace

int run_bench_latency(const World& world, const CommandLine& command_line) {
  const BenchLatencyOptions& options = command_line.bench_latency;
  std::vector<Point> points;
  for (const int32_t context : options.contexts) {
    for (const int32_t batch : options.batch_sizes) points.push_back({batch, context});
  }
  Bench bench;
  bench.name = "latency";
  bench.workload = [&](const EngineOptions& engine, const ModelConfig&) {
    Workload workload;
    for (const Point& point : points) {
      check(point.batch <= engine.max_num_seqs, "a batch of {} is more than --max-num-seqs {}", point.batch, engine.max_num_seqs);
      const int64_t length = int64_t{point.context} + options.output_len;
      workload.num_sequences = std::max<int64_t>(workload.num_sequences, point.batch);
      workload.prompt_tokens = std::max(workload.prompt_tokens, int64_t{point.batch} * point.context);
      workload.total_tokens = std::max(workload.total_tokens, point.batch * length);
      workload.longest = std::max(workload.longest, length);
    }
    return workload;
  };
  bench.measure = [&](BenchRun& run) {
    LatencyBench latency(run, options);
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    print_header();
    for (const Point& point : points) {
      const Row row = latency.measure(point);
      print(row);
      rows.push_back(to_json(row));
    }
    return nlohmann::ordered_json{{"output_len", options.output_len}, {"skip", options.skip}, {"rows", rows}};
  };
  bench.trace = [&](BenchRun& run, Profile& profile) { LatencyBench(run, options).trace(points, profile); };
  return run_bench(world, command_line, command_line.bench_latency, bench);
}

}  // namespace lockstep
