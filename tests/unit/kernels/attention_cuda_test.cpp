// The shapes for which CUDA has kernels of its own: every compiled head_dim and those between, grouped heads of any number, pages
// of several sizes, contexts from one token to thousands, padded batches.
#include <algorithm>

#include "unit/kernels/attention_case.h"

namespace lockstep::test {
namespace {

class AttentionTest : public KernelTest {};

const std::vector<HeadLayout> kLayouts = {
    {7, 1, 128, 7, 0},    // a group that is not a power of two
    {6, 3, 128, 3, 2},    // a run that begins inside a group: 1 + 3 + 2 heads
    {16, 2, 128, 8, 0},   // full tiles of heads
    {10, 1, 128, 10, 0},  // more than a tile of heads
    {8, 2, 64, 4, 0},    {14, 2, 64, 7, 0}, {3, 1, 64, 7, 4},  {20, 1, 64, 20, 0},  // more than two tiles
    {3, 3, 80, 1, 0},    {5, 2, 96, 4, 3},  {4, 2, 256, 2, 0}, {9, 1, 256, 9, 0},
    {4, 2, 32, 2, 0},    {6, 3, 40, 2, 0},  {3, 1, 112, 3, 0}, {2, 2, 192, 1, 0},
};
constexpr int64_t kBlockSizes[] = {16, 32, 64, 128, 8, 256, 1, 24};

// Each layout meets each batch, with a different size of pages every time.
std::vector<AttentionCase> all_cases(const std::vector<std::vector<SequenceShape>>& batches) {
  std::vector<AttentionCase> cases;
  for (const HeadLayout& heads : kLayouts) {
    for (const std::vector<SequenceShape>& batch : batches) {
      cases.push_back({heads, kBlockSizes[cases.size() % std::size(kBlockSizes)], batch});
    }
  }
  return cases;
}

std::vector<SequenceShape> singles(std::mt19937& rng, int count, uint32_t longest) {
  std::vector<SequenceShape> batch;
  for (int i = 0; i < count; ++i) batch.push_back({1, static_cast<int32_t>(rng() % (longest + 1))});
  return batch;
}

// Query tokens [begin, end) of sequence s, by themselves.
HostBatch part_of(const HostBatch& batch, size_t s, int32_t begin, int32_t end) {
  HostBatch part = batch;
  const auto first = static_cast<size_t>(batch.query_start[s]);
  const auto cut = [&](auto& values) {
    values = {values.begin() + static_cast<ptrdiff_t>(first) + begin, values.begin() + static_cast<ptrdiff_t>(first) + end};
  };
  cut(part.token_ids), cut(part.positions), cut(part.token_slot), cut(part.kv_index);
  part.query_start = {0, end - begin};
  part.context_len = {part.positions.back() + 1};
  part.seq_slot = {batch.seq_slot[s]};
  return part;
}

TEST_P(KernelTest, BatchInvariantAttentionSeesNeitherNeighboursNorChunks) {
  if (backend().kind() != DeviceKind::kCuda) GTEST_SKIP() << "the CPU's attention has one order for all";
  const std::unique_ptr<Backend> invariant = make_cuda_backend(0, /*batch_invariant=*/true);
  for (const AttentionCase& c : all_cases({{{60, 60}, {1, 700}, {35, 130}, {1, 1}}})) {
    const HostBatch batch = make_batch(c.sequences, c.block_size, 10, rng_);
    const HeadLayout& heads = c.heads;
    const int64_t rows = batch.num_blocks * heads.kv_heads * c.block_size;
    const DeviceTensor k = upload(random(act(), rows, heads.head_dim, 2.0f)), v = upload(random(act(), rows, heads.head_dim));
    const PagedKv kv{k.view.data, v.view.data, act(), batch.num_blocks, heads.kv_heads, c.block_size, heads.head_dim};
    const DeviceTensor qkv = upload(operand(batch.num_tokens(), (heads.q_heads + 2 * heads.kv_heads) * heads.head_dim, 2.0f));
    const auto attention = [&](const HostBatch& some, TensorView rows_of_qkv) {
      const DeviceBatch device(backend(), some);
      const DeviceTensor out = poisoned(act(), some.num_tokens(), heads.q_heads * heads.head_dim);
      backend().synchronize();
      invariant->ops().attention(out.view, rows_of_qkv, heads, 0.1f, device.view, kv);
      invariant->synchronize();
      return download(out);
    };
    const HostTensor all = attention(batch, qkv.view);
    for (size_t s = 0; s < c.sequences.size(); ++s) {
      const int32_t first = batch.query_start[s], length = c.sequences[s].query_len;
      for (const auto& [begin, end] : {std::pair{0, length}, {0, 1}, {length / 2, length}, {length - 1, length}}) {
        const HostTensor alone = attention(part_of(batch, s, begin, end), qkv.view.slice_rows(first + begin, end - begin));
        EXPECT_EQ(alone.values, all.rows_of(first + begin, end - begin).values)
            << "D=" << heads.head_dim << ", sequence " << s << ", tokens " << begin << " to " << end;
      }
    }
  }
}

TEST_P(AttentionTest, OfSingleTokens) {
  const std::vector<std::vector<SequenceShape>> batches = {
      {{1, 1}}, {{1, 200}}, {{1, 16}, {1, 17}, {1, 0}, {1, 63}, {1, 64}, {1, 65}, {1, 1025}}, {{1, 3000}, {1, 5}}};
  for (const AttentionCase& c : all_cases(batches)) check_attention(c);
  check_attention({{7, 1, 128, 7, 0}, 16, {{1, 10000}}});
  check_attention({{4, 1, 64, 4, 0}, 64, {{1, 10000}, {1, 9999}}});
  check_attention({{14, 2, 64, 7, 0}, 16, singles(rng_, 300, 100)});
  check_attention({{8, 8, 64, 1, 0}, 16, singles(rng_, 80, 400)});
}

TEST_P(AttentionTest, OfSingleTokensWithRope) {
  const std::vector<std::vector<SequenceShape>> batches = {
      {{1, 1}}, {{1, 200}}, {{1, 16}, {1, 17}, {1, 0}, {1, 63}, {1, 64}, {1, 65}, {1, 1025}}, {{1, 3000}, {1, 5}}};
  bool norm = false;
  for (const AttentionCase& c : all_cases(batches)) check_rope_attention(c, norm = !norm);
  check_rope_attention({{7, 1, 128, 7, 0}, 16, {{1, 10000}}}, false);
  check_rope_attention({{14, 2, 64, 7, 0}, 16, singles(rng_, 300, 100)}, true);
}

TEST_P(AttentionTest, OfPrompts) {
  const std::vector<std::vector<SequenceShape>> batches = {
      {{40, 40}}, {{130, 300}}, {{5, 20}, {40, 40}, {1, 300}, {1, 0}, {33, 290}, {2, 2}, {128, 128}}};
  for (const AttentionCase& c : all_cases(batches)) check_attention(c);
  check_attention({{7, 1, 128, 7, 0}, 16, {{400, 400}}});
  check_attention({{7, 1, 128, 7, 0}, 64, {{100, 5000}}});  // a chunk after a long context
}

std::vector<KernelParam> half_params() {
  std::vector<KernelParam> params = params_for({"cuda"});
  std::erase_if(params, [](const KernelParam& p) { return p.dtype == DType::kFloat32; });
  return params;
}
INSTANTIATE_TEST_SUITE_P(Cuda, AttentionTest, ::testing::ValuesIn(half_params()), param_name);

}  // namespace
}  // namespace lockstep::test
