#include "plan/plan_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "plan/rank_weights.h"

namespace lockstep {
namespace {

std::string gb(int64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) / 1e9); }
std::string ms(double seconds) { return fmt::format("{:.2f}", seconds * 1e3); }
std::string percent(double share) { return fmt::format("{:.0f}%", 100.0 * share); }
std::string rate(double per_second) { return fmt::format("{:.0f}", per_second); }

// Bytes of the whole model in a format.
int64_t whole_bytes(const PlannedModel& model, const char* format) {
  PlannedModel other = model;
  set_formats(other, format, "", 0);
  return rank_weight_bytes(other, 1, 0);
}

Section hardware_section(const PlanRequest& r) {
  const Cluster& c = r.cluster;
  Section s;
  s.title = "Hardware";
  s.lines.push_back(fmt::format("{} node{} × {} × {}: {} each, {:.0f} GB/s, {:.0f} TFLOP/s in bf16{}", c.nodes,
                                c.nodes == 1 ? "" : "s", c.gpus_per_node, c.gpu.description, bytes_text(c.gpu.memory_bytes),
                                c.gpu.bandwidth / 1e9, c.gpu.bf16_flops / 1e12,
                                c.gpu.fp8_flops > 0 ? fmt::format(", {:.0f} in fp8", c.gpu.fp8_flops / 1e12) : ""));
  const auto link_text = [](const Link& l) {
    return fmt::format("{}, {:.4g} GB/s each direction ({:.0f} % of it used), {:.3g} us", l.description, l.bandwidth / 1e9,
                       100.0 * l.efficiency, l.latency_s * 1e6);
  };
  if (c.gpus_per_node > 1) s.lines.push_back("inside a node: " + link_text(c.node_link));
  if (c.gpu.max_gpus_per_link_group > 0 && c.gpus_per_node > c.gpu.max_gpus_per_link_group) {
    s.lines.push_back(fmt::format("beyond {} GPUs of a node: {}", c.gpu.max_gpus_per_link_group, link_text(c.beyond_group)));
  }
  if (c.nodes > 1)
    s.lines.push_back(fmt::format("between nodes: {}, {} port{} a node", link_text(c.network), c.nics_per_node,
                                  c.nics_per_node == 1 ? "" : "s"));
  s.lines.insert(s.lines.end(), r.notes.begin(), r.notes.end());
  return s;
}

Section memory_section(const Plan& plan) {
  const PlanRequest& r = plan.request;
  Section s;
  s.title = "Memory of the busiest rank, GB (10^9 bytes)";
  s.lines.push_back(
      fmt::format("{} sequence{} of {} tokens at once; steps of up to {} tokens; {:.0f} % of the memory may be used",
                  r.need.concurrency, r.need.concurrency == 1 ? "" : "s", r.need.max_model_len,
                  plan.rows.empty() ? 0 : plan.rows.front().memory.limits.max_num_batched_tokens,
                  100.0 * r.need.options.gpu_memory_utilization));
  s.table.header = {"tp",           "heads",  "KV heads", "weights", "activations",     "driver, buffers",
                    "KV asked for", "in all", "usable",   "fits",    "room for tokens", "wasted"};
  for (const PlanRow& row : plan.rows) {
    if (!row.degree.possible) {
      s.table.rows.push_back({std::to_string(row.degree.tp), "-", "-", "-", "-", "-", "-", "-", "-", "no", "-",
                              "not possible: " + row.degree.why_not});
      continue;
    }
    const MemoryPlan& m = row.memory;
    s.table.rows.push_back({std::to_string(row.degree.tp), std::to_string(row.degree.most_heads),
                            std::to_string(row.degree.most_kv_heads), gb(m.weights), gb(m.activations),
                            gb(m.buffers + m.context + m.workspace + m.collectives), gb(m.kv_needed), gb(m.needed()),
                            gb(m.usable), m.fits ? "yes" : "no", std::to_string(m.kv_pool_tokens), row.degree.waste});
  }
  s.notes.push_back(fmt::format(
      "Left free beside it: {:.2f} GB for CUDA graphs (about {:.2f} with all batch sizes recorded) and buffers made late.",
      r.cluster.gpu.cpu ? 0.0 : static_cast<double>(kCudaReserve) / 1e9,
      plan.rows.empty() ? 0.0 : static_cast<double>(plan.rows.front().memory.graphs) / 1e9));
  return s;
}

Section decode_section(const Plan& plan) {
  const PlanRequest& r = plan.request;
  Section s;
  s.title = fmt::format("A decode step, {} tokens of context: ms (tokens/s; of linear scaling; AllReduce's share)", r.context);
  s.table.header = {"tp"};
  for (const int64_t batch : r.batches) s.table.header.push_back(fmt::format("batch {}", batch));
  s.table.header.push_back("link bytes a token");
  for (const PlanRow& row : plan.rows) {
    if (!row.degree.possible) continue;
    std::vector<std::string> cells = {std::to_string(row.degree.tp) + (row.memory.fits ? "" : " (does not fit)")};
    for (const DecodePoint& p : row.decode) {
      cells.push_back(fmt::format("{} ({}; {}; {})", ms(p.time.total()), rate(p.tokens_per_second), percent(p.scaling),
                                  percent(p.time.all_reduce_share())));
    }
    cells.push_back(fmt::format("{:.0f}", row.link_bytes_per_token));
    s.table.rows.push_back(cells);
  }
  return s;
}

Section prefill_section(const Plan& plan) {
  Section s;
  s.title = "Prompts (prompts × tokens): seconds (tokens/s; of linear scaling; AllReduce's share)";
  s.table.header = {"tp"};
  for (const PrefillShape& p : plan.request.prefills) s.table.header.push_back(fmt::format("{}×{}", p.batch, p.length));
  for (const PlanRow& row : plan.rows) {
    if (!row.degree.possible) continue;
    std::vector<std::string> cells = {std::to_string(row.degree.tp) + (row.memory.fits ? "" : " (does not fit)")};
    for (const PrefillPoint& p : row.prefill) {
      cells.push_back(fmt::format("{:.4g} ({}; {}; {})", p.time.total(), rate(p.tokens_per_second), percent(p.scaling),
                                  percent(p.time.all_reduce_share())));
    }
    s.table.rows.push_back(cells);
  }
  return s;
}

Section exchange_section(const Plan& plan) {
  Section s;
  s.title = "AllReduces: 2 a layer; over each rank's link go 2 (N − 1) ÷ N times the message, each direction";
  s.table.header = {"prompts × tokens", "message",       "tp", "a message over a link", "all layers over a link",
                    "ms a message",     "of the prefill"};
  for (size_t i = 0; i < plan.request.prefills.size(); ++i) {
    for (const PlanRow& row : plan.rows) {
      if (!row.degree.possible || row.degree.tp == 1) continue;
      const PrefillPoint& p = row.prefill[i];
      s.table.rows.push_back(
          {fmt::format("{}×{}", p.shape.batch, p.shape.length), bytes_text(p.message_bytes), std::to_string(row.degree.tp),
           bytes_text(all_reduce_volume(p.message_bytes, row.degree.tp)), bytes_text(p.link_bytes),
           ms(all_reduce_seconds(plan.request.cluster, p.message_bytes, row.degree.tp)), percent(p.time.all_reduce_share())});
    }
  }
  s.notes.push_back("A message is that of all the prompts' tokens; the engine cuts it into steps of --max-num-batched-tokens.");
  return s;
}

Section pipeline_section(const Plan& plan) {
  Section s;
  s.title = "Tensor parallelism inside, pipeline between (lockstep does not run pp yet)";
  s.table.header = {"GPUs", "tp × pp", "fits", "GB a rank", "ms a token", "tokens/s", "prompts s", "in all s"};
  for (const PipelineRow& row : plan.pipelines) {
    s.table.rows.push_back({std::to_string(row.total()), fmt::format("{} × {}", row.tp, row.stages),
                            row.memory.fits ? "yes" : "no", gb(row.memory.needed()), ms(row.token_seconds),
                            rate(row.tokens_per_second), fmt::format("{:.3f}", row.prefill_seconds),
                            fmt::format("{:.2f}", row.load_seconds)});
  }
  s.notes.push_back(
      fmt::format("In all: {} request{} at once of {} tokens (the first of --shapes), each with {} tokens after it.",
                  plan.request.need.concurrency, plan.request.need.concurrency == 1 ? "" : "s",
                  plan.request.prefills.empty() ? 1 : plan.request.prefills.front().length, kRequestTokens));
  return s;
}

}  // namespace

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.2f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.2f} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.2f} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

Section model_section(const PlannedModel& model, const MemoryNeed& need) {
  Section s;
  const double parameters = static_cast<double>(model.num_parameters());
  const auto whole = static_cast<double>(rank_weight_bytes(model, 1, 0));
  s.title = model.name;
  s.lines.push_back(fmt::format(
      "{:.3f} billion parameters{}, weights {} in {}{}", parameters / 1e9,
      model.experts ? fmt::format(", {:.3f} billion of them met by a token", static_cast<double>(model.active_parameters()) / 1e9)
                    : "",
      bytes_text(whole), name_of(model.format),
      model.quantization_group > 0 ? fmt::format(" with a scale for every {} input features", model.quantization_group) : ""));
  s.lines.push_back(fmt::format(
      "weights in bfloat16 {}, fp8 {}, int8 {}, int4 {}; embedding, LM head and norms stay in 16 bits, and scales are counted",
      bytes_text(static_cast<double>(whole_bytes(model, "bfloat16"))), bytes_text(static_cast<double>(whole_bytes(model, "fp8"))),
      bytes_text(static_cast<double>(whole_bytes(model, "int8"))), bytes_text(static_cast<double>(whole_bytes(model, "int4")))));
  if (is_quantized(model.format)) {
    s.lines.push_back(fmt::format("parameters × {} bits alone, the figure often quoted: {}", bits_of(model.format),
                                  bytes_text(parameters * bits_of(model.format) / 8.0)));
  }
  const int64_t kv = kv_bytes_per_token(model, planned_share(model, 1, 0));
  s.lines.push_back(fmt::format("KV cache: {} bytes a token, {} for a sequence of {} tokens", kv,
                                bytes_text(static_cast<double>(kv * need.max_model_len)), need.max_model_len));
  if (!model.missing.empty())
    s.lines.push_back(fmt::format("planned only; lockstep does not run yet: {}", fmt::join(model.missing, "; ")));
  return s;
}

std::vector<Section> sections_of(const Plan& plan) {
  std::vector<Section> all = {model_section(plan.request.model, plan.request.need), hardware_section(plan.request),
                              memory_section(plan), decode_section(plan)};
  if (!plan.request.prefills.empty()) all.push_back(prefill_section(plan));
  if (!plan.request.prefills.empty() && plan.request.cluster.total() > 1) all.push_back(exchange_section(plan));
  if (!plan.pipelines.empty()) all.push_back(pipeline_section(plan));
  Section decision;
  decision.title = plan.decision.found ? "Take " + plan.decision.choice : "No choice";
  decision.lines = plan.decision.reasons;
  all.push_back(decision);
  return all;
}

}  // namespace lockstep
