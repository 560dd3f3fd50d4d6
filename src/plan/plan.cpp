#include "plan/plan.h"

#include <algorithm>

#include "plan/rank_weights.h"

namespace lockstep {
namespace {

PlanRow make_row(const PlanRequest& request, int tp, const PlanRow* one) {
  PlanRow row;
  row.degree = judge_degree(request.model, tp);
  if (!row.degree.possible) return row;
  const Cluster& cluster = request.cluster;
  row.memory = plan_memory(request.model, cluster.gpu, tp, 1, cluster.gpus_per_node, request.need);
  row.link_bytes_per_token = link_bytes_per_token(request.model, tp);
  const StepTimeModel times(request.model, cluster, tp);
  row.token_seconds = times.decode(static_cast<double>(request.need.concurrency), static_cast<double>(request.context)).total();
  for (size_t i = 0; i < request.batches.size(); ++i) {
    DecodePoint point;
    point.batch = request.batches[i];
    point.time = times.decode(static_cast<double>(point.batch), static_cast<double>(request.context));
    point.tokens_per_second = static_cast<double>(point.batch) / point.time.total();
    point.scaling = one == nullptr ? 1.0 : point.tokens_per_second / (tp * one->decode[i].tokens_per_second);
    row.decode.push_back(point);
  }
  const auto hidden = static_cast<double>(request.model.config.hidden_size);
  for (size_t i = 0; i < request.prefills.size(); ++i) {
    PrefillPoint point;
    point.shape = request.prefills[i];
    point.time = times.prefill(point.shape.batch, point.shape.length, row.memory.limits.max_num_batched_tokens);
    const auto tokens = static_cast<double>(point.shape.batch * point.shape.length);
    point.tokens_per_second = tokens / point.time.total();
    point.scaling = one == nullptr ? 1.0 : point.tokens_per_second / (tp * one->prefill[i].tokens_per_second);
    point.message_bytes = tokens * hidden * static_cast<double>(size_of(request.model.base_dtype()));
    point.link_bytes = tokens * row.link_bytes_per_token;
    row.prefill.push_back(point);
  }
  return row;
}

// Combinations whose tensor parallelism stays inside a node.
std::vector<PipelineRow> make_pipelines(const PlanRequest& request) {
  std::vector<PipelineRow> rows;
  const Cluster& cluster = request.cluster;
  const PrefillShape prompt = request.prefills.empty() ? PrefillShape{} : request.prefills.front();
  for (int tp = 1; tp <= std::min(cluster.gpus_per_node, cluster.total()); ++tp) {
    if (cluster.gpus_per_node % tp != 0 || !judge_degree(request.model, tp).possible) continue;
    const StepTimeModel whole(request.model, cluster, tp);
    for (int stages = 1; tp * stages <= cluster.total() && stages <= request.model.config.num_layers; ++stages) {
      const int total = tp * stages;
      // Stages that are equally many on every node.
      if (total > cluster.gpus_per_node && total % cluster.gpus_per_node != 0) continue;
      PipelineRow row;
      row.tp = tp;
      row.stages = stages;
      row.memory = plan_memory(request.model, cluster.gpu, tp, stages, cluster.gpus_per_node, request.need);
      const PipelineTime time =
          pipeline_decode(whole, cluster, request.model, tp, stages, static_cast<double>(request.need.concurrency),
                          static_cast<double>(request.context));
      row.token_seconds = time.token_seconds;
      row.tokens_per_second = time.tokens_per_second;
      row.prefill_seconds = pipeline_prefill(whole, cluster, request.model, tp, stages, request.need.concurrency, prompt.length,
                                             row.memory.limits.max_num_batched_tokens);
      row.load_seconds = row.prefill_seconds + static_cast<double>(kRequestTokens) * row.token_seconds;
      rows.push_back(row);
    }
  }
  return rows;
}

bool wants_pipelines(const PlanRequest& request) {
  const Cluster& cluster = request.cluster;
  if (cluster.total() == 1 || request.only_tp > 0) return false;
  const int in_node = std::min(cluster.gpus_per_node, cluster.total());
  return cluster.nodes > 1 || !cluster.is_direct(in_node);
}

}  // namespace

const PlanRow* Plan::row(int tp) const {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const PlanRow& r) { return r.degree.tp == tp; });
  return found == rows.end() ? nullptr : &*found;
}

Plan make_plan(PlanRequest request) {
  Plan plan;
  plan.request = std::move(request);
  const PlanRow one = make_row(plan.request, 1, nullptr);
  for (int tp = 1; tp <= plan.request.cluster.total(); ++tp) {
    if (plan.request.only_tp > 0 && tp != plan.request.only_tp) continue;
    plan.rows.push_back(tp == 1 ? one : make_row(plan.request, tp, one.degree.possible ? &one : nullptr));
  }
  if (wants_pipelines(plan.request)) plan.pipelines = make_pipelines(plan.request);
  plan.decision = decide(plan);
  return plan;
}

}  // namespace lockstep
