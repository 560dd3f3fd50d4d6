// What the tests of plan share: models and hardware of configs/, whatever the working directory.
#pragma once

#include <filesystem>
#include <string>

#include "plan/plan.h"
#include "support/source_dir.h"

namespace lockstep::testing {

inline std::string config_file(const std::string& path) { return (source_dir() / "configs" / path).string() + ".yaml"; }

// name: of configs/models or configs/planned. dtype: as --dtype.
inline PlannedModel planned(const std::string& name, const std::string& dtype = "auto") {
  const std::string known = config_file("models/" + name);
  PlannedModel model = load_planned_model(std::filesystem::exists(known) ? known : config_file("planned/" + name), 0);
  set_formats(model, dtype, "auto", 0);
  return model;
}

inline Gpu hardware(const std::string& name) { return load_gpu(config_file("hardware/" + name)); }

inline Cluster cluster_of(const std::string& gpu, int gpus_per_node, int nodes = 1, const std::string& link = "") {
  Cluster cluster;
  cluster.gpu = hardware(gpu);
  cluster.gpus_per_node = gpus_per_node;
  cluster.nodes = nodes;
  if (!link.empty()) cluster.gpu.max_gpus_per_link_group = 0;
  cluster.node_link = load_link(config_file("hardware/" + (link.empty() ? cluster.gpu.interconnect : link)), LinkScope::kNode);
  cluster.beyond_group = cluster.gpu.beyond_group.empty()
                             ? cluster.node_link
                             : load_link(config_file("hardware/" + cluster.gpu.beyond_group), LinkScope::kNode);
  cluster.network = load_link(config_file("hardware/infiniband-ndr"), LinkScope::kNetwork);
  return cluster;
}

inline PlanRequest request_of(const PlannedModel& model, const Cluster& cluster, int64_t max_model_len, int64_t concurrency) {
  PlanRequest request;
  request.model = model;
  request.cluster = cluster;
  request.need.max_model_len = max_model_len;
  request.need.concurrency = concurrency;
  request.batches = {1, 64};
  request.context = std::min<int64_t>(1024, max_model_len);
  request.prefills = {{1, 2048}, {64, 2048}};
  return request;
}

}  // namespace lockstep::testing
