#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/random.h"
#include "kernels/threshold_search.h"
#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class Sampler {
 public:
  Sampler(Backend& backend) : backend_(backend) {}

  // tokens[S] chosen from logits cut into `shards` parts, and last_token in *last where given.
  std::vector<int32_t> sample(const HostTensor& logits, const std::vector<SamplingRow>& rows,
                              const std::vector<float>& thresholds, int64_t shards, std::vector<int32_t>* last = nullptr) {
    const auto s = static_cast<size_t>(logits.rows);
    Buffer drows = put(rows), dthreshold = put(thresholds), last_token = put(std::vector<int32_t>(s + 1, -7));
    Buffer tokens = put(std::vector<int32_t>(s, -9)),
           candidates(backend_, s * static_cast<size_t>(shards) * sizeof(Candidate), "test");
    for_each_shard(logits, shards, [&](int64_t i, int64_t begin, TensorView shard) {
      backend_.ops().sample_candidates(candidates.as<Candidate>() + i * logits.rows, shard, begin,
                                       thresholds.empty() ? nullptr : dthreshold.as<float>(), drows.as<SamplingRow>());
    });
    backend_.ops().choose_tokens(tokens.as<int32_t>(), last_token.as<int32_t>(), candidates.as<Candidate>(),
                                 static_cast<int32_t>(shards), static_cast<int32_t>(s), drows.as<SamplingRow>());
    if (last) *last = get<int32_t>(last_token, s + 1);
    return get<int32_t>(tokens, s);
  }

  // The threshold of each row, found over logits cut into `shards` parts.
  std::vector<float> thresholds(const HostTensor& logits, const std::vector<SamplingRow>& rows, int64_t shards) {
    const auto s = static_cast<size_t>(logits.rows), parts = static_cast<size_t>(shards);
    const auto num_rows = static_cast<int32_t>(logits.rows), num_shards = static_cast<int32_t>(shards);
    const Buffer drows = put(rows), maxima = put(std::vector<uint32_t>(parts * s, 77)),
                 weights = put(std::vector<uint64_t>(parts * s * kSearchDigitValues, 77)), found = put(std::vector<float>(s, 77)),
                 search = put(std::vector<ThresholdSearch>(s));
    Ops& ops = backend_.ops();
    for_each_shard(logits, shards, [&](int64_t i, int64_t, TensorView shard) {
      ops.shard_maxima(maxima.as<uint32_t>() + i * logits.rows, shard);
    });
    ops.begin_search(search.as<ThresholdSearch>(), maxima.as<uint32_t>(), num_shards, num_rows);
    for (const TokenFilter filter : {TokenFilter::kTopK, TokenFilter::kTopP}) {
      for (int32_t digit = 0; digit < kSearchDigits; ++digit) {
        for_each_shard(logits, shards, [&](int64_t i, int64_t, TensorView shard) {
          ops.weigh_digits(weights.as<uint64_t>() + i * logits.rows * kSearchDigitValues, shard, search.as<ThresholdSearch>(),
                           drows.as<SamplingRow>(), filter, digit);
        });
        ops.choose_digits(search.as<ThresholdSearch>(), weights.as<uint64_t>(), num_shards, num_rows, drows.as<SamplingRow>(),
                          filter, digit);
      }
    }
    ops.end_search(found.as<float>(), search.as<ThresholdSearch>(), num_rows, drows.as<SamplingRow>());
    return get<float>(found, s);
  }

 private:
  // f(i, first column, the columns on the device); a shard may be empty.
  template <typename F>
  void for_each_shard(const HostTensor& logits, int64_t shards, F f) {
    for (int64_t i = 0; i < shards; ++i) {
      const int64_t begin = logits.cols * i / shards, n = logits.cols * (i + 1) / shards - begin;
      std::vector<float> part;
      for (int64_t r = 0; r < logits.rows; ++r) {
        const auto row = logits.values.begin() + r * logits.cols + begin;
        part.insert(part.end(), row, row + n);
      }
      const Buffer device = put(part);
      f(i, begin, TensorView(device.data(), DType::kFloat32, logits.rows, n));
      backend_.synchronize();
    }
  }
  template <typename T>
  std::vector<T> get(const Buffer& buffer, size_t n) {
    std::vector<T> values(n);
    backend_.copy_to_host(values.data(), buffer.data(), n * sizeof(T));
    backend_.synchronize();
    return values;
  }
  template <typename T>
  Buffer put(const std::vector<T>& values) {
    Buffer buffer(backend_, std::max<size_t>(1, values.size()) * sizeof(T), "test");
    if (!values.empty()) backend_.copy_to_device(buffer.data(), values.data(), values.size() * sizeof(T));
    backend_.synchronize();
    return buffer;
  }
  Backend& backend_;
};

HostTensor matrix(const std::vector<std::vector<float>>& rows) {
  HostTensor t{DType::kFloat32, static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size()), {}};
  for (const auto& row : rows) t.values.insert(t.values.end(), row.begin(), row.end());
  return t;
}

std::vector<SamplingRow> rows_with(size_t n, float temperature) {
  std::vector<SamplingRow> rows(n);
  for (size_t s = 0; s < n; ++s) {
    rows[s].seed = 1234567 + 977 * s;
    rows[s].slot = static_cast<int32_t>(n - s);
    rows[s].output_index = static_cast<int32_t>(s % 5);
    rows[s].temperature = temperature;
  }
  return rows;
}

TEST_P(KernelTest, CountTokensOfAShard) {
  const DeviceArray<int32_t> counts = upload_array(std::vector<int32_t>(10, 0));
  const DeviceArray<int32_t> prompt = upload_array(std::vector<int32_t>{100, 105, 105, 109, 110, 99});
  const DeviceArray<int32_t> output = upload_array(std::vector<int32_t>{105, 103, 105, 3});
  ops().count_tokens(counts.data(), 100, 10, prompt.data(), 6, true);
  ops().count_tokens(counts.data(), 100, 10, output.data(), 4, false);
  std::vector<int32_t> expected(10, 0);
  expected[0] = expected[9] = kInPromptBit;
  expected[3] = 1;
  expected[5] = kInPromptBit + 2;
  EXPECT_EQ(download_array(counts.data(), 10), expected);
}

TEST_P(KernelTest, MasksWholeAndCut) {
  const int64_t vocab = 301, rows_n = 5, all_words = (vocab + 31) / 32;
  const HostTensor logits = random(DType::kFloat32, rows_n, vocab, 5.0f);
  std::vector<SamplingRow> rows = rows_with(static_cast<size_t>(rows_n), 1.0f);
  rows[0].mask_row = 2;
  rows[2].mask_row = 0;
  rows[3].mask_row = 2;  // rows may share a mask
  rows[4].mask_row = 1;
  std::vector<uint32_t> masks(static_cast<size_t>(3 * all_words));
  for (uint32_t& word : masks) word = static_cast<uint32_t>(rng_() & rng_());
  std::fill_n(masks.begin() + all_words, all_words, 0u);  // allows nothing
  const DeviceArray<SamplingRow> drows = upload_array(rows);
  for (const int64_t shards : {1, 3, 7}) {
    for (int64_t i = 0; i < shards; ++i) {
      const int64_t begin = vocab * i / shards, n = vocab * (i + 1) / shards - begin;
      const int64_t first = begin / 32, words = (begin + n + 31) / 32 - first;
      HostTensor part{DType::kFloat32, rows_n, n, {}};
      std::vector<uint32_t> part_masks;
      for (int64_t r = 0; r < rows_n; ++r) {
        for (int64_t c = 0; c < n; ++c) part.values.push_back(logits.at(r, begin + c));
      }
      for (int64_t m = 0; m < 3; ++m) {
        const auto row = masks.begin() + m * all_words + first;
        part_masks.insert(part_masks.end(), row, row + words);
      }
      const DeviceTensor device = upload(part);
      const DeviceArray<uint32_t> dmasks = upload_array(part_masks);
      ops().apply_masks(device.view, begin, drows.data(), dmasks.data(), words);
      const std::vector<float> found = download_array(static_cast<const float*>(device.view.data), part.values.size());
      for (int64_t r = 0; r < rows_n; ++r) {
        const int32_t m = rows[static_cast<size_t>(r)].mask_row;
        for (int64_t c = 0; c < n; ++c) {
          const int64_t token = begin + c;
          const bool allowed = m < 0 || (masks[static_cast<size_t>(m * all_words + token / 32)] >> (token % 32) & 1) != 0;
          ASSERT_EQ(found[static_cast<size_t>(r * n + c)], allowed ? logits.at(r, token) : -kInf)
              << "row " << r << ", token " << token << ", " << shards << " shards";
        }
      }
    }
  }
}

TEST_P(KernelTest, ProcessLogitsWholeAndCut) {
  const int64_t vocab = 301;
  const HostTensor logits = random(DType::kFloat32, 4, vocab, 5.0f);
  std::vector<SamplingRow> rows = rows_with(4, 1.0f);
  const std::vector<int32_t> last_token = {0, 17, 299, 150, 3};
  rows[0].penalty_row = 1;
  rows[0].repetition_penalty = 1.3f;
  rows[0].output_index = 2;
  rows[2].penalty_row = 0;
  rows[2].repetition_penalty = 0.8f;
  rows[2].presence_penalty = 0.7f;
  rows[2].frequency_penalty = 0.4f;
  rows[2].output_index = 0;  // nothing to count yet
  rows[3].penalty_row = 2;
  rows[3].frequency_penalty = -0.5f;
  rows[3].output_index = 9;
  const std::vector<LogitEdit> edits = {{5, -kInf}, {300, 2.5f}, {0, -1.0f}, {200, -kInf}, {200, 10.0f}};
  rows[0].edit_end = 3;
  rows[1].edit_begin = 3;
  rows[1].edit_end = 5;
  std::vector<int32_t> counts(static_cast<size_t>(3 * vocab), 0);
  for (int32_t& c : counts) {
    if (rng_() % 4 == 0) c = static_cast<int32_t>(rng_() % 3) + (rng_() % 2 ? kInPromptBit : 0);
  }
  Doubles expected;
  std::vector<int32_t> counted = counts;
  for (int64_t s = 0; s < 4; ++s) {
    std::vector<int32_t> row_counts(static_cast<size_t>(vocab));
    const int32_t p = rows[static_cast<size_t>(s)].penalty_row;
    if (p >= 0) row_counts.assign(counts.begin() + p * vocab, counts.begin() + (p + 1) * vocab);
    const Doubles row =
        process_logits_reference(logits.rows_of(s, 1).values, rows[static_cast<size_t>(s)], edits, row_counts, last_token);
    expected.insert(expected.end(), row.begin(), row.end());
    if (p >= 0) std::copy(row_counts.begin(), row_counts.end(), counted.begin() + p * vocab);
  }
  const DeviceArray<SamplingRow> drows = upload_array(rows);
  const DeviceArray<LogitEdit> dedits = upload_array(edits);
  const DeviceArray<int32_t> dlast = upload_array(last_token);
  for (const int64_t shards : {1, 3}) {
    HostTensor joined{DType::kFloat32, 4, vocab, std::vector<float>(static_cast<size_t>(4 * vocab), kNaN)};
    for (int64_t i = 0; i < shards; ++i) {
      const int64_t begin = vocab * i / shards, n = vocab * (i + 1) / shards - begin;
      HostTensor part{DType::kFloat32, 4, n, {}};
      std::vector<int32_t> part_counts, part_expected;
      for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < n; ++c) part.values.push_back(logits.at(r, begin + c));
      }
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          part_counts.push_back(counts[static_cast<size_t>(r * vocab + begin + c)]);
          part_expected.push_back(counted[static_cast<size_t>(r * vocab + begin + c)]);
        }
      }
      const DeviceTensor device = upload(part);
      const DeviceArray<int32_t> dcounts = upload_array(part_counts);
      ops().process_logits(device.view, begin, drows.data(), dedits.data(), dcounts.data(), dlast.data());
      const HostTensor result = download(device);
      for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < n; ++c) joined.at(r, begin + c) = result.at(r, c);
      }
      EXPECT_EQ(download_array(dcounts.data(), part_counts.size()), part_expected) << "shard " << i << " of " << shards;
    }
    Doubles finite = expected;
    for (size_t i = 0; i < finite.size(); ++i) {
      if (std::isinf(finite[i])) {
        EXPECT_EQ(joined.values[i], finite[i]) << "element " << i;
        joined.values[i] = 0.0f;
        finite[i] = 0.0;
      }
    }
    expect_close(joined, finite, {1e-6, 1e-6}, fmt::format("process_logits, {} shards", shards));
  }
}

TEST_P(KernelTest, ThresholdsKeepWhatTransformersKeeps) {
  struct Filter {
    float temperature;
    int32_t top_k;
    float top_p, min_p;
  };
  const std::vector<Filter> filters = {{1.0f, 0, 1.0f, 0.0f},    {0.0f, 3, 0.5f, 0.1f},  {1.0f, 1, 1.0f, 0.0f},
                                       {0.7f, 40, 1.0f, 0.0f},   {1.0f, 0, 0.9f, 0.0f},  {1.5f, 0, 0.37f, 0.0f},
                                       {1.0f, 0, 0.0f, 0.0f},    {1.0f, 0, 1.0f, 0.05f}, {2.0f, 0, 1.0f, 0.3f},
                                       {0.8f, 50, 0.95f, 0.02f}, {1.3f, 7, 0.8f, 0.2f},  {1.0f, 5000, 0.99f, 0.0f},
                                       {0.3f, 0, 0.999f, 1e-4f}, {1.0f, 0, 1.0f, 1.0f}};
  for (const int64_t vocab : {1, 5, 64, 65, 1000, 9001}) {
    for (const float spread : {0.01f, 1.0f, 12.0f}) {
      HostTensor logits = random(DType::kFloat32, static_cast<int64_t>(filters.size()), vocab, spread);
      if (vocab == 1000) {
        for (float& x : logits.values) x = std::round(x * 4.0f) / 4.0f;  // ties
        for (int64_t r = 0; r < logits.rows; ++r) logits.at(r, 13) = kNaN;
        for (int64_t r = 0; r < logits.rows; ++r) logits.at(r, 14) = -kInf;
      }
      std::vector<SamplingRow> rows = rows_with(filters.size(), 1.0f);
      for (size_t s = 0; s < filters.size(); ++s) {
        rows[s].temperature = filters[s].temperature;
        rows[s].top_k = filters[s].top_k;
        rows[s].top_p = filters[s].top_p;
        rows[s].min_p = filters[s].min_p;
      }
      const std::vector<float> thresholds = Sampler(backend()).thresholds(logits, rows, 1);
      for (const int64_t shards : {2, 3, 8}) {
        EXPECT_EQ(Sampler(backend()).thresholds(logits, rows, shards), thresholds) << shards << " shards of " << vocab;
      }
      for (size_t s = 0; s < filters.size(); ++s) {
        const std::vector<float> row = logits.rows_of(static_cast<int64_t>(s), 1).values;
        const double expected = threshold_reference(row, rows[s]);
        int64_t kept = 0, kept_expected = 0;
        for (float x : row) {
          kept += x >= thresholds[s];
          kept_expected += x >= expected;
        }
        EXPECT_FALSE(std::isnan(thresholds[s]));
        EXPECT_EQ(kept, kept_expected) << fmt::format(
            "vocab={} spread={} temperature={} top_k={} top_p={} min_p={}: {} against {}", vocab, spread, filters[s].temperature,
            filters[s].top_k, filters[s].top_p, filters[s].min_p, thresholds[s], expected);
      }
    }
  }
}

TEST_P(KernelTest, TopKAmongZerosAndTheSmallestNumbers) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> values = {-kInf, -3.0f, -1e-20f,   -4 * kTiny, -kTiny, -0.0f,
                                     0.0f,  kTiny, 2 * kTiny, 1e-38f,     0.5f,   100.0f};
  HostTensor logits{DType::kFloat32, 7, 0, {}};
  const std::vector<int32_t> ks = {1, 7, 35, 36, 70, 71, 99};
  const int64_t copies = 9;
  for (size_t r = 0; r < ks.size(); ++r) {
    std::vector<float> row;
    for (int64_t i = 0; i < copies; ++i) row.insert(row.end(), values.begin(), values.end());
    std::shuffle(row.begin(), row.end(), rng_);
    logits.values.insert(logits.values.end(), row.begin(), row.end());
    logits.cols = static_cast<int64_t>(row.size());
  }
  std::vector<SamplingRow> rows = rows_with(ks.size(), 1.0f);
  for (size_t s = 0; s < ks.size(); ++s) rows[s].top_k = ks[s];
  for (const int64_t shards : {1, 3}) {
    const std::vector<float> thresholds = Sampler(backend()).thresholds(logits, rows, shards);
    for (size_t s = 0; s < ks.size(); ++s) {
      const double expected = threshold_reference(logits.rows_of(static_cast<int64_t>(s), 1).values, rows[s]);
      EXPECT_EQ(static_cast<double>(thresholds[s]), expected) << "top_k " << ks[s] << ", " << shards << " shards";
    }
  }
}

TEST_P(KernelTest, GreedyTakesTheLowestOfEqualsAndNeverNaN) {
  std::vector<std::vector<float>> rows(6, std::vector<float>(200, 0.0f));
  for (auto& row : rows) {
    for (float& x : row) x = -1.0f - static_cast<float>(rng_() % 1000) / 100.0f;
  }
  rows[0][77] = rows[0][150] = rows[0][199] = 3.0f;
  rows[1].assign(200, 0.25f);
  rows[2][0] = rows[2][120] = kNaN;
  rows[2][121] = 1.0f;
  rows[3].assign(200, -kInf);
  rows[4].assign(200, kNaN);
  rows[5].assign(200, -kInf);
  rows[5][199] = -80.0f;
  const std::vector<int32_t> expected = {77, 0, 121, -1, -1, 199};
  for (const int64_t shards : {1, 2, 3, 7}) {
    std::vector<int32_t> last;
    EXPECT_EQ(Sampler(backend()).sample(matrix(rows), rows_with(6, 0.0f), {}, shards, &last), expected) << shards << " shards";
    EXPECT_EQ(last[0], -7) << "a slot that no row has";
    for (size_t s = 0; s < 6; ++s) EXPECT_EQ(last[6 - s], expected[s]);
  }
}

TEST_P(KernelTest, SampledTokenIsTheBestNoisyLogit) {
  const int64_t vocab = 5003;
  for (const float temperature : {0.3f, 1.0f, 2.5f}) {
    HostTensor logits = random(DType::kFloat32, 12, vocab, 6.0f);
    for (int64_t r = 0; r < 12; ++r) {
      logits.at(r, 11) = kNaN;
      logits.at(r, 12) = -kInf;
    }
    const std::vector<SamplingRow> rows = rows_with(12, temperature);
    const std::vector<int32_t> tokens = Sampler(backend()).sample(logits, rows, {}, 1);
    for (int64_t s = 0; s < 12; ++s) {
      const SamplingRow& row = rows[static_cast<size_t>(s)];
      const auto noisy = [&](int64_t i) {
        const double u = sample_uniform(row.seed, row.output_index, static_cast<int32_t>(i));
        return logits.at(s, i) / static_cast<double>(temperature) - std::log(-std::log(u));
      };
      double best = -1e30;
      for (int64_t i = 0; i < vocab; ++i) best = noisy(i) > best ? noisy(i) : best;
      ASSERT_GE(tokens[static_cast<size_t>(s)], 0);
      EXPECT_NEAR(noisy(tokens[static_cast<size_t>(s)]), best, 1e-4) << "row " << s << " temperature " << temperature;
    }
    for (const int64_t shards : {2, 3, 5, 8}) {
      EXPECT_EQ(Sampler(backend()).sample(logits, rows, {}, shards), tokens) << shards << " shards";
    }
  }
}

TEST_P(KernelTest, SampledTokensRespectTheThreshold) {
  const HostTensor logits = random(DType::kFloat32, 50, 400, 1.0f);
  const std::vector<float> thresholds(50, 0.95f);
  const std::vector<int32_t> tokens = Sampler(backend()).sample(logits, rows_with(50, 5.0f), thresholds, 3);
  for (int64_t s = 0; s < 50; ++s) {
    const int32_t token = tokens[static_cast<size_t>(s)];
    ASSERT_GE(token, 0) << "row " << s;
    EXPECT_GE(logits.at(s, token), 0.95f) << "row " << s;
  }
  const std::vector<float> none(50, 2.0f);
  EXPECT_EQ(Sampler(backend()).sample(logits, rows_with(50, 5.0f), none, 2), std::vector<int32_t>(50, -1));
}

TEST_P(KernelTest, SampledFrequenciesFollowTheSoftmax) {
  const int64_t vocab = 12, draws = 6000;
  const std::vector<float> one = random(DType::kFloat32, 1, vocab, 2.0f).values;
  HostTensor logits{DType::kFloat32, draws, vocab, {}};
  for (int64_t i = 0; i < draws; ++i) logits.values.insert(logits.values.end(), one.begin(), one.end());
  const std::vector<int32_t> tokens = Sampler(backend()).sample(logits, rows_with(static_cast<size_t>(draws), 0.8f), {}, 2);
  std::vector<float> scaled;
  for (float x : one) scaled.push_back(x / 0.8f);
  const Doubles logprobs = log_softmax_reference(scaled);
  std::vector<double> observed(static_cast<size_t>(vocab), 0.0);
  for (int32_t t : tokens) {
    ASSERT_TRUE(t >= 0 && t < vocab);
    observed[static_cast<size_t>(t)] += 1.0;
  }
  double chi_square = 0.0;
  for (size_t i = 0; i < observed.size(); ++i) {
    const double expected = std::exp(logprobs[i]) * static_cast<double>(draws);
    EXPECT_GT(expected, 5.0);
    chi_square += (observed[i] - expected) * (observed[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 37.4) << "11 degrees of freedom: exceeded once in 10,000 if the frequencies are right";
}

TEST_P(KernelTest, LogprobsAgreeWithDouble) {
  for (const int64_t vocab : {3, 64, 1000, 4097}) {
    HostTensor logits = random(DType::kFloat32, 3, vocab, 9.0f);
    logits.at(1, 1) = logits.at(1, 2) = 10.0f;  // equal and best
    const std::vector<int32_t> tokens = {2, 0, 1};
    const std::vector<LogprobRequest> requests = {{2, 0}, {1, kMaxTopLogprobs}, {0, 2}};
    const DeviceTensor device = upload(logits);
    const DeviceArray<int32_t> dtokens = upload_array(tokens);
    const DeviceArray<LogprobRequest> drequests = upload_array(requests);
    const DeviceArray<LogprobResult> out = upload_array(std::vector<LogprobResult>(3));
    ops().logprobs(out.data(), device.view, dtokens.data(), drequests.data(), 3);
    const std::vector<LogprobResult> results = download_array(out.data(), 3);
    for (size_t i = 0; i < 3; ++i) {
      const Doubles expected = log_softmax_reference(logits.rows_of(requests[i].row, 1).values);
      const auto row = static_cast<size_t>(requests[i].row);
      EXPECT_NEAR(results[i].chosen, expected[static_cast<size_t>(tokens[row])], 1e-5) << "vocab " << vocab << " request " << i;
      std::vector<int32_t> order(static_cast<size_t>(vocab));
      for (size_t j = 0; j < order.size(); ++j) order[j] = static_cast<int32_t>(j);
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return expected[static_cast<size_t>(a)] > expected[static_cast<size_t>(b)]; });
      for (int64_t j = 0; j < std::min<int64_t>(requests[i].count, vocab); ++j) {
        EXPECT_EQ(results[i].top_token[j], order[static_cast<size_t>(j)]) << "vocab " << vocab << " place " << j;
        EXPECT_NEAR(results[i].top_logprob[j], expected[static_cast<size_t>(order[static_cast<size_t>(j)])], 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::test
