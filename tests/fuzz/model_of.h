// What the fuzz targets of config.json and of the YAML file do with a model that was taken.
#pragma once

#include <algorithm>
#include <cmath>

#include "config/model_config.h"
#include "fuzz.h"
#include "partition/partition.h"

namespace lockstep::fuzz {

// A configuration that is taken can be computed with: no size overflows, the frequencies are numbers, every rank gets its share.
// Large models are left out where their list of tensors would only cost time.
inline void use_model(const ModelConfig& config) {
  require(config.num_parameters() > 0);
  require(config.num_heads % config.num_kv_heads == 0 && config.head_dim % 2 == 0);
  require(!to_yaml(config).empty());
  static_cast<void>(config.hash());
  if (config.head_dim <= 4096) {
    for (const float f : config.rope_inv_freq()) require(std::isfinite(f));
  }
  if (config.num_layers > 64) return;
  const int tp = static_cast<int>(std::min<int64_t>(max_tp(config), 3));
  int64_t vocab = 0;
  for (int rank = 0; rank < tp; ++rank) {
    const Partition partition = make_partition(config, tp, rank);
    require(partition.elements() >= 0);
    vocab += partition.share.vocab.size();
  }
  require(vocab == config.vocab_size);
}

}  // namespace lockstep::fuzz
