// Loading: every rank of every tp gets exactly its elements, reads exactly its bytes, and whatever does not fit is refused by
// name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <thread>

#include "checkpoint_files.h"
#include "fake_backend.h"
#include "weights/coverage.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

namespace lockstep {
namespace {

using testing::element;
using testing::error_of;
using testing::FakeBackend;
using testing::random_checkpoint;
using testing::random_tensor;
using testing::safetensors_file;
using testing::TempDir;
using testing::TestTensor;
using testing::tiny_config;
using testing::write_file;

const TestTensor& tensor_named(const std::vector<TestTensor>& tensors, const std::string& name) {
  for (const TestTensor& t : tensors) {
    if (t.name == name) return t;
  }
  throw std::runtime_error("no tensor " + name);
}

TestTensor& tensor_named(std::vector<TestTensor>& tensors, const std::string& name) {
  return const_cast<TestTensor&>(tensor_named(std::as_const(tensors), name));
}

float rounded(float x, DType dtype) {
  if (dtype == DType::kBFloat16) return bf16_to_float(float_to_bf16(x));
  if (dtype == DType::kFloat16) return f16_to_float(float_to_f16(x));
  return x;
}

// Every element of every parameter is the checkpoint's, rounded.
void expect_loaded(const Weights& weights, const Partition& partition, const std::vector<TestTensor>& tensors) {
  int64_t compared = 0;
  for (const Piece& p : partition.pieces) {
    const TestTensor& t = tensor_named(tensors, p.tensor);
    const TensorView view = weights.get(partition.parameters[p.parameter].name);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(view.data) % 256, 0u);
    for (int64_t r = p.rows.begin; r < p.rows.end; ++r) {
      for (int64_t c = p.cols.begin; c < p.cols.end; ++c) {
        const bool vector = p.shape.size() == 1;
        const int64_t from = vector ? r : r * p.shape[1] + c;
        const int64_t row = vector ? 0 : p.to_row + r - p.rows.begin;
        const int64_t col = vector ? p.to_col + r - p.rows.begin : p.to_col + c - p.cols.begin;
        const float expected = rounded(element(t.bytes.data(), t.dtype, from), weights.dtype());
        ASSERT_EQ(element(view.data, view.dtype, row * view.stride + col), expected) << p.tensor << " [" << r << ", " << c << "]";
        ++compared;
      }
    }
  }
  ASSERT_EQ(compared, partition.elements());
}

struct Case {
  DeviceKind kind;
  DType checkpoint;
  DType weights;
};

class LoadEveryRank : public ::testing::TestWithParam<Case> {};

TEST_P(LoadEveryRank, HoldsItsElementsAndReadsItsBytes) {
  const Case& param = GetParam();
  const ModelConfig config = tiny_config();
  const std::vector<TestTensor> tensors = random_checkpoint(config, param.checkpoint);
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file(tensors));
  for (int tp = 1; tp <= 7; ++tp) {
    for (int rank = 0; rank < tp; ++rank) {
      SCOPED_TRACE(::testing::Message() << "rank " << rank << " of " << tp);
      FakeBackend backend(param.kind);
      const Partition partition = make_partition(config, tp, rank);
      Weights weights(backend, partition, param.weights);
      const LoadReport report = load_checkpoint(weights, partition, dir.path(), backend, {});
      ASSERT_NO_FATAL_FAILURE(expect_loaded(weights, partition, tensors));
      EXPECT_EQ(report.bytes_read, partition.checkpoint_bytes(size_of(param.checkpoint)));
      EXPECT_EQ(report.checkpoint_bytes, make_partition(config, 1, 0).checkpoint_bytes(size_of(param.checkpoint)));
      EXPECT_EQ(report.header_bytes + report.checkpoint_bytes,
                static_cast<int64_t>(std::filesystem::file_size(dir / "model.safetensors")));
      EXPECT_GT(report.seconds, 0.0);
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const std::vector<DType> dtypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    for (const DType checkpoint : dtypes) {
      for (const DType weights : dtypes) cases.push_back({kind, checkpoint, weights});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Weights, LoadEveryRank, ::testing::ValuesIn(all_cases()), [](const auto& info) {
  const Case& c = info.param;
  return fmt::format("{}_{}_as_{}", c.kind == DeviceKind::kCpu ? "InPlace" : "Staged", name_of(c.checkpoint), name_of(c.weights));
});

// A config whose tensors are larger than a chunk.
ModelConfig wide_config() {
  ModelConfig c = tiny_config();
  c.vocab_size = 14001;
  c.hidden_size = 320;
  c.intermediate_size = 30001;
  c.num_layers = 1;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = false;
  return c;
}

int64_t bytes_read_by_process() {
  std::ifstream io("/proc/self/io");
  std::string key;
  int64_t value = -1;
  while (io >> key >> value) {
    if (key == "rchar:") return value;
  }
  return -1;
}

TEST(LoadCheckpoint, SeveralChunksAndTheKernelsCountOfBytesRead) {
  if (bytes_read_by_process() < 0) GTEST_SKIP() << "no /proc/self/io here";
  const ModelConfig config = wide_config();
  std::vector<TestTensor> tensors = random_checkpoint(config, DType::kBFloat16);
  const TempDir dir;
  // Two shards and an index.
  const size_t half = tensors.size() / 2;
  const auto middle = tensors.begin() + static_cast<std::ptrdiff_t>(half);
  write_file(dir / "1.safetensors", safetensors_file({tensors.begin(), middle}));
  write_file(dir / "2.safetensors", safetensors_file({middle, tensors.end()}));
  std::string map;
  for (size_t i = 0; i < tensors.size(); ++i) {
    map += fmt::format(R"({}"{}":"{}.safetensors")", i ? "," : "", tensors[i].name, i < half ? 1 : 2);
  }
  write_file(dir / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");

  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) {
      for (const int tp : {1, 2}) {
        FakeBackend backend(kind);
        const Partition partition = make_partition(config, tp, tp - 1);
        Weights weights(backend, partition, dtype);
        const int64_t before = bytes_read_by_process();
        const LoadReport report = load_checkpoint(weights, partition, dir.path(), backend, {});
        const int64_t read = bytes_read_by_process() - before;
        ASSERT_NO_FATAL_FAILURE(expect_loaded(weights, partition, tensors));
        EXPECT_EQ(report.bytes_read, partition.checkpoint_bytes(2));
        EXPECT_GE(read, report.bytes_read + report.header_bytes);
        EXPECT_LE(read, report.bytes_read + report.header_bytes + 4096)
            << "more was read than is reported";  // 4096: /proc/self/io
        if (kind == DeviceKind::kCuda) {
          EXPECT_GT(backend.copies, static_cast<int>(partition.pieces.size()));
        }
      }
    }
  }
}

#if !defined(__SANITIZE_ADDRESS__)
int64_t memory_line(const std::string& name) {  // bytes
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    int64_t kib = 0;
    if (key == name && status >> kib) return kib * 1024;
  }
  return -1;
}

TEST(LoadCheckpoint, NeedsLittleMemoryBesidesThePartition) {
  ModelConfig config = wide_config();
  config.vocab_size = 120000;
  std::mt19937 random(1);
  const TempDir dir;
  {
    std::vector<TestTensor> tensors = random_checkpoint(wide_config(), DType::kBFloat16);
    for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
      TestTensor& t = tensor_named(tensors, name);
      t.shape[0] = config.vocab_size;
      t.bytes.resize(static_cast<size_t>(t.shape[0] * t.shape[1] * 2), '\1');
    }
    write_file(dir / "model.safetensors", safetensors_file(tensors));
  }
  FakeBackend backend(DeviceKind::kCpu);
  const Partition partition = make_partition(config, 2, 0);
  Weights weights(backend, partition, DType::kBFloat16);  // poisoned, so resident already
  const int64_t peak_before = memory_line("VmHWM:");
  const int64_t now = memory_line("VmRSS:");
  if (peak_before < 0 || now < 0) GTEST_SKIP() << "no /proc/self/status here";
  load_checkpoint(weights, partition, dir.path(), backend, {});
  const int64_t growth = std::max<int64_t>(0, memory_line("VmHWM:") - std::max(peak_before, now));
  EXPECT_LT(growth, int64_t{48} << 20) << "for a partition of " << weights.bytes();
}
#endif

std::string load_error(const ModelConfig& config, const std::vector<TestTensor>& tensors, DType dtype = DType::kFloat32,
                       int tp = 1, int rank = 0, DeviceKind kind = DeviceKind::kCpu) {
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file(tensors));
  FakeBackend backend(kind);
  const Partition partition = make_partition(config, tp, rank);
  Weights weights(backend, partition, dtype);
  return error_of([&] { load_checkpoint(weights, partition, dir.path(), backend, {}); });
}

void expect_in(const std::string& error, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(error.find(part), std::string::npos) << "no '" << part << "' in: " << error;
}

void drop(std::vector<TestTensor>& tensors, const std::string& name) {
  tensors.erase(std::remove_if(tensors.begin(), tensors.end(), [&](const TestTensor& t) { return t.name == name; }),
                tensors.end());
}

TEST(LoadCheckpoint, NamesMissingAndUnknownTensors) {
  std::vector<TestTensor> tensors = random_checkpoint(tiny_config(), DType::kFloat32);
  drop(tensors, "model.layers.1.self_attn.k_proj.weight");
  // Rank 6 of 7 has no head and does not read this tensor; it says so all the same.
  for (const int rank : {0, 6}) {
    expect_in(load_error(tiny_config(), tensors, DType::kFloat32, 7, rank), {"missing: model.layers.1.self_attn.k_proj.weight"});
  }
  tensors.push_back({"model.layers.9.extra", DType::kFloat32, {1}, "1234"});
  expect_in(load_error(tiny_config(), tensors),
            {"missing: model.layers.1.self_attn.k_proj.weight", "unknown: model.layers.9.extra"});
  tensors.clear();
  expect_in(load_error(tiny_config(), tensors), {"model.embed_tokens.weight", "and 34 more"});
}

TEST(LoadCheckpoint, NamesWrongShapesAndDtypes) {
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  std::vector<TestTensor> tensors = random_checkpoint(tiny_config(), DType::kFloat32);
  std::swap(tensor_named(tensors, name).shape[0], tensor_named(tensors, name).shape[1]);
  expect_in(load_error(tiny_config(), tensors), {name, "[10, 75]", "expected [75, 10]", "model.safetensors"});

  tensors = random_checkpoint(tiny_config(), DType::kFloat32);
  tensor_named(tensors, name).dtype = DType::kInt32;
  expect_in(load_error(tiny_config(), tensors), {name, "dtype I32", "expected F32, BF16 or F16"});
}

TEST(LoadCheckpoint, RefusesANumberThatFloat16CannotHold) {
  std::vector<TestTensor> tensors = random_checkpoint(tiny_config(), DType::kFloat32);
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  float* data = reinterpret_cast<float*>(tensor_named(tensors, name).bytes.data());
  data[17] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(load_error(tiny_config(), tensors, DType::kFloat16), "");
  data[17] = 1e6f;
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    expect_in(load_error(tiny_config(), tensors, DType::kFloat16, 1, 0, kind), {name, "too large for float16"});
  }
  EXPECT_EQ(load_error(tiny_config(), tensors, DType::kBFloat16), "");
  // Column 17 of row 0 belongs to rank 2 of 3 (two heads of four columns each).
  EXPECT_EQ(load_error(tiny_config(), tensors, DType::kFloat16, 3, 0), "");
  EXPECT_NE(load_error(tiny_config(), tensors, DType::kFloat16, 3, 2), "");
}

TEST(LoadCheckpoint, ChecksAndSkipsRedundantTensors) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  std::mt19937 random(3);
  std::vector<TestTensor> tensors = random_checkpoint(config, DType::kFloat32);
  TestTensor head = tensor_named(tensors, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  tensors.push_back(head);
  tensors.push_back(random_tensor("model.layers.1.self_attn.rotary_emb.inv_freq", DType::kFloat32, {2}, random));
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file(tensors));
  FakeBackend backend(DeviceKind::kCpu);
  const Partition partition = make_partition(config, 2, 1);
  Weights weights(backend, partition, DType::kFloat32);
  const LoadReport report = load_checkpoint(weights, partition, dir.path(), backend, {});
  EXPECT_EQ(report.bytes_read, partition.checkpoint_bytes(4));
  EXPECT_EQ(weights.find("lm_head").data, nullptr);

  // A head of its own, which this configuration would leave out.
  tensor_named(tensors, "lm_head.weight") = random_tensor("lm_head.weight", DType::kFloat32, {101, 10}, random);
  expect_in(load_error(config, tensors), {"lm_head.weight", "model.embed_tokens.weight", "tie_word_embeddings"});
  tensor_named(tensors, "lm_head.weight") = random_tensor("lm_head.weight", DType::kFloat32, {100, 10}, random);
  expect_in(load_error(config, tensors), {"lm_head.weight", "[100, 10]", "expected [101, 10]"});
  drop(tensors, "lm_head.weight");
  tensor_named(tensors, "model.layers.1.self_attn.rotary_emb.inv_freq").shape = {1, 2};
  expect_in(load_error(config, tensors), {"inv_freq", "expected [2]"});
}

TEST(LoadCheckpoint, MixedDtypes) {
  std::vector<TestTensor> tensors = random_checkpoint(tiny_config(), DType::kBFloat16);
  std::mt19937 random(5);
  for (TestTensor& t : tensors) {
    if (t.shape.size() == 1) t = random_tensor(t.name, DType::kFloat32, t.shape, random);
  }
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file(tensors));
  FakeBackend backend(DeviceKind::kCuda);
  const Partition partition = make_partition(tiny_config(), 2, 1);
  Weights weights(backend, partition, DType::kBFloat16);
  const LoadReport report = load_checkpoint(weights, partition, dir.path(), backend, {});
  expect_loaded(weights, partition, tensors);
  int64_t expected = 0;
  for (const Piece& p : partition.pieces) expected += p.elements() * (p.shape.size() == 1 ? 4 : 2);
  EXPECT_EQ(report.bytes_read, expected);
}

TEST(LoadCheckpoint, AFileCutWhileItIsReadIsAnError) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    const TempDir dir;
    write_file(dir / "model.safetensors", safetensors_file(random_checkpoint(tiny_config(), DType::kFloat32)));
    const auto source = open_safetensors(dir.path());
    std::filesystem::resize_file(dir / "model.safetensors", std::filesystem::file_size(dir / "model.safetensors") / 2);
    FakeBackend backend(kind);
    const Partition partition = make_partition(tiny_config(), 1, 0);
    Weights weights(backend, partition, DType::kFloat32);
    expect_in(error_of([&] { load_tensors(weights, partition, *source, backend, {}); }), {"model.safetensors", "was it cut"});
  }
}

TEST(LoadCheckpoint, ReportsProgressFromTheCallingThreadAndStopsWhenItThrows) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    const ModelConfig config = wide_config();
    const TempDir dir;
    write_file(dir / "model.safetensors", safetensors_file(random_checkpoint(config, DType::kBFloat16)));
    FakeBackend backend(kind);
    const Partition partition = make_partition(config, 1, 0);
    Weights weights(backend, partition, DType::kBFloat16);
    const auto thread = std::this_thread::get_id();
    int64_t last = 0;
    load_checkpoint(weights, partition, dir.path(), backend, [&](int64_t done, int64_t total) {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      EXPECT_EQ(total, partition.checkpoint_bytes(2));
      EXPECT_GE(done, last);
      last = done;
    });
    EXPECT_EQ(last, partition.checkpoint_bytes(2));
    EXPECT_THROW(load_checkpoint(weights, partition, dir.path(), backend,
                                 [](int64_t, int64_t) { throw std::runtime_error("interrupted"); }),
                 std::runtime_error);
  }
}

TEST(CheckCoverage, NamesOverlapsHolesAndPiecesOutside) {
  const auto with = [](auto change) {
    Partition p = make_partition(tiny_config(), 2, 0);
    const auto piece = std::find_if(p.pieces.begin(), p.pieces.end(),
                                    [](const Piece& x) { return x.tensor == "model.layers.0.self_attn.k_proj.weight"; });
    change(p, *piece);
    return error_of([&] { check_coverage(p); });
  };
  EXPECT_EQ(with([](Partition&, Piece&) {}), "");
  expect_in(with([](Partition&, Piece& x) { x.to_row -= 1; }), {"layers.0.qkv", "q_proj", "k_proj", "same elements"});
  expect_in(with([](Partition&, Piece& x) { x.rows.end -= 1; }), {"layers.0.qkv", "would fill only"});
  expect_in(with([](Partition&, Piece& x) { x.to_col = 1; }), {"layers.0.qkv", "would fill rows"});
  expect_in(with([](Partition& p, Piece& x) { p.parameters[x.parameter].rows += 1; }), {"layers.0.qkv", "would fill only"});
  expect_in(with([](Partition& p, Piece&) { p.pieces.pop_back(); }), {"lm_head", "would fill only 0"});
}

TEST(Weights, FindsByNameAndRefusesUnknownNames) {
  FakeBackend backend(DeviceKind::kCpu);
  const Partition partition = make_partition(tiny_config(), 7, 6);  // no head
  const Weights weights(backend, partition, DType::kBFloat16);
  EXPECT_EQ(weights.get("layers.1.qkv").rows, 0);
  EXPECT_EQ(weights.get("layers.1.o").cols, 0);
  EXPECT_NE(weights.get("layers.1.qkv_bias").data, nullptr);  // present, though empty
  EXPECT_EQ(weights.get("embedding").dtype, DType::kBFloat16);
  EXPECT_EQ(weights.find("layers.2.qkv").data, nullptr);
  EXPECT_THROW(weights.get("layers.2.qkv"), Error);
  EXPECT_GE(weights.bytes(), static_cast<size_t>(partition.elements()) * 2);
}

// ---- dummy weights ----

TEST(FillDummy, TheSameWholeModelForEveryTp) {
  const ModelConfig config = tiny_config();
  FakeBackend whole_backend(DeviceKind::kCpu);
  const Partition whole_partition = make_partition(config, 1, 0);
  Weights whole(whole_backend, whole_partition, DType::kFloat32);
  fill_dummy(whole, whole_partition, 42, whole_backend);
  // The whole model as a checkpoint: what a rank of any tp must hold slices of.
  std::vector<TestTensor> tensors;
  for (const Piece& p : whole_partition.pieces) {
    const TensorView view = whole.get(whole_partition.parameters[p.parameter].name);
    const auto* begin = static_cast<const char*>(view.data) + (p.to_row * view.stride + p.to_col) * 4;
    tensors.push_back({p.tensor, DType::kFloat32, p.shape, std::string(begin, static_cast<size_t>(p.elements()) * 4)});
  }
  for (int tp = 2; tp <= 7; ++tp) {
    for (int rank = 0; rank < tp; ++rank) {
      FakeBackend backend(DeviceKind::kCpu);
      const Partition partition = make_partition(config, tp, rank);
      Weights weights(backend, partition, DType::kFloat32);
      fill_dummy(weights, partition, 42, backend);
      ASSERT_NO_FATAL_FAILURE(expect_loaded(weights, partition, tensors)) << "rank " << rank << " of " << tp;
    }
  }
}

TEST(FillDummy, SpreadSeedsAndNorms) {
  const ModelConfig config = tiny_config();
  FakeBackend backend(DeviceKind::kCpu);
  const Partition partition = make_partition(config, 1, 0);
  Weights a(backend, partition, DType::kFloat32);
  Weights b(backend, partition, DType::kFloat32);
  fill_dummy(a, partition, 1, backend);
  fill_dummy(b, partition, 2, backend);
  for (const Parameter& p : partition.parameters) {
    const float* x = a.get(p.name).as<float>();
    const float* y = b.get(p.name).as<float>();
    const int64_t n = p.rows * p.cols;
    const bool norm = p.name.size() > 4 && p.name.compare(p.name.size() - 4, 4, "norm") == 0;
    double squares = 0.0;
    int64_t equal = 0;
    for (int64_t i = 0; i < n; ++i) {
      squares += static_cast<double>(x[i]) * x[i];
      equal += x[i] == y[i];
      if (norm) {
        ASSERT_EQ(x[i], 1.0f) << p.name;
      } else {
        ASSERT_LT(std::abs(x[i]), 0.05f) << p.name;
      }
    }
    EXPECT_EQ(equal, norm ? n : 0) << p.name;
    if (n > 500) {
      EXPECT_NEAR(std::sqrt(squares / static_cast<double>(n)), 0.02, 0.002) << p.name;
    }
  }
  // Two tensors of one shape differ.
  EXPECT_NE(a.get("layers.0.down").as<float>()[0], a.get("layers.1.down").as<float>()[0]);
}

}  // namespace
}  // namespace lockstep
