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
