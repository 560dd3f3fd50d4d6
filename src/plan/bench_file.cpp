#include "plan/bench_file.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "config/map_reader.h"
#include "plan/plan_report.h"

namespace lockstep {
namespace {

constexpr int64_t kMost = int64_t{1} << 50;
constexpr double kMaxSeconds = 1e6;

double required_seconds(MapReader& keys, const char* key) {
  const auto value = keys.number(key, 0.0, kMaxSeconds);
  if (!value) keys.refuse(key, "seconds above 0");
  return *value;
}

// "cuda:0 NVIDIA H100 80GB HBM3 (GPU-…)" -> "NVIDIA H100 80GB HBM3"
std::string device_name(const std::string& description) {
  if (!description.starts_with("cuda:")) return "";
  const size_t begin = description.find(' ');
  const size_t end = description.rfind(" (GPU-");
  if (begin == std::string::npos || end == std::string::npos || end <= begin) return "";
  return description.substr(begin + 1, end - begin - 1);
}

void read_latency(MapReader& top, const Node::List& rows, BenchFile& bench) {
  const int64_t output_len = top.required_integer("output_len", 2, kMost);
  const int64_t skip = top.required_integer("skip", 1, output_len - 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    MapReader row(rows[i], top.file(), fmt::format("rows[{}]", i));
    if (!row.boolean("fits", true)) continue;
    const int64_t batch = row.required_integer("batch", 1, kMost);
    const int64_t context = row.required_integer("context", 1, kMost);
    // The step that produces token n has a context of context + n - 1; n goes from skip + 1 to output_len.
    bench.points.push_back({fmt::format("decode, batch {}, context {} to {}", batch, context + skip, context + output_len - 1),
                            required_seconds(row, "seconds_per_step"), batch, context + (skip + output_len - 1) / 2});
  }
}

void read_prefill(MapReader& top, const Node::List& rows, BenchFile& bench) {
  if (bench.limits.max_num_batched_tokens == 0) {
    bench.limits.max_num_batched_tokens = top.required_integer("max_num_batched_tokens", 1, kMost);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    MapReader row(rows[i], top.file(), fmt::format("rows[{}]", i));
    const int64_t batch = row.required_integer("batch", 1, kMost);
    const int64_t length = row.required_integer("length", 1, kMost);
    bench.points.push_back({fmt::format("prefill, {}×{}", batch, length), required_seconds(row, "seconds"), batch, length});
  }
}

void read_memory(MapReader& top, BenchFile& bench) {
  if (const Node* node = top.find_value("limits")) {
    MapReader limits(*node, top.file(), "limits");
    bench.limits.max_model_len = limits.required_integer("max_model_len", 1, kMost);
    bench.limits.max_num_seqs = static_cast<int32_t>(limits.required_integer("max_num_seqs", 1, 1 << 20));
    bench.limits.max_num_batched_tokens = limits.required_integer("max_num_batched_tokens", 1, kMost);
    bench.block_size = limits.required_integer("block_size", 1, kMost);
    bench.gpu_memory_utilization = limits.number("gpu_memory_utilization", 0.0, 1.0).value_or(0.9);
  }
  const Node* node = top.find_value("memory");
  if (node == nullptr || bench.limits.max_num_seqs == 0) return;
  MapReader memory(*node, top.file(), "memory");
  const auto read = [&](const char* key) { return memory.integer(key, 0, kMost).value_or(0); };
  bench.has_memory = true;
  bench.memory = {.weights = read("weights"),
                  .activations = read("activations"),
                  .buffers = read("buffers"),
                  .kv_cache = read("kv_cache"),
                  .kv_tokens = read("kv_tokens"),
                  .device_total = read("device_total"),
                  .device_used_before_weights = read("device_used_before_weights"),
                  .device_used_before_steps = read("device_used_before_steps"),
                  .device_used = read("device_used"),
                  .cuda_graphs = read("cuda_graphs")};
}

}  // namespace

BenchFile read_bench_file(const std::filesystem::path& file) {
  const Node root = read_json(file);
  MapReader top(root, file.string(), "");
  BenchFile bench;
  bench.file = file;
  const auto required = [&](const char* key) {
    const auto text = top.text(key);
    if (!text) top.refuse(key, "as `lockstep bench … --json FILE` writes it");
    return *text;
  };
  bench.benchmark = required("benchmark");
  if (bench.benchmark != "latency" && bench.benchmark != "prefill")
    top.refuse("benchmark", "latency or prefill, which plan predicts");
  bench.model = required("model");
  bench.dtype = required("dtype");
  bench.device = device_name(required("device"));
  bench.ranks = static_cast<int>(top.required_integer("ranks", 1, 65536));
  read_memory(top, bench);
  const Node* rows = top.find_value("rows");
  const auto* list = rows == nullptr ? nullptr : rows->get_if<Node::List>();
  if (list == nullptr) top.refuse("rows", "a list of measurements");
  bench.benchmark == "latency" ? read_latency(top, *list, bench) : read_prefill(top, *list, bench);
  return bench;
}

BenchComparison compare(const BenchFile& bench, const PlannedModel& model, const Cluster& cluster) {
  BenchComparison result;
  const StepTimeModel times(model, cluster, bench.ranks);
  for (const BenchPoint& point : bench.points) {
    const StepTime time = bench.benchmark == "latency"
                              ? times.decode(static_cast<double>(point.batch), static_cast<double>(point.length))
                              : times.prefill(point.batch, point.length, bench.limits.max_num_batched_tokens);
    result.seconds.push_back({point.what, time.total(), point.seconds});
  }
  if (!bench.has_memory) return result;

  MemoryNeed need;
  need.nvlink = cluster.is_direct(bench.ranks);
  need.max_model_len = bench.limits.max_model_len;
  need.options.max_num_seqs = bench.limits.max_num_seqs;
  need.options.max_num_batched_tokens = static_cast<int32_t>(bench.limits.max_num_batched_tokens);
  need.options.block_size = static_cast<int32_t>(bench.block_size);
  need.options.gpu_memory_utilization = bench.gpu_memory_utilization;
  const MemoryPlan plan = plan_memory(model, cluster.gpu, bench.ranks, 1, cluster.gpus_per_node, need);
  const BenchMemory& m = bench.memory;
  const auto add = [&](const char* what, int64_t predicted, int64_t measured) {
    result.bytes.push_back({what, static_cast<double>(predicted), static_cast<double>(measured)});
  };
  add("weights", plan.weights, m.weights);
  add("activations", plan.activations, m.activations);
  add("buffers", plan.buffers, m.buffers);
  // A benchmark's cache is as large as it needs, so the tokens are the run's.
  const int64_t kv = m.kv_tokens * plan.kv_token;
  add("KV cache", kv, m.kv_cache);
  if (m.device_used == 0) return result;
  const int64_t before = plan.context + plan.workspace + plan.collectives;
  const int64_t allocated = plan.fixed() + kv;
  add("context, workspace, collectives", before, m.device_used_before_weights);
  add("in use before the first step", allocated, m.device_used_before_steps);
  add("in use at the end, with CUDA graphs", allocated + m.cuda_graphs * graph_bytes(model), m.device_used);
  add("of the device", plan.capacity, m.device_total);
  return result;
}

std::vector<Section> sections_of(const BenchFile& bench, const BenchComparison& comparison, const Cluster& cluster) {
  const auto percent = [](const BenchComparison::Row& row) { return fmt::format("{:+.1f}%", 100.0 * row.error()); };
  Section times;
  times.title = fmt::format("{}: {} on {} × {}, predicted and measured", bench.file.string(), bench.model, bench.ranks,
                            cluster.gpu.description);
  times.table.header = {"", "predicted ms", "measured ms", "error"};
  for (const auto& row : comparison.seconds) {
    times.table.rows.push_back(
        {row.what, fmt::format("{:.3f}", row.predicted * 1e3), fmt::format("{:.3f}", row.measured * 1e3), percent(row)});
  }
  std::vector<Section> all = {times};
  if (!comparison.bytes.empty()) {
    Section memory;
    memory.title = "Memory of rank 0, MiB";
    memory.table.header = {"", "predicted", "reported", "error"};
    for (const auto& row : comparison.bytes) {
      memory.table.rows.push_back({row.what, fmt::format("{:.1f}", row.predicted / (1 << 20)),
                                   fmt::format("{:.1f}", row.measured / (1 << 20)), percent(row)});
    }
    all.push_back(memory);
  }
  return all;
}

nlohmann::ordered_json to_json(const BenchFile& bench, const BenchComparison& comparison) {
  const auto rows = [](const std::vector<BenchComparison::Row>& all) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const auto& row : all) {
      json.push_back({{"what", row.what}, {"predicted", row.predicted}, {"measured", row.measured}, {"error", row.error()}});
    }
    return json;
  };
  return {{"file", bench.file.string()}, {"benchmark", bench.benchmark},        {"model", bench.model},
          {"ranks", bench.ranks},        {"seconds", rows(comparison.seconds)}, {"bytes", rows(comparison.bytes)}};
}

}  // namespace lockstep
