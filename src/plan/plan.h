// The plan of a model on a cluster: every degree of tensor parallelism from 1 to all ranks, what it needs, how fast it is, and
// which to take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/degree.h"
#include "plan/memory_plan.h"
#include "plan/step_time.h"

namespace lockstep {

struct PrefillShape {
  int64_t batch = 1, length = 1;
};

struct PlanRequest {
  PlannedModel model;
  Cluster cluster;
  bool cluster_assumed = false;  // parts of it are defaults (notes say which)
  std::vector<std::string> notes;
  MemoryNeed need;
  std::vector<int64_t> batches;  // of decode steps
  int64_t context = 0;           // tokens of each sequence while decoding
  std::vector<PrefillShape> prefills;
  double max_latency_s = 0.0;  // of a token, at need.concurrency; 0: any
  int only_tp = 0;             // 0: all
};

struct DecodePoint {
  int64_t batch = 0;
  StepTime time;
  double tokens_per_second = 0.0;
  double scaling = 0.0;  // tokens per second over tp times those of one rank
};

struct PrefillPoint {
  PrefillShape shape;
  StepTime time;
  double tokens_per_second = 0.0;
  double scaling = 0.0;
  double message_bytes = 0.0;  // of one AllReduce of the whole batch in the activations' type; steps cut it
  double link_bytes = 0.0;     // that all AllReduces of the layers send over a rank's link
};

// One degree.
struct PlanRow {
  Degree degree;
  MemoryPlan memory;  // of a possible degree
  std::vector<DecodePoint> decode;
  std::vector<PrefillPoint> prefill;
  double token_seconds = 0.0;  // a step of need.concurrency sequences
  double link_bytes_per_token = 0.0;
  bool fits() const { return degree.possible && memory.fits; }
  bool meets(const PlanRequest& request) const { return request.max_latency_s <= 0.0 || token_seconds <= request.max_latency_s; }
};

// tp ranks in each of several pipeline stages.
struct PipelineRow {
  int tp = 1, stages = 1;
  MemoryPlan memory;
  double token_seconds = 0.0;
  double tokens_per_second = 0.0;
  double prefill_seconds = 0.0;  // of need.concurrency prompts of the first prefill shape's length
  double load_seconds = 0.0;     // these, and kRequestTokens tokens after each
  int total() const { return tp * stages; }
};
inline constexpr int64_t kRequestTokens = 256;

struct Decision {
  bool found = false;
  int tp = 0, stages = 1;
  std::string choice;                // "tp 4"
  std::vector<std::string> reasons;  // sentences
};

struct Plan {
  PlanRequest request;
  std::vector<PlanRow> rows;           // tp 1, 2, …
  std::vector<PipelineRow> pipelines;  // stages > 1, where they are worth a look: no direct link, or several nodes
  Decision decision;
  const PlanRow* row(int tp) const;
};

Plan make_plan(PlanRequest request);

// The flow of docs/choosing-tp.md.
Decision decide(const Plan& plan);

}  // namespace lockstep
