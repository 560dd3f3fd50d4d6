#include "tools/floor_model.h"

#include <algorithm>
#include <utility>

namespace lockstep {

FloorModel::FloorModel(const ModelConfig& config, std::vector<DeviceRates> rates, size_t weight_size, size_t kv_size)
    : config_(config),
      rates_(std::move(rates)),
      weight_size_(static_cast<double>(weight_size)),
      kv_size_(static_cast<double>(kv_size)) {
  const int tp = static_cast<int>(rates_.size());
  for (int rank = 0; rank < tp; ++rank) shares_.push_back(rank_share(config, tp, rank));
}

std::vector<OpCost> FloorModel::costs(const RankShare& share, const StepShape& shape) const {
  const auto hidden = static_cast<double>(config_.hidden_size);
  const auto head_dim = static_cast<double>(config_.head_dim);
  const double q = static_cast<double>(share.heads.q_heads) * head_dim;
  const double kv = static_cast<double>(share.heads.kv_heads) * head_dim;
  const auto ffn = static_cast<double>(share.ffn.size());
  const auto linear = [&](double rows, double in, double out) {
    return OpCost{in * out * weight_size_, 0.0, 2.0 * rows * in * out};
  };
  std::vector<OpCost> all;
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    all.push_back(linear(shape.tokens, hidden, q + 2.0 * kv));
    all.push_back({0.0, shape.kv_tokens * 2.0 * kv * kv_size_, 4.0 * shape.attended * q});  // q·k and p·v
    all.push_back(linear(shape.tokens, q, hidden));
    all.push_back(linear(shape.tokens, hidden, 2.0 * ffn));
    all.push_back(linear(shape.tokens, ffn, hidden));
  }
  if (shape.sampled > 0.0) all.push_back(linear(shape.sampled, hidden, static_cast<double>(share.vocab.size())));
  return all;
}

double FloorModel::step_seconds(const StepShape& shape) const {
  double longest = 0.0;
  for (size_t rank = 0; rank < rates_.size(); ++rank) {
    double seconds = 0.0;
    for (const OpCost& op : costs(shares_[rank], shape)) {
      seconds += std::max((op.weight_bytes + op.kv_bytes) / rates_[rank].bandwidth, op.flops / rates_[rank].flops);
    }
    longest = std::max(longest, seconds);
  }
  return longest;
}

FloorModel::Totals FloorModel::totals(const RankShare& share, const StepShape& all, int64_t steps) const {
  Totals totals;
  for (const OpCost& op : costs(share, all)) {
    totals.bytes += op.weight_bytes * static_cast<double>(steps) + op.kv_bytes;
    totals.flops += op.flops;
  }
  return totals;
}

FloorModel::Totals FloorModel::totals(const StepShape& all, int64_t steps) const {
  Totals most;
  for (const RankShare& share : shares_) {
    const Totals mine = totals(share, all, steps);
    most.bytes = std::max(most.bytes, mine.bytes);
    most.flops = std::max(most.flops, mine.flops);
  }
  return most;
}

double FloorModel::run_seconds(const StepShape& all, int64_t steps) const {
  double longest = 0.0;
  for (size_t rank = 0; rank < rates_.size(); ++rank) {
    const Totals mine = totals(shares_[rank], all, steps);
    longest = std::max({longest, mine.bytes / rates_[rank].bandwidth, mine.flops / rates_[rank].flops});
  }
  return longest;
}

}  // namespace lockstep
