#include "weights/verify.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/unit/weights/checkpoint_files.h"
#include "weights/safetensors.h"

namespace lockstep {
namespace {

using namespace lockstep::testing;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

void set(TestTensor& t, int64_t i, float x) {
  if (t.dtype == DType::kFloat32) {
    std::memcpy(t.bytes.data() + i * 4, &x, 4);
  } else {
    const uint16_t bits = t.dtype == DType::kBFloat16 ? float_to_bf16(x) : float_to_f16(x);
    std::memcpy(t.bytes.data() + i * 2, &bits, 2);
  }
}

TEST(FindNonFinite, CountsAndPlacesInEveryDtypeAndAcrossChunks) {
  std::mt19937 random(1);
  std::vector<TestTensor> tensors;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    const std::string name = format_dtype(dtype);
    tensors.push_back(random_tensor(name + " good", dtype, {40, 50}, random));
    tensors.push_back(random_tensor(name + " bad", dtype, {1500, 2001}, random));  // some chunks
    TestTensor& bad = tensors.back();
    set(bad, 7, -kInf);
    set(bad, 8, kNaN);
    set(bad, 1500 * 2001 - 1, kInf);
    set(bad, 2'200'000, -kNaN);
  }
  set(tensors[0], 0, std::numeric_limits<float>::max());
  set(tensors[0], 1, std::numeric_limits<float>::denorm_min());
  tensors.push_back({"numbers of no dtype that is loaded", DType::kInt32, {2}, std::string(8, '\xff')});
  tensors.push_back({"empty", DType::kFloat32, {0, 4}, ""});
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file(tensors));
  const auto source = open_safetensors(dir.path());
  for (const int threads : {1, 3, 8}) {
    int64_t last = -1, total = -1;
    const std::vector<NonFinite> found = find_non_finite(*source, threads, [&](int64_t done, int64_t all) {
      EXPECT_GE(done, last);
      last = done;
      total = all;
    });
    EXPECT_EQ(last, total);
    ASSERT_EQ(found.size(), 3u);
    for (const NonFinite& f : found) {
      EXPECT_TRUE(source->tensors()[f.tensor].name.ends_with("bad"));
      EXPECT_EQ(f.nans, 2);
      EXPECT_EQ(f.infinities, 2);
      EXPECT_EQ(f.first, 7);
      EXPECT_FALSE(f.first_is_nan);
    }
  }
}

TEST(FindNonFinite, AFileThatIsCutIsAnError) {
  std::mt19937 random(1);
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file({random_tensor("a", DType::kFloat32, {3000, 1000}, random)}));
  const auto source = open_safetensors(dir.path());
  std::filesystem::resize_file(dir / "model.safetensors", 5'000'000);
  EXPECT_NE(error_of([&] { find_non_finite(*source, 2, {}); }).find("cut"), std::string::npos);
}

TEST(CheckTiedHead, NamesTheFirstDifferenceWithinTheRanksRows) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  std::vector<TestTensor> tensors = random_checkpoint(config, DType::kBFloat16);
  const auto embedding =
      std::find_if(tensors.begin(), tensors.end(), [](const TestTensor& t) { return t.name.find("embed") != t.name.npos; });
  ASSERT_NE(embedding, tensors.end());
  // The head in another dtype, with the same numbers.
  TestTensor head{"lm_head.weight", DType::kFloat32, {101, 10}, std::string(101 * 10 * 4, '\0')};
  for (int64_t i = 0; i < 1010; ++i) set(head, i, element(embedding->bytes.data(), DType::kBFloat16, i));
  const auto errors = [&] {
    std::vector<TestTensor> all = tensors;
    all.push_back(head);
    const TempDir dir;
    write_file(dir / "model.safetensors", safetensors_file(all));
    const auto source = open_safetensors(dir.path());
    std::vector<std::string> out;
    for (int rank = 0; rank < 2; ++rank)
      out.push_back(error_of([&] { check_tied_head(make_partition(config, 2, rank), *source); }));
    return out;
  };
  EXPECT_EQ(errors(), std::vector<std::string>(2));
  const int64_t row = make_partition(config, 2, 1).share.vocab.begin;
  ASSERT_GT(row, 0);
  set(head, row * 10 + 3, 77.5f);
  const std::vector<std::string> found = errors();
  EXPECT_EQ(found[0], "");
  for (const std::string& part :
       {std::string("lm_head.weight"), std::string("77.5"), shape_text({row, 3}), std::string("tie_word_embeddings")}) {
    EXPECT_NE(found[1].find(part), std::string::npos) << part << " is missing in " << found[1];
  }
  config.tie_word_embeddings = false;
  EXPECT_EQ(errors(), std::vector<std::string>(2));
}

TEST(Coordinates, OfAnElement) {
  EXPECT_EQ(coordinates({4, 5, 6}, 0), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(coordinates({4, 5, 6}, 119), (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(coordinates({4, 5, 6}, 31), (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(coordinates({7}, 6), (std::vector<int64_t>{6}));
}

}  // namespace
}  // namespace lockstep
