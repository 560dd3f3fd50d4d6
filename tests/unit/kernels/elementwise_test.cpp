// Embedding, norms, rotary embedding, activation, copies and weights.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "kernels/random.h"
#include "unit/kernels/reference.h"

namespace lockstep::test {
namespace {

const std::vector<int64_t> kWidths = {1, 5, 16, 33, 64, 576, 4096};

TEST_P(KernelTest, EmbeddingOfAShard) {
  for (const int64_t hidden : {1, 7, 64, 576}) {
    const HostBatch batch = make_batch({{1, 1}, {5, 9}, {40, 40}}, 16, 60, rng_);
    const DeviceBatch device(backend(), batch);
    const HostTensor table = random(dtype(), 23, hidden);
    const DeviceTensor dtable = upload(table), out = poisoned(DType::kFloat32, batch.num_tokens(), hidden);
    ops().embedding(out.view, dtable.view, 20, device.view);
    Doubles expected;
    int64_t inside = 0;
    for (int32_t id : batch.token_ids) {
      const bool here = id >= 20 && id < 43;
      inside += here;
      for (int64_t c = 0; c < hidden; ++c) expected.push_back(here ? table.at(id - 20, c) : 0.0);
    }
    EXPECT_GT(inside, 0);
    EXPECT_LT(inside, batch.num_tokens());
    expect_close(download(out), expected, {0.0, 0.0}, fmt::format("embedding hidden={}", hidden));
  }
  const HostBatch batch = make_batch({{2, 2}}, 16, 10, rng_);
  const DeviceBatch device(backend(), batch);
  const DeviceTensor none = poisoned(dtype(), 0, 8), out = poisoned(DType::kFloat32, 2, 8);
  ops().embedding(out.view, none.view, 10, device.view);
  expect_close(download(out), Doubles(16, 0.0), {0.0, 0.0}, "embedding of a rank without vocabulary");
}

TEST_P(KernelTest, ResolveTokensReplacesNegatives) {
  HostBatch batch = make_batch({{1, 5}, {3, 3}, {1, 2}}, 16, 100, rng_);
  batch.token_ids[0] = -1;
  batch.token_ids[4] = -1;
  const DeviceBatch device(backend(), batch);
  const DeviceArray<int32_t> last = upload_array(std::vector<int32_t>{1000, 1001, 1002, 1003, 1004});
  ops().resolve_tokens(device.view, last.data());
  std::vector<int32_t> expected = batch.token_ids;
  expected[0] = 1000 + batch.token_slot[0];
  expected[4] = 1000 + batch.token_slot[4];
  EXPECT_EQ(download_array(device.view.token_ids, expected.size()), expected);
}

TEST_P(KernelTest, RopeTableOfLargePositions) {
  for (const int64_t head_dim : {2, 6, 64, 128}) {
    HostBatch batch = make_batch({{70, 70}, {2, 4}}, 16, 10, rng_);
    batch.positions.back() = 131071;
    batch.positions[3] = 32767;
    const DeviceBatch device(backend(), batch);
    std::vector<float> inv_freq;
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim))));
    }
    const DeviceArray<float> dfreq = upload_array(inv_freq);
    const DeviceTensor out = poisoned(DType::kFloat32, batch.num_tokens(), head_dim);
    ops().rope_table(out.view, dfreq.data(), device.view);
    expect_close(download(out), rope_reference(batch.positions, inv_freq), {2e-7, 1e-6},
                 fmt::format("rope_table D={}", head_dim));
  }
}

TEST_P(KernelTest, RmsNormAgreesWithDouble) {
  for (const int64_t hidden : kWidths) {
    for (const int64_t tokens : {1, 3, 40}) {
      const HostTensor x = random(DType::kFloat32, tokens, hidden, 3.0f), weight = random(dtype(), 1, hidden);
      const DeviceTensor dx = upload(x), dw = upload(weight), out = poisoned(act(), tokens, hidden);
      ops().rms_norm(out.view, dx.view, dw.view, 1e-5f);
      expect_close(download(out), rms_norm_reference(to_doubles(x), hidden, weight, 1e-5), tolerance_of(act(), 1e-6),
                   fmt::format("rms_norm T={} H={}", tokens, hidden));
    }
  }
}

TEST_P(KernelTest, AddRmsNormAddsOnce) {
  for (const int64_t hidden : kWidths) {
    for (const int64_t tokens : {1, 3, 40}) {
      for (const bool with_bias : {false, true}) {
        for (const DType sum_dtype : {DType::kFloat32, act()}) {
          const std::string what = fmt::format("add_rms_norm T={} H={} bias={}", tokens, hidden, with_bias);
          const HostTensor residual = random(DType::kFloat32, tokens, hidden), sum = random(sum_dtype, tokens, hidden);
          const HostTensor bias = random(dtype(), 1, hidden), weight = random(dtype(), 1, hidden);
          const DeviceTensor dr = upload(residual), ds = upload(sum), db = upload(bias), dw = upload(weight);
          const DeviceTensor out = poisoned(act(), tokens, hidden);
          ops().add_rms_norm(out.view, dr.view, ds.view, with_bias ? db.view : TensorView(), dw.view, 1e-6f);
          Doubles expected = to_doubles(residual);
          for (size_t i = 0; i < expected.size(); ++i) {
            expected[i] += sum.values[i] + (with_bias ? bias.values[i % static_cast<size_t>(hidden)] : 0.0);
          }
          expect_close(download(dr), expected, {1e-6, 1e-6}, what + " residual");
          expect_close(download(out), rms_norm_reference(expected, hidden, weight, 1e-6), tolerance_of(act(), 2e-6), what);
        }
      }
    }
  }
}

TEST_P(KernelTest, SiluMulAgreesWithDouble) {
  for (const int64_t f : {1, 5, 33, 576, 5000}) {
    for (const int64_t tokens : {1, 3, 30}) {
      HostTensor gate_up = random(act(), tokens, 2 * f, 8.0f);
      if (f > 4) {
        gate_up.at(0, 0) = -100.0f;
        gate_up.at(0, 1) = 100.0f;
        gate_up.at(0, 2) = -0.0f;
      }
      const DeviceTensor in = upload(gate_up), out = poisoned(act(), tokens, f);
      ops().silu_mul(out.view, in.view);
      expect_close(download(out), silu_mul_reference(gate_up), tolerance_of(act(), 1e-6),
                   fmt::format("silu_mul T={} F={}", tokens, f));
    }
  }
  const DeviceTensor in = poisoned(act(), 3, 0), out = poisoned(act(), 3, 0);
  ops().silu_mul(out.view, in.view);
  EXPECT_THROW(ops().silu_mul(out.view, upload(random(act(), 3, 5)).view), Error);
}

TEST_P(KernelTest, GatherRowsCopiesBits) {
  const HostTensor x = random(act(), 9, 33);
  const std::vector<int32_t> rows = {8, 0, 3, 3};
  const DeviceTensor dx = upload(x), out = poisoned(act(), 4, 33);
  const DeviceArray<int32_t> drows = upload_array(rows);
  ops().gather_rows(out.view, dx.view, drows.data());
  Doubles expected;
  for (int32_t r : rows) {
    for (int64_t c = 0; c < 33; ++c) expected.push_back(x.at(r, c));
  }
  expect_close(download(out), expected, {0.0, 0.0}, "gather_rows");
}

TEST_P(KernelTest, NormRopeStoreChangesQKAndWritesTheCache) {
  struct Case {
    int32_t q_heads, kv_heads, head_dim;
    bool norm;
  };
  for (const auto [q_heads, kv_heads, head_dim, norm] : std::vector<Case>{{1, 1, 2, false},
                                                                          {3, 1, 6, true},
                                                                          {4, 2, 10, false},
                                                                          {9, 3, 64, false},
                                                                          {2, 2, 80, true},
                                                                          {5, 2, 96, false},
                                                                          {4, 1, 128, true},
                                                                          {2, 1, 256, false},
                                                                          {0, 0, 64, true},
                                                                          {2, 1, 64, true}}) {
    const std::string what = fmt::format("norm_rope_store Hq={} Hkv={} D={} norm={}", q_heads, kv_heads, head_dim, norm);
    const HostBatch batch = make_batch({{1, 18}, {20, 33}, {1, 1}}, 16, 10, rng_);
    const DeviceBatch device(backend(), batch);
    const HeadLayout heads{q_heads, kv_heads, head_dim, 3, 0};
    const int64_t tokens = batch.num_tokens(), width = (q_heads + 2 * kv_heads) * head_dim;
    const HostTensor qkv = random(act(), tokens, width), cos_sin = random(DType::kFloat32, tokens, head_dim);
    const HostTensor none{dtype(), 1, head_dim, {}};
    const HostTensor q_norm = norm ? random(dtype(), 1, head_dim) : none, k_norm = norm ? random(dtype(), 1, head_dim) : none;
    const DeviceTensor dqkv = upload(qkv), dcos = upload(cos_sin);
    const DeviceTensor dq = norm ? upload(q_norm) : DeviceTensor{}, dk = norm ? upload(k_norm) : DeviceTensor{};
    const DType kv_dtype = backend().kind() == DeviceKind::kCpu ? dtype() : act();
    const int64_t cache_rows = batch.num_blocks * kv_heads * batch.block_size;
    const DeviceTensor k = poisoned(kv_dtype, cache_rows, head_dim), v = poisoned(kv_dtype, cache_rows, head_dim);
    const PagedKv kv{k.view.data, v.view.data, kv_dtype, batch.num_blocks, kv_heads, batch.block_size, head_dim};
    ops().norm_rope_store(dqkv.view, heads, dq.view, dk.view, 1e-6f, dcos.view, device.view, kv);
    const Doubles expected = norm_rope_reference(qkv, heads, q_norm, k_norm, 1e-6, cos_sin);
    expect_close(download(dqkv), expected, tolerance_of(act(), 2e-6), what);

    const HostTensor k_cache = download(k), v_cache = download(v);
    std::set<int64_t> written;
    HostTensor k_rows{kv_dtype, 0, head_dim, {}}, v_rows = k_rows;
    Doubles k_expected, v_expected;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t place = batch.kv_index[static_cast<size_t>(t)];
        const int64_t row = (place / batch.block_size * kv_heads + h) * batch.block_size + place % batch.block_size;
        written.insert(row);
        for (int64_t i = 0; i < head_dim; ++i) {
          k_rows.values.push_back(k_cache.at(row, i));
          v_rows.values.push_back(v_cache.at(row, i));
          k_expected.push_back(expected[static_cast<size_t>(t * width + (q_heads + h) * head_dim + i)]);
          v_expected.push_back(expected[static_cast<size_t>(t * width + (q_heads + kv_heads + h) * head_dim + i)]);
        }
        ++k_rows.rows;
        ++v_rows.rows;
      }
    }
    expect_close(k_rows, k_expected, tolerance_of(kv_dtype, 2e-6), what + " keys in the cache");
    expect_close(v_rows, v_expected, tolerance_of(kv_dtype, 0.0), what + " values in the cache");
    for (int64_t row = 0; row < cache_rows; ++row) {
      if (!written.count(row)) {
        ASSERT_TRUE(std::isnan(k_cache.at(row, 0)) && std::isnan(v_cache.at(row, 0))) << what << ": wrote to row " << row;
      }
    }
  }
}

TEST_P(KernelTest, FillRandomDependsOnThePlaceInTheWholeTensor) {
  const int64_t full_rows = 20, full_cols = 1100;
  const DeviceTensor whole = poisoned(dtype(), full_rows, full_cols);
  ops().fill_random(whole.view, 77, 0.5f, 0, 0, full_cols);
  const HostTensor all = download(whole);
  HostTensor expected{dtype(), full_rows, full_cols, {}};
  for (int64_t i = 0; i < full_rows * full_cols; ++i) {
    expected.values.push_back(rounded(dtype(), dummy_weight(77, static_cast<uint64_t>(i), 0.5f)));
  }
  expect_close(all, to_doubles(expected), {0.0, 0.0}, "fill_random");
  const DeviceTensor part = poisoned(dtype(), 7, 500, 12);
  ops().fill_random(part.view, 77, 0.5f, 3, 400, full_cols);
  Doubles cut;
  for (int64_t r = 0; r < 7; ++r) {
    for (int64_t c = 0; c < 500; ++c) cut.push_back(all.at(r + 3, c + 400));
  }
  expect_close(download(part), cut, {0.0, 0.0}, "fill_random of a part");
}

TEST_P(KernelTest, FillAndCopies) {
  const DeviceTensor t = poisoned(dtype(), 5, 700, 4);
  ops().fill(t.view, 1.5f);
  expect_close(download(t), Doubles(3500, 1.5), {0.0, 0.0}, "fill");

  const HostTensor x = random(dtype(), 40, 3000);
  const DeviceTensor from = upload(x), to = poisoned(dtype(), 40, 3000), part = poisoned(dtype(), 40, 100, 28);
  backend().copy_on_device(to.view.data, from.view.data, x.values.size() * size_of(dtype()));
  expect_close(download(to), to_doubles(x), {0.0, 0.0}, "copy_on_device");
  const size_t element = size_of(dtype());
  backend().copy_2d_on_device(part.view.data, 128 * element, from.view.slice_cols(50, 100).data, 3000 * element, 100 * element,
                              40);
  Doubles expected;
  for (int64_t r = 0; r < 40; ++r) {
    for (int64_t c = 0; c < 100; ++c) expected.push_back(x.at(r, 50 + c));
  }
  expect_close(download(part), expected, {0.0, 0.0}, "copy_2d_on_device");
  backend().set_zero(to.view.data, x.values.size() * element);
  expect_close(download(to), Doubles(x.values.size(), 0.0), {0.0, 0.0}, "set_zero");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(to.view.data) % 256, 0u);
}

}  // namespace
}  // namespace lockstep::test
