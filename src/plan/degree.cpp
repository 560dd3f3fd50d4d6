#include "plan/degree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "plan/rank_weights.h"

namespace lockstep {
namespace {

constexpr double kUneven = 0.02;  // weights of the largest rank over the mean that are worth a word

// The row-parallel linear after attention is cut between heads: there a quantization group must end, too. Empty: it does.
std::string group_conflict(const PlannedModel& model, int tp) {
  const int64_t group = model.quantization_group;
  if (!is_quantized(model.format) || group == 0) return "";
  const int64_t width = model.latent ? model.latent->v_dim : model.config.head_dim;
  for (int rank = 1; rank < tp; ++rank) {
    const int64_t cut = planned_share(model, tp, rank).q_heads.begin * width;
    if (cut % group != 0 && cut < model.config.num_heads * width) {
      return fmt::format("o_proj has {} input features in groups of {}, and rank {} of {} would begin at feature {}",
                         model.config.num_heads * width, group, rank, tp, cut);
    }
  }
  return "";
}

std::string waste_in_words(const PlannedModel& model, const Degree& d) {
  std::vector<std::string> words;
  if (model.latent && d.tp > 1) words.push_back(fmt::format("the KV cache is whole on all {} ranks", d.tp));
  if (!model.latent && d.extra_kv_heads > 0) {
    words.push_back(fmt::format("{} KV heads held for {}", d.kv_heads_held, model.config.num_kv_heads));
  }
  if (d.ranks_without_heads > 0) words.push_back(fmt::format("{} ranks without heads", d.ranks_without_heads));
  if (d.ranks_without_heads == 0 && d.most_heads != d.fewest_heads) {
    words.push_back(fmt::format("{} or {} query heads", d.fewest_heads, d.most_heads));
  }
  if (d.heaviest_over_mean > kUneven)
    words.push_back(fmt::format("largest rank {:.0f}% above the mean", 100.0 * d.heaviest_over_mean));
  return fmt::format("{}", fmt::join(words, "; "));
}

}  // namespace

Degree judge_degree(const PlannedModel& model, int tp) {
  Degree d;
  d.tp = tp;
  try {
    static_cast<void>(planned_share(model, tp, 0));
    d.why_not = group_conflict(model, tp);
  } catch (const Error& e) {
    d.why_not = e.what();
  }
  d.possible = d.why_not.empty();
  if (!d.possible) return d;
  d.fewest_heads = model.config.num_heads;
  int64_t sum = 0, largest = 0;
  for (int rank = 0; rank < tp; ++rank) {
    const RankShare share = planned_share(model, tp, rank);
    d.most_heads = std::max(d.most_heads, share.q_heads.size());
    d.fewest_heads = std::min(d.fewest_heads, share.q_heads.size());
    d.most_kv_heads = std::max(d.most_kv_heads, share.kv_heads.size());
    d.kv_heads_held += share.kv_heads.size();
    if (share.q_heads.size() == 0) ++d.ranks_without_heads;
    const int64_t bytes = rank_weight_bytes(model, tp, rank);
    sum += bytes;
    largest = std::max(largest, bytes);
  }
  if (!model.latent) d.extra_kv_heads = d.kv_heads_held - model.config.num_kv_heads;
  d.heaviest_over_mean = static_cast<double>(largest) * tp / static_cast<double>(sum) - 1.0;
  d.waste = waste_in_words(model, d);
  return d;
}

}  // namespace lockstep
