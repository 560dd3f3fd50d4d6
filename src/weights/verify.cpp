#include "weights/verify.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "weights/convert.h"

namespace lockstep {
namespace {

constexpr int64_t kChunkBytes = int64_t{4} << 20;
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

// A run of elements of a tensor, and what it holds that is not finite.
struct Run {
  size_t tensor;
  int64_t first;
  int64_t count;
  NonFinite found;
};

// Word: the unsigned integer of the dtype's size; exponent: the bits that are all ones in what is not finite.
template <typename Word>
void scan(const Word* words, Word exponent, Word sign, Run& run) {
  int64_t special = 0;
  for (int64_t i = 0; i < run.count; ++i) special += (words[i] & exponent) == exponent;
  if (special == 0) return;
  for (int64_t i = 0; i < run.count; ++i) {
    if ((words[i] & exponent) != exponent) continue;
    const bool is_nan = (words[i] & static_cast<Word>(~sign)) != exponent;
    if (run.found.nans + run.found.infinities == 0) {
      run.found.first = run.first + i;
      run.found.first_is_nan = is_nan;
    }
    ++(is_nan ? run.found.nans : run.found.infinities);
  }
}

void scan(const void* data, DType dtype, Run& run) {
  switch (dtype) {
    case DType::kFloat32: return scan<uint32_t>(static_cast<const uint32_t*>(data), 0x7f800000u, 0x80000000u, run);
    case DType::kBFloat16: return scan<uint16_t>(static_cast<const uint16_t*>(data), 0x7f80u, 0x8000u, run);
    case DType::kFloat16: return scan<uint16_t>(static_cast<const uint16_t*>(data), 0x7c00u, 0x8000u, run);
    case DType::kInt32: return;
  }
}

std::vector<Run> plan_runs(const TensorSource& source) {
  std::vector<Run> runs;
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const SourceTensor& t = source.tensors()[i];
    if (!t.dtype) continue;
    const auto size = static_cast<int64_t>(size_of(*t.dtype));
    const int64_t elements = t.bytes / size, most = kChunkBytes / size;
    for (int64_t first = 0; first < elements; first += most) {
      runs.push_back({i, first, std::min(most, elements - first), {.tensor = i}});
    }
  }
  return runs;
}

// The runs' findings by tensor; runs are in order, so the first finding of a tensor is its first.
std::vector<NonFinite> merge(const std::vector<Run>& runs) {
  std::vector<NonFinite> found;
  for (const Run& run : runs) {
    if (run.found.nans + run.found.infinities == 0) continue;
    if (!found.empty() && found.back().tensor == run.tensor) {
      found.back().nans += run.found.nans;
      found.back().infinities += run.found.infinities;
    } else {
      found.push_back(run.found);
    }
  }
  return found;
}

std::optional<size_t> find_tensor(const TensorSource& source, std::string_view name) {
  const auto& all = source.tensors();
  const auto at = std::find_if(all.begin(), all.end(), [&](const SourceTensor& t) { return t.name == name; });
  return at == all.end() ? std::nullopt : std::optional<size_t>(at - all.begin());
}

void read_as_float(const TensorSource& source, size_t tensor, int64_t first, std::vector<float>& to, std::vector<char>& scratch) {
  const DType dtype = *source.tensors()[tensor].dtype;
  const auto count = static_cast<int64_t>(to.size());
  if (dtype == DType::kFloat32) return source.read(tensor, first, count, to.data());
  scratch.resize(to.size() * size_of(dtype));
  source.read(tensor, first, count, scratch.data());
  static_cast<void>(convert(scratch.data(), dtype, to.data(), DType::kFloat32, count));  // to float32 nothing overflows
}

}  // namespace

std::vector<NonFinite> find_non_finite(const TensorSource& source, int threads,
                                       const std::function<void(int64_t done, int64_t total)>& progress) {
  std::vector<Run> runs = plan_runs(source);
  const auto bytes_of = [&](const Run& run) {
    return run.count * static_cast<int64_t>(size_of(*source.tensors()[run.tensor].dtype));
  };
  int64_t total = 0;
  for (const Run& run : runs) total += bytes_of(run);

  std::mutex mutex;  // guards error and active
  std::condition_variable ended;
  std::exception_ptr error;
  std::atomic<size_t> next = 0;
  std::atomic<int64_t> done = 0;
  const auto work = [&](char* buffer) {
    for (size_t i = next++; i < runs.size(); i = next++) {
      Run& run = runs[i];
      source.read(run.tensor, run.first, run.count, buffer);
      scan(buffer, *source.tensors()[run.tensor].dtype, run);
      done += bytes_of(run);
    }
  };
  int active = std::max(1, threads);
  std::vector<std::jthread> workers;
  for (int i = std::max(1, threads); i > 0; --i) {
    workers.emplace_back([&] {
      try {
        const auto buffer = std::make_unique_for_overwrite<char[]>(kChunkBytes);
        work(buffer.get());
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
        next = runs.size();
      }
      const std::lock_guard lock(mutex);
      --active;
      ended.notify_all();
    });
  }
  for (bool running = true; running;) {
    std::unique_lock lock(mutex);
    running = !ended.wait_for(lock, kProgressInterval, [&] { return active == 0; });
    lock.unlock();
    if (progress) progress(done, total);
  }
  workers.clear();  // joins
  if (error) std::rethrow_exception(error);
  return merge(runs);
}

void check_tied_head(const Partition& partition, const TensorSource& source) {
  const std::string head_name = "lm_head.weight";
  const bool tied = std::any_of(partition.redundant.begin(), partition.redundant.end(),
                                [&](const CheckpointTensor& t) { return t.name == head_name; });
  const std::optional<size_t> head = find_tensor(source, head_name);
  const std::optional<size_t> embedding = find_tensor(source, "model.embed_tokens.weight");
  if (!tied || !head || !embedding) return;
  const SourceTensor& a = source.tensors()[*embedding];
  const SourceTensor& b = source.tensors()[*head];
  if (a.shape != b.shape || !a.dtype || !b.dtype) return;  // refused, or not loaded, elsewhere
  const int64_t cols = a.shape.back();
  const int64_t end = partition.share.vocab.end * cols;
  constexpr int64_t kMost = kChunkBytes / static_cast<int64_t>(sizeof(float));
  std::vector<float> ours, theirs;
  std::vector<char> scratch;
  for (int64_t first = partition.share.vocab.begin * cols; first < end; first += kMost) {
    const auto count = static_cast<size_t>(std::min(kMost, end - first));
    ours.resize(count);
    theirs.resize(count);
    read_as_float(source, *embedding, first, ours, scratch);
    read_as_float(source, *head, first, theirs, scratch);
    if (std::memcmp(ours.data(), theirs.data(), count * sizeof(float)) == 0) continue;
    const auto differs =
        std::mismatch(ours.begin(), ours.end(), theirs.begin(), [](float x, float y) { return x == y || (x != x && y != y); });
    if (differs.first == ours.end()) continue;  // zeros of either sign
    const int64_t index = first + (differs.first - ours.begin());
    fail(
        "tensor '{}' in {} ({}) is {} at {}, but '{}' is {} there, and the configuration ties the two; set tie_word_embeddings "
        "to false to use both, or take '{}' out of the checkpoint",
        head_name, source.where(), b.file, *differs.second, shape_text(coordinates(a.shape, index)), a.name, *differs.first,
        head_name);
  }
}

std::vector<int64_t> coordinates(const std::vector<int64_t>& shape, int64_t index) {
  std::vector<int64_t> at(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    at[d] = index % shape[d];
    index /= shape[d];
  }
  return at;
}

}  // namespace lockstep
