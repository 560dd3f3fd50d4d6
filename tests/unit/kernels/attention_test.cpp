#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "unit/kernels/attention_case.h"
#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

// How far attention may be off: probabilities may be rounded to the activations' dtype on the way.
double attention_error(DType act) { return act == DType::kBFloat16 ? 8e-3 : act == DType::kFloat16 ? 1e-3 : 1e-5; }

std::string describe(const char* op, const AttentionCase& c) {
  const HeadLayout& heads = c.heads;
  return fmt::format("{} Hq={} Hkv={} D={} group={} offset={} block={} S={}", op, heads.q_heads, heads.kv_heads, heads.head_dim,
                     heads.group, heads.offset, c.block_size, c.sequences.size());
}

// Of `places` (block * block_size + offset), the rows of the cache that hold a KV head each.
std::vector<int64_t> cache_rows_of(const std::vector<int64_t>& places, const AttentionCase& c) {
  std::vector<int64_t> rows;
  for (const int64_t place : places) {
    for (int64_t h = 0; h < c.heads.kv_heads; ++h) {
      rows.push_back((place / c.block_size * c.heads.kv_heads + h) * c.block_size + place % c.block_size);
    }
  }
  return rows;
}

// What no sequence has written may be anything: it becomes NaN. Neither is what the last `unwritten` tokens are to write.
void poison_unwritten(HostTensor& k, HostTensor& v, const HostBatch& batch, const AttentionCase& c, int64_t unwritten) {
  std::vector<int64_t> places;
  for (size_t s = 0; s < batch.seq_slot.size(); ++s) {
    for (int64_t p = 0; p < batch.context_len[s] - unwritten; ++p) places.push_back(batch.place(static_cast<int64_t>(s), p));
  }
  std::vector<bool> written(static_cast<size_t>(k.rows), false);
  for (const int64_t row : cache_rows_of(places, c)) written[static_cast<size_t>(row)] = true;
  for (int64_t row = 0; row < k.rows; ++row) {
    if (written[static_cast<size_t>(row)]) continue;
    for (int64_t i = 0; i < k.cols; ++i) k.at(row, i) = v.at(row, i) = std::numeric_limits<float>::quiet_NaN();
  }
}

HostTensor at_rows(const HostTensor& t, const std::vector<int64_t>& rows) {
  HostTensor out{t.dtype, static_cast<int64_t>(rows.size()), t.cols, {}};
  for (const int64_t row : rows) {
    for (int64_t i = 0; i < t.cols; ++i) out.values.push_back(t.at(row, i));
  }
  return out;
}

}  // namespace

void KernelTest::check_attention(const AttentionCase& c) {
  const HostBatch batch = make_batch(c.sequences, c.block_size, 10, rng_);
  const DeviceBatch device(backend(), batch);
  const HeadLayout& heads = c.heads;
  const int64_t width = (heads.q_heads + 2 * heads.kv_heads) * heads.head_dim;
  const int64_t cache_rows = batch.num_blocks * heads.kv_heads * c.block_size;
  const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
  const HostTensor qkv = operand(batch.num_tokens(), width, 2.0f);
  HostTensor k = random(kv_dtype, cache_rows, heads.head_dim, 2.0f), v = random(kv_dtype, cache_rows, heads.head_dim);
  poison_unwritten(k, v, batch, c, 0);
  const float scale = 1.0f / std::sqrt(static_cast<float>(heads.head_dim));
  const DeviceTensor dqkv = upload(qkv), dk = upload(k), dv = upload(v);
  const DeviceTensor out = poisoned(act(), batch.num_tokens(), heads.q_heads * heads.head_dim);
  const PagedKv kv{dk.view.data, dv.view.data, kv_dtype, batch.num_blocks, heads.kv_heads, c.block_size, heads.head_dim};
  ops().attention(out.view, dqkv.view, heads, scale, device.view, kv);
  const DType products = rounds_operands() ? DType::kBFloat16 : act();  // of probabilities with values
  const HostTensor result = download(out);
  expect_close(result, attention_reference(qkv, heads, scale, batch, k, v), tolerance_of(act(), attention_error(products)),
               describe("attention", c));
  // The same again gives the same bits.
  const DeviceTensor second = poisoned(act(), batch.num_tokens(), heads.q_heads * heads.head_dim);
  ops().attention(second.view, dqkv.view, heads, scale, device.view, kv);
  EXPECT_EQ(download(second).values, result.values) << describe("attention", c);
}

void KernelTest::check_rope_attention(const AttentionCase& c, bool norm) {
  const HostBatch batch = make_batch(c.sequences, c.block_size, 10, rng_);
  ASSERT_EQ(batch.num_tokens(), static_cast<int64_t>(c.sequences.size()));
  const DeviceBatch device(backend(), batch);
  const HeadLayout& heads = c.heads;
  const int64_t d = heads.head_dim, width = (heads.q_heads + 2 * heads.kv_heads) * d;
  const int64_t cache_rows = batch.num_blocks * heads.kv_heads * c.block_size;
  const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
  const HostTensor qkv = random(act(), batch.num_tokens(), width, 2.0f), cos_sin = random(DType::kFloat32, batch.num_tokens(), d);
  const HostTensor none{dtype(), 1, d, {}};
  const HostTensor q_norm = norm ? random(dtype(), 1, d) : none, k_norm = norm ? random(dtype(), 1, d) : none;
  HostTensor k = random(kv_dtype, cache_rows, d, 2.0f), v = random(kv_dtype, cache_rows, d);
  poison_unwritten(k, v, batch, c, 1);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  const DeviceTensor dqkv = upload(qkv), dcos = upload(cos_sin), dk = upload(k), dv = upload(v);
  const DeviceTensor dq_norm = norm ? upload(q_norm) : DeviceTensor{}, dk_norm = norm ? upload(k_norm) : DeviceTensor{};
  const DeviceTensor out = poisoned(act(), batch.num_tokens(), heads.q_heads * d);
  const PagedKv kv{dk.view.data, dv.view.data, kv_dtype, batch.num_blocks, heads.kv_heads, c.block_size, d};
  ops().rope_attention(out.view, dqkv.view, heads, dq_norm.view, dk_norm.view, 1e-6f, dcos.view, scale, device.view, kv);

  // The cache: the new tokens' rows, and no other, have changed.
  const Doubles rotated = norm_rope_reference(qkv, heads, q_norm, k_norm, 1e-6, cos_sin);
  std::vector<int64_t> places;
  Doubles k_new, v_new;
  for (size_t t = 0; t < batch.kv_index.size(); ++t) {
    if (batch.kv_index[t] < 0) continue;
    places.push_back(batch.kv_index[t]);
    const double* key = rotated.data() + static_cast<int64_t>(t) * width + heads.q_heads * d;
    k_new.insert(k_new.end(), key, key + heads.kv_heads * d);
    v_new.insert(v_new.end(), key + heads.kv_heads * d, key + 2 * heads.kv_heads * d);
  }
  const std::vector<int64_t> new_rows = cache_rows_of(places, c);
  const HostTensor k_after = download(dk), v_after = download(dv);
  expect_close(at_rows(k_after, new_rows), k_new, tolerance_of(kv_dtype, 4e-6), describe("rope_attention: keys,", c));
  expect_close(at_rows(v_after, new_rows), v_new, tolerance_of(kv_dtype, 0.0), describe("rope_attention: values,", c));
  for (const int64_t row : new_rows) {
    for (int64_t i = 0; i < d; ++i) {
      k.at(row, i) = k_after.at(row, i);
      v.at(row, i) = v_after.at(row, i);
    }
  }
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  EXPECT_TRUE(std::equal(k.values.begin(), k.values.end(), k_after.values.begin(), same)) << describe("rope_attention", c);
  EXPECT_TRUE(std::equal(v.values.begin(), v.values.end(), v_after.values.begin(), same)) << describe("rope_attention", c);

  // The queries are rounded once rotated.
  HostTensor q = qkv;
  for (size_t i = 0; i < q.values.size(); ++i) q.values[i] = rounded(act(), static_cast<float>(rotated[i]));
  const DType products = rounds_operands() ? DType::kBFloat16 : act();
  expect_close(download(out), attention_reference(q, heads, scale, batch, k, v),
               tolerance_of(act(), 2 * attention_error(products)), describe("rope_attention", c));
}

namespace {

TEST_P(KernelTest, RopeAttentionIsBothOps) {
  const std::vector<SequenceShape> few = {{1, 1}, {1, 37}, {1, 300}, {1, 16}};
  check_rope_attention({{2, 2, 6, 1, 0}, 4, few}, false);
  check_rope_attention({{9, 3, 64, 3, 0}, 16, few}, true);
  check_rope_attention({{4, 2, 80, 2, 0}, 16, few}, false);
  check_rope_attention({{5, 2, 96, 4, 3}, 32, few}, true);
  check_rope_attention({{7, 1, 128, 7, 0}, 16, few}, false);
}

TEST_P(KernelTest, AttentionAgreesWithDouble) {
  const std::vector<SequenceShape> mixed = {{1, 1}, {1, 37}, {5, 20}, {40, 40}, {1, 300}, {33, 290}};
  const std::vector<AttentionCase> cases = {
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
  for (const AttentionCase& c : cases) check_attention(c);
}

// One token against contexts around the ends of blocks, of vectors of positions, of groups of them and of chunks, and prompts
// that end there, with one to eight queries to a key.
TEST_P(KernelTest, AttentionAtEdges) {
  std::vector<SequenceShape> edges;
  for (const int32_t context : {3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 320, 321}) {
    edges.push_back({1, context});
    edges.push_back({std::min<int32_t>(context, 9), context});
  }
  const std::vector<AttentionCase> cases = {
      {{1, 1, 64, 1, 0}, 16, edges},       {{3, 1, 34, 3, 0}, 16, edges},        {{7, 1, 80, 7, 0}, 8, edges},
      {{8, 1, 96, 8, 0}, 16, edges},       {{4, 2, 128, 2, 0}, 5, edges},        {{7, 2, 256, 8, 5}, 16, edges},
      {{9, 3, 64, 3, 0}, 16, {{1, 2050}}}, {{16, 2, 80, 8, 0}, 32, {{1, 1537}}},
  };
  for (const AttentionCase& c : cases) check_attention(c);
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
