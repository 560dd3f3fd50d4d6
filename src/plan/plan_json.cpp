// A plan as JSON: everything that the tables show, unrounded.
#include "plan/plan_report.h"
#include "plan/rank_weights.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const StepTime& t) {
  return {{"seconds", t.total()},
          {"linears_seconds", t.linears},
          {"attention_seconds", t.attention},
          {"elementwise_seconds", t.elementwise},
          {"kernels_seconds", t.kernels},
          {"all_reduce_seconds", t.all_reduce},
          {"all_reduce_share", t.all_reduce_share()}};
}

ordered_json to_json(const Degree& d) {
  ordered_json json = {{"tp", d.tp}, {"possible", d.possible}};
  if (!d.possible) {
    json["why_not"] = d.why_not;
    return json;
  }
  json["most_heads"] = d.most_heads;
  json["fewest_heads"] = d.fewest_heads;
  json["most_kv_heads"] = d.most_kv_heads;
  json["kv_heads_held"] = d.kv_heads_held;
  json["extra_kv_heads"] = d.extra_kv_heads;
  json["ranks_without_heads"] = d.ranks_without_heads;
  json["heaviest_rank_over_mean"] = d.heaviest_over_mean;
  json["waste"] = d.waste;
  return json;
}

ordered_json to_json(const Link& l) {
  return {{"name", l.name},
          {"bandwidth_bytes_per_second", l.bandwidth},
          {"efficiency", l.efficiency},
          {"latency_seconds", l.latency_s}};
}

ordered_json cluster_json(const Cluster& c) {
  ordered_json json = {{"gpu", c.gpu.name},
                       {"gpus_per_node", c.gpus_per_node},
                       {"nodes", c.nodes},
                       {"memory_bytes", c.gpu.memory_bytes},
                       {"bandwidth_bytes_per_second", c.gpu.bandwidth},
                       {"bf16_flops_per_second", c.gpu.bf16_flops},
                       {"interconnect", to_json(c.node_link)}};
  if (c.nodes > 1) {
    json["network"] = to_json(c.network);
    json["nics_per_node"] = c.nics_per_node;
  }
  return json;
}

ordered_json row_json(const PlanRow& row) {
  ordered_json json = to_json(row.degree);
  if (!row.degree.possible) return json;
  json["fits"] = row.memory.fits;
  json["memory"] = lockstep::to_json(row.memory);
  json["link_bytes_per_token"] = row.link_bytes_per_token;
  json["token_seconds"] = row.token_seconds;
  json["decode"] = ordered_json::array();
  for (const DecodePoint& p : row.decode) {
    ordered_json point = {{"batch", p.batch}, {"tokens_per_second", p.tokens_per_second}, {"scaling", p.scaling}};
    point.update(to_json(p.time));
    json["decode"].push_back(point);
  }
  json["prefill"] = ordered_json::array();
  for (const PrefillPoint& p : row.prefill) {
    ordered_json point = {{"batch", p.shape.batch},
                          {"length", p.shape.length},
                          {"tokens_per_second", p.tokens_per_second},
                          {"scaling", p.scaling},
                          {"message_bytes", p.message_bytes},
                          {"message_link_bytes", all_reduce_volume(p.message_bytes, row.degree.tp)},
                          {"link_bytes", p.link_bytes}};
    point.update(to_json(p.time));
    json["prefill"].push_back(point);
  }
  return json;
}

}  // namespace

ordered_json to_json(const MemoryPlan& m) {
  return {{"weights", m.weights},
          {"activations", m.activations},
          {"buffers", m.buffers},
          {"context", m.context},
          {"workspace", m.workspace},
          {"collectives", m.collectives},
          {"cuda_graphs_at_most", m.graphs},
          {"kv_bytes_per_token", m.kv_token},
          {"kv_needed", m.kv_needed},
          {"kv_pool", m.kv_pool},
          {"kv_pool_tokens", m.kv_pool_tokens},
          {"needed", m.needed()},
          {"usable", m.usable},
          {"capacity", m.capacity},
          {"max_num_batched_tokens", m.limits.max_num_batched_tokens},
          {"max_num_seqs", m.limits.max_num_seqs}};
}

ordered_json model_json(const PlannedModel& model) {
  const int64_t kv = kv_bytes_per_token(model, planned_share(model, 1, 0));
  ordered_json json = {{"name", model.name},
                       {"architecture", model.config.architecture},
                       {"parameters", model.num_parameters()},
                       {"active_parameters", model.active_parameters()},
                       {"format", name_of(model.format)},
                       {"quantization_group", model.quantization_group},
                       {"weight_bytes", rank_weight_bytes(model, 1, 0)},
                       {"parameters_times_bits_bytes", static_cast<double>(model.num_parameters()) * bits_of(model.format) / 8.0},
                       {"kv_bytes_per_token", kv},
                       {"runs", model.missing.empty()},
                       {"missing", model.missing}};
  return json;
}

ordered_json to_json(const Plan& plan) {
  ordered_json json;
  json["model"] = model_json(plan.request.model);
  json["cluster"] = cluster_json(plan.request.cluster);
  json["max_model_len"] = plan.request.need.max_model_len;
  json["concurrency"] = plan.request.need.concurrency;
  json["context"] = plan.request.context;
  json["rows"] = ordered_json::array();
  for (const PlanRow& row : plan.rows) json["rows"].push_back(row_json(row));
  json["pipelines"] = ordered_json::array();
  for (const PipelineRow& row : plan.pipelines) {
    json["pipelines"].push_back({{"tp", row.tp},
                                 {"pp", row.stages},
                                 {"runs", row.stages == 1 && plan.request.model.missing.empty()},
                                 {"fits", row.memory.fits},
                                 {"memory", to_json(row.memory)},
                                 {"token_seconds", row.token_seconds},
                                 {"tokens_per_second", row.tokens_per_second},
                                 {"prefill_seconds", row.prefill_seconds},
                                 {"load_seconds", row.load_seconds}});
  }
  json["decision"] = {{"found", plan.decision.found},
                      {"tp", plan.decision.tp},
                      {"pp", plan.decision.stages},
                      {"choice", plan.decision.choice},
                      {"reasons", plan.decision.reasons}};
  return json;
}

}  // namespace lockstep
