#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

// How far attention may be off: probabilities may be rounded to the activations' dtype on the way.
double attention_error(DType act) { return act == DType::kBFloat16 ? 8e-3 : act == DType::kFloat16 ? 1e-3 : 1e-5; }

struct Case {
  HeadLayout heads;
  int64_t block_size;
  std::vector<SequenceShape> sequences;
};

TEST_P(KernelTest, AttentionAgreesWithDouble) {
  const std::vector<SequenceShape> mixed = {{1, 1}, {1, 37}, {5, 20}, {40, 40}, {1, 300}, {33, 290}};
  const std::vector<Case> cases = {
      {{1, 1, 2, 1, 0}, 16, {{1, 1}, {3, 3}}},
      {{2, 2, 6, 1, 0}, 4, mixed},
      {{3, 1, 10, 3, 0}, 16, mixed},
      {{9, 3, 64, 3, 0}, 16, mixed},
      {{4, 2, 80, 2, 0}, 16, mixed},
      {{5, 2, 96, 4, 3}, 32, mixed},   // a run that begins inside a group: 1 + 4 heads
      {{6, 3, 128, 3, 2}, 16, mixed},  // 1 + 3 + 2
      {{5, 1, 256, 5, 0}, 8, mixed},
      {{3, 1, 64, 7, 4}, 16, mixed},
      {{7, 1, 64, 7, 0}, 1, mixed},
      {{12, 2, 32, 6, 0}, 16, {{1, 1030}}},  // one long context: chunks side by side
      {{2, 1, 64, 2, 0}, 16, {{200, 700}, {1, 511}, {1, 512}, {1, 513}, {256, 256}}},
  };
  for (const Case& c : cases) {
    const HostBatch batch = make_batch(c.sequences, c.block_size, 10, rng_);
    const DeviceBatch device(backend(), batch);
    const HeadLayout& heads = c.heads;
    const std::string what =
        fmt::format("attention Hq={} Hkv={} D={} group={} offset={} block={} S={}", heads.q_heads, heads.kv_heads, heads.head_dim,
                    heads.group, heads.offset, c.block_size, c.sequences.size());
    const int64_t width = (heads.q_heads + 2 * heads.kv_heads) * heads.head_dim;
    const int64_t cache_rows = batch.num_blocks * heads.kv_heads * c.block_size;
    const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
    const HostTensor qkv = operand(batch.num_tokens(), width, 2.0f);
    HostTensor k = random(kv_dtype, cache_rows, heads.head_dim, 2.0f), v = random(kv_dtype, cache_rows, heads.head_dim);
    // What no sequence has written may be anything.
    std::vector<bool> written(static_cast<size_t>(cache_rows), false);
    for (size_t s = 0; s < batch.seq_slot.size(); ++s) {
      for (int64_t p = 0; p < batch.context_len[s]; ++p) {
        const int64_t place = batch.place(static_cast<int64_t>(s), p);
        for (int64_t h = 0; h < heads.kv_heads; ++h) {
          const int64_t row = (place / c.block_size * heads.kv_heads + h) * c.block_size + place % c.block_size;
          written[static_cast<size_t>(row)] = true;
        }
      }
    }
    for (int64_t row = 0; row < cache_rows; ++row) {
      if (written[static_cast<size_t>(row)]) continue;
      for (int64_t i = 0; i < heads.head_dim; ++i) k.at(row, i) = v.at(row, i) = std::numeric_limits<float>::quiet_NaN();
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(heads.head_dim));
    const DeviceTensor dqkv = upload(qkv), dk = upload(k), dv = upload(v);
    const DeviceTensor out = poisoned(act(), batch.num_tokens(), heads.q_heads * heads.head_dim);
    const PagedKv kv{dk.view.data, dv.view.data, kv_dtype, batch.num_blocks, heads.kv_heads, c.block_size, heads.head_dim};
    ops().attention(out.view, dqkv.view, heads, scale, device.view, kv);
    const DType products = rounds_operands() ? DType::kBFloat16 : act();  // of probabilities with values
    expect_close(download(out), attention_reference(qkv, heads, scale, batch, k, v),
                 tolerance_of(act(), attention_error(products)), what);
  }
}

TEST_P(KernelTest, AttentionWithoutHeads) {
  const HostBatch batch = make_batch({{2, 2}}, 16, 10, rng_);
  const DeviceBatch device(backend(), batch);
  const DeviceTensor qkv = poisoned(act(), 2, 0), out = poisoned(act(), 2, 0);
  PagedKv kv;
  kv.dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
  kv.block_size = 16;
  kv.head_dim = 64;
  ops().attention(out.view, qkv.view, {0, 0, 64, 3, 0}, 0.125f, device.view, kv);
  backend().synchronize();
}

TEST_P(KernelTest, AttentionSurvivesLargeScores) {
  const HeadLayout heads{2, 1, 64, 2, 0};
  const HostBatch batch = make_batch({{4, 280}}, 16, 10, rng_);
  const DeviceBatch device(backend(), batch);
  const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
  const int64_t cache_rows = batch.num_blocks * 16;
  const HostTensor qkv = operand(4, 4 * 64, 30.0f), k = random(kv_dtype, cache_rows, 64, 30.0f),
                   v = random(kv_dtype, cache_rows, 64);
  const DeviceTensor dqkv = upload(qkv), dk = upload(k), dv = upload(v), out = poisoned(act(), 4, 128);
  const PagedKv kv{dk.view.data, dv.view.data, kv_dtype, batch.num_blocks, 1, 16, 64};
  ops().attention(out.view, dqkv.view, heads, 1.0f, device.view, kv);
  expect_close(download(out), attention_reference(qkv, heads, 1.0, batch, k, v), tolerance_of(act(), 1e-2),
               "attention, scores of thousands");
}

TEST_P(KernelTest, AttentionRefusesOtherShapes) {
  const HostBatch batch = make_batch({{2, 2}}, 16, 10, rng_);
  const DeviceBatch device(backend(), batch);
  const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
  const DeviceTensor qkv = upload(random(act(), 2, 4 * 64)), out = poisoned(act(), 2, 128);
  const DeviceTensor cache = poisoned(kv_dtype, batch.num_blocks * 16, 64);
  const PagedKv kv{cache.view.data, cache.view.data, kv_dtype, batch.num_blocks, 1, 16, 64};
  EXPECT_THROW(ops().attention(out.view, qkv.view, {3, 1, 64, 3, 0}, 1.0f, device.view, kv), Error);
  PagedKv other = kv;
  other.head_dim = 32;
  EXPECT_THROW(ops().attention(out.view, qkv.view, {2, 1, 64, 2, 0}, 1.0f, device.view, other), Error);
}

}  // namespace
}  // namespace lockstep::test
