// Sampling: penalties, thresholds, the choice of a token, log-probabilities. Logits are float32.
//
// A row's maxima over blocks of kMaxBlock logits are found first, vectorised; most blocks then cannot hold what is looked for and
// are never touched again.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/random.h"
#include "kernels/threshold_search.h"

namespace lockstep::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
// -log(-log(u)) for the largest u that sample_uniform returns, 1 - 2^-24, is 16.64: no noise is larger.
constexpr float kMaxGumbel = 16.7f;

int64_t num_blocks(int64_t n) { return (n + kMaxBlock - 1) / kMaxBlock; }

// A row of logits with its block maxima.
struct Row {
  const float* x;
  int64_t n;
  const float* block_max;  // [num_blocks(n)]

  float max() const {
    const float* best = std::max_element(block_max, block_max + num_blocks(n));
    return n > 0 ? *best : kLowest;
  }
  // fn(i, x, n) for every block [i, i + n) that holds a logit >= bound.
  template <typename Fn>
  void for_each_block_from(float bound, Fn&& fn) const {
    for (int64_t b = 0; b < num_blocks(n); ++b) {
      if (block_max[b] >= bound) fn(b * kMaxBlock, x + b * kMaxBlock, std::min(kMaxBlock, n - b * kMaxBlock));
    }
  }
  // fn(x, n) for all logits of blocks that hold one >= bound; as few calls as there are runs of such blocks.
  template <typename Fn>
  void for_each_run_from(float bound, Fn&& fn) const {
    const int64_t blocks = num_blocks(n);
    for (int64_t b = 0; b < blocks;) {
      int64_t end = b;
      while (end < blocks && block_max[end] >= bound) ++end;
      if (end > b) fn(x + b * kMaxBlock, std::min(n, end * kMaxBlock) - b * kMaxBlock);
      b = end + 1;
    }
  }
  // fn(i, x[i]) for every logit >= *bound, in order; NaN never is. The bound may rise meanwhile.
  template <typename Fn>
  void for_each_from(const float* bound, Fn&& fn) const {
    for (int64_t b = 0; b < num_blocks(n); ++b) {
      if (!(block_max[b] >= *bound)) continue;
      const int64_t end = std::min(n, (b + 1) * kMaxBlock);
      for (int64_t i = b * kMaxBlock; i < end; ++i) {
        if (x[i] >= *bound) fn(i, x[i]);
      }
    }
  }
};

// maxima: of all rows' blocks.
Row part_of_row(const TensorView& logits, const float* maxima, int64_t s, int64_t part, int64_t parts) {
  const int64_t blocks = num_blocks(logits.cols);
  const int64_t first_block = blocks * part / parts, last_block = blocks * (part + 1) / parts;
  const int64_t from = first_block * kMaxBlock, to = std::min(logits.cols, last_block * kMaxBlock);
  return {logits.slice_rows(s, 1).as<const float>() + from, to - from, maxima + s * blocks + first_block};
}

// The k-th largest logit, counting equal ones apart; -infinity where there are fewer than k. Keeps a buffer of the best so far
// and raises the bar each time it is full, so that nearly all blocks are skipped.
float kth_largest(const Row& row, int64_t k) {
  std::vector<float> best;
  const auto capacity = static_cast<size_t>(k + std::max<int64_t>(k, 256));
  best.reserve(std::min(capacity, static_cast<size_t>(row.n)));
  const auto shrink = [&] {
    std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), std::greater<>());
    best.resize(static_cast<size_t>(k));
    return best.back();
  };
  float bar = kLowest;
  row.for_each_from(&bar, [&](int64_t, float x) {
    best.push_back(x);
    if (best.size() == capacity) bar = shrink();
  });
  return static_cast<int64_t>(best.size()) < k ? kLowest : shrink();
}

using DigitWeights = std::array<uint64_t, kSearchDigitValues>;

// The logits whose ordered_bits() are in [first, last].
void set_range(DigitWeightsArgs& args, uint32_t first, uint32_t last) {
  constexpr uint32_t kInfinity = 0xff800000u, kMinusZero = 0x7fffffffu;  // which no number has, +0 being one with -0
  args.lowest = from_ordered_bits(first);
  args.highest = from_ordered_bits(std::min(last == kMinusZero ? last - 1 : last, kInfinity));
}

// Of the logits of `row` that count in the search, by their next digit.
DigitWeights weights_of(const Row& row, const CpuKernels& kernels, const ThresholdSearch& search, const SamplingRow& params,
                        TokenFilter filter, int32_t digit) {
  static_assert(kDigitValues == kSearchDigitValues);
  std::array<DigitWeights, kDigitCopies> copies{};
  DigitWeightsArgs args{.shift = digit_shift(digit),
                        .of_mass = filter == TokenFilter::kTopP,
                        .top = search.top,
                        .inv_temperature = 1.0f / params.temperature,
                        .weights = copies[0].data()};
  const uint32_t undecided = digit == 0 ? ~0u : (1u << digit_shift(digit - 1)) - 1;
  set_range(args, std::max(search.least, search.prefix), search.prefix | undecided);
  constexpr float kWeightless = 29.0f;  // exp(-29) of kUnitMass is less than a half
  if (args.of_mass) {
    args.lowest = std::max(args.lowest, search.top - kWeightless * params.temperature);
  } else if (digit < 2) {
    // Nothing below the k-th of a part can be the k-th of all; later few logits are left anyway.
    args.lowest = std::max(args.lowest, kth_largest(row, params.top_k));
  }
  row.for_each_run_from(args.lowest, [&](const float* x, int64_t n) { kernels.digit_weights(x, n, args); });
  for (size_t copy = 1; copy < kDigitCopies; ++copy) {
    for (size_t v = 0; v < kDigitValues; ++v) copies[0][v] += copies[copy][v];
  }
  return copies[0];
}

// Later wins only if better: equal values go to the lower id.
void improve(Candidate& best, float value, int32_t token) {
  if (value > best.value || (value == best.value && token < best.token)) best = {value, token};
}

// At least the noise -log(-log(u)), and cheap: it is at most -log(1 - u), and that at most ln 2 times minus the binary exponent
// of 1 - u, which is exact in float32.
float gumbel_bound(float u) {
  const auto exponent = static_cast<int32_t>(std::bit_cast<uint32_t>(1.0f - u) >> 23) - 127;
  return -0.6932f * static_cast<float>(exponent) + 1e-3f;
}

// See Ops::sample_candidates. A logit of -infinity (banned) never wins.
Candidate best_candidate(const Row& row, int64_t vocab_begin, float threshold, const SamplingRow& params) {
  Candidate best{kLowest, -1};
  float bar = std::max(threshold, std::numeric_limits<float>::lowest());
  if (params.temperature == 0.0f) {
    const float max = row.max();
    if (max >= bar) {
      bar = max;
      row.for_each_from(&bar, [&](int64_t i, float x) {
        if (best.token < 0) best = {x, static_cast<int32_t>(vocab_begin + i)};
      });
    }
    return best;
  }
  const float temperature = params.temperature;
  const uint64_t seed = params.seed;
  const int32_t output_index = params.output_index;
  const auto consider = [&](int64_t i, const float* x, int64_t n) {
    if (row.block_max[i / kMaxBlock] / temperature + kMaxGumbel < best.value) return;
    for (int64_t j = 0; j < n; ++j) {
      const auto token = static_cast<int32_t>(vocab_begin + i + j);
      const float scaled = x[j] / temperature;
      const float uniform = sample_uniform(seed, output_index, token);
      // One condition, nearly always false, where two would each be hard to predict.
      if (static_cast<int>(x[j] >= bar) & static_cast<int>(scaled + gumbel_bound(uniform) >= best.value)) {
        const float value = scaled - std::log(-std::log(uniform));
        if (best.token < 0) {
          best = {value, token};
        } else {
          improve(best, value, token);
        }
      }
    }
  };
  // The block of the largest logit first: its winner is a good guess, and lets nearly all other tokens be dismissed by the bound.
  row.for_each_block_from(std::max(bar, row.max()), consider);
  row.for_each_block_from(bar, consider);
  return best;
}

}  // namespace

// So many parts that one sequence uses all threads.
int64_t CpuOps::parts_of_row(const TensorView& logits) const {
  return logits.rows >= pool_.threads() ? 1 : std::clamp<int64_t>(logits.cols / 8192, 1, pool_.threads());
}

void CpuOps::count_tokens(int32_t* counts, int64_t vocab_begin, int64_t vocab_size, const int32_t* ids, int64_t n,
                          bool in_prompt) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t local = ids[i] - vocab_begin;
    if (local < 0 || local >= vocab_size) continue;
    if (in_prompt) {
      counts[local] |= kInPromptBit;
    } else {
      ++counts[local];
    }
  }
}

void CpuOps::process_logits(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const LogitEdit* edits,
                            int32_t* counts, const int32_t* last_token) {
  check_float32("process_logits", "logits", logits);
  check_shape("process_logits", "logits", logits, logits.rows, logits.cols);
  const int64_t n = logits.cols;
  pool_.parallel_for(logits.rows, row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const SamplingRow& row = rows[s];
      float* x = logits.slice_rows(s, 1).as<float>();
      if (row.penalty_row >= 0) {
        int32_t* seen = counts + row.penalty_row * n;
        const int64_t last = row.output_index > 0 ? last_token[row.slot] - vocab_begin : -1;
        if (last >= 0 && last < n) ++seen[last];
        for (int64_t i = 0; i < n; ++i) {
          if (seen[i] == 0) continue;
          const int32_t in_output = seen[i] & ~kInPromptBit;
          x[i] = x[i] > 0.0f ? x[i] / row.repetition_penalty : x[i] * row.repetition_penalty;
          if (in_output > 0) x[i] -= row.frequency_penalty * static_cast<float>(in_output) + row.presence_penalty;
        }
      }
      for (int32_t e = row.edit_begin; e < row.edit_end; ++e) {
        const int64_t local = edits[e].token - vocab_begin;
        if (local >= 0 && local < n) x[local] += edits[e].add;
      }
    }
  });
}

void CpuOps::apply_masks(TensorView logits, int64_t vocab_begin, const SamplingRow* rows, const uint32_t* masks, int64_t words) {
  check_float32("apply_masks", "logits", logits);
  check_shape("apply_masks", "logits", logits, logits.rows, logits.cols);
  const int64_t n = logits.cols, shift = vocab_begin % 32;
  check(words * 32 >= shift + n, "apply_masks: masks of {} words for {} tokens from bit {} on", words, n, shift);
  pool_.parallel_for(logits.rows, row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      if (rows[s].mask_row < 0) continue;
      const uint32_t* mask = masks + rows[s].mask_row * words;
      float* x = logits.slice_rows(s, 1).as<float>();
      for (int64_t i = 0; i < n; ++i) {
        const int64_t bit = shift + i;
        if ((mask[bit / 32] >> (bit % 32) & 1) == 0) x[i] = -std::numeric_limits<float>::infinity();
      }
    }
  });
}

const float* CpuOps::block_maxima(const TensorView& logits) {
  const int64_t blocks = num_blocks(logits.cols);
  float* maxima = shared_scratch_.get_as<float>(std::max<int64_t>(1, logits.rows * blocks));
  pool_.parallel_for(logits.rows * blocks, kElementGrain / kMaxBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      const int64_t s = i / blocks, b = i % blocks;
      const int64_t row_end = std::min(end, (s + 1) * blocks);  // the run may begin and end inside rows
      const int64_t from = b * kMaxBlock, to = std::min(logits.cols, (b + row_end - i) * kMaxBlock);
      kernels_.block_max(maxima + i, logits.slice_rows(s, 1).as<const float>() + from, to - from);
      i = row_end;
    }
  });
  return maxima;
}

void CpuOps::shard_maxima(uint32_t* maxima, TensorView logits) {
  check_float32("shard_maxima", "logits", logits);
  check_shape("shard_maxima", "logits", logits, logits.rows, logits.cols);
  const float* blocks = block_maxima(logits);
  for (int64_t s = 0; s < logits.rows; ++s) {
    const Row row{logits.slice_rows(s, 1).as<const float>(), logits.cols, blocks + s * num_blocks(logits.cols)};
    maxima[s] = logits.cols > 0 ? ordered_bits(row.max()) : 0;
  }
}

void CpuOps::begin_search(ThresholdSearch* search, const uint32_t* maxima, int32_t num_shards, int32_t num_rows) {
  for (int32_t s = 0; s < num_rows; ++s) {
    uint32_t top = 0;
    for (int32_t shard = 0; shard < num_shards; ++shard) top = std::max(top, maxima[shard * num_rows + s]);
    search[s] = ThresholdSearch{};
    search[s].top = from_ordered_bits(top);
  }
}

void CpuOps::weigh_digits(uint64_t* weights, TensorView logits, const ThresholdSearch* search, const SamplingRow* rows,
                          TokenFilter filter, int32_t digit) {
  check_float32("weigh_digits", "logits", logits);
  check_shape("weigh_digits", "logits", logits, logits.rows, logits.cols);
  const float* maxima = block_maxima(logits);
  const int64_t parts = parts_of_row(logits);
  std::vector<DigitWeights> partial(static_cast<size_t>(logits.rows * parts));
  pool_.parallel_items(logits.rows * parts, pool_.threads(), [&](int, int64_t i) {
    const int64_t s = i / parts;
    if (!searches(search[s], rows[s], filter)) return;
    const Row row = part_of_row(logits, maxima, s, i % parts, parts);
    partial[static_cast<size_t>(i)] = weights_of(row, kernels_, search[s], rows[s], filter, digit);
  });
  std::fill_n(weights, logits.rows * kSearchDigitValues, uint64_t{0});
  for (int64_t i = 0; i < logits.rows * parts; ++i) {
    uint64_t* const sum = weights + i / parts * kSearchDigitValues;
    for (size_t value = 0; value < kSearchDigitValues; ++value) sum[value] += partial[static_cast<size_t>(i)][value];
  }
}

void CpuOps::choose_digits(ThresholdSearch* search, const uint64_t* weights, int32_t num_shards, int32_t num_rows,
                           const SamplingRow* rows, TokenFilter filter, int32_t digit) {
  for (int32_t s = 0; s < num_rows; ++s) {
    if (!searches(search[s], rows[s], filter)) continue;
    DigitWeights sum{};
    for (int64_t shard = 0; shard < num_shards; ++shard) {
      const uint64_t* const of_shard = weights + (shard * num_rows + s) * kSearchDigitValues;
      for (size_t value = 0; value < kSearchDigitValues; ++value) sum[value] += of_shard[value];
    }
    if (digit == 0) search[s].target = target_of(rows[s], filter, std::accumulate(sum.begin(), sum.end(), uint64_t{0}));
    // The lowest that has weight and less than the target above it.
    uint32_t found = 0;
    uint64_t above = search[s].above, found_above = above;
    for (uint32_t value = kSearchDigitValues; value-- > 0 && above < search[s].target;) {
      if (sum[value] == 0) continue;
      found = value;
      found_above = above;
      above += sum[value];
    }
    found_digit(search[s], found, found_above, digit);
  }
}

void CpuOps::end_search(float* threshold, const ThresholdSearch* search, int32_t num_rows, const SamplingRow* rows) {
  for (int32_t s = 0; s < num_rows; ++s) threshold[s] = threshold_of(search[s], rows[s]);
}

void CpuOps::sample_candidates(Candidate* out, TensorView logits, int64_t vocab_begin, const float* threshold,
                               const SamplingRow* rows) {
  check_float32("sample_candidates", "logits", logits);
  check_shape("sample_candidates", "logits", logits, logits.rows, logits.cols);
  const float* maxima = block_maxima(logits);
  const int64_t parts = parts_of_row(logits);
  std::vector<Candidate> partial(static_cast<size_t>(logits.rows * parts));
  pool_.parallel_items(logits.rows * parts, pool_.threads(), [&](int, int64_t i) {
    const int64_t s = i / parts;
    const Row row = part_of_row(logits, maxima, s, i % parts, parts);
    const int64_t begin = vocab_begin + (row.x - logits.slice_rows(s, 1).as<const float>());
    partial[static_cast<size_t>(i)] = best_candidate(row, begin, threshold ? threshold[s] : kLowest, rows[s]);
  });
  for (int64_t s = 0; s < logits.rows; ++s) out[s] = best_of(partial.data() + s * parts, parts, 1);
}

Candidate CpuOps::best_of(const Candidate* candidates, int64_t n, int64_t stride) {
  Candidate best{kLowest, -1};
  for (int64_t i = 0; i < n; ++i) {
    const Candidate& c = candidates[i * stride];
    if (c.token < 0 || std::isnan(c.value)) continue;
    if (best.token < 0) {
      best = c;
    } else {
      improve(best, c.value, c.token);
    }
  }
  return best;
}

void CpuOps::choose_tokens(int32_t* tokens, int32_t* last_token, const Candidate* candidates, int32_t num_shards,
                           int32_t num_rows, const SamplingRow* rows) {
  for (int32_t s = 0; s < num_rows; ++s) {
    tokens[s] = best_of(candidates + s, num_shards, num_rows).token;
    if (rows[s].slot >= 0) last_token[rows[s].slot] = tokens[s];
  }
}

void CpuOps::logprobs(LogprobResult* results, TensorView full, const int32_t* tokens, const LogprobRequest* requests, int32_t n) {
  check_float32("logprobs", "full", full);
  check_shape("logprobs", "full", full, full.rows, full.cols);
  for (int32_t i = 0; i < n; ++i) {
    check(requests[i].row >= 0 && requests[i].row < full.rows, "logprobs: request {} is for row {} of {}", i, requests[i].row,
          full.rows);
    check(requests[i].count >= 0 && requests[i].count <= kMaxTopLogprobs, "logprobs: request {} wants the best {}, at most {}", i,
          requests[i].count, kMaxTopLogprobs);
  }
  if (n == 0) return;
  const float* maxima = block_maxima(full);
  pool_.parallel_items(n, pool_.threads(), [&](int, int64_t i) {
    const LogprobRequest& request = requests[i];
    const Row row{full.slice_rows(request.row, 1).as<const float>(), full.cols, maxima + request.row * num_blocks(full.cols)};
    const float max = row.max();
    const double log_sum = std::log(kernels_.sum_exp(row.x, max, 1.0f, row.n));  // NaN if a logit is
    const auto logprob = [&](float x) { return static_cast<float>(static_cast<double>(x) - max - log_sum); };
    LogprobResult& result = results[i];
    const int32_t chosen = tokens[request.row];
    result.chosen = chosen >= 0 && chosen < row.n ? logprob(row.x[chosen]) : kLowest;
    std::fill_n(result.top_logprob, kMaxTopLogprobs, kLowest);
    std::fill_n(result.top_token, kMaxTopLogprobs, -1);
    if (request.count == 0) return;
    const float bar = kth_largest(row, request.count);
    std::vector<Candidate> top;
    row.for_each_from(&bar, [&](int64_t token, float x) { top.push_back({x, static_cast<int32_t>(token)}); });
    const auto count = std::min<size_t>(top.size(), static_cast<size_t>(request.count));
    std::partial_sort(
        top.begin(), top.begin() + static_cast<std::ptrdiff_t>(count), top.end(),
        [](const Candidate& a, const Candidate& b) { return a.value > b.value || (a.value == b.value && a.token < b.token); });
    for (size_t j = 0; j < count; ++j) {
      result.top_logprob[j] = logprob(top[j].value);
      result.top_token[j] = top[j].token;
    }
  });
}

}  // namespace lockstep::cpu
