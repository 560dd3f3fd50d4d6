#include "tools/null_backend.h"

#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "kernels/ops.h"

namespace lockstep {
namespace {

class NullOps final : public Ops {
 public:
  explicit NullOps(int32_t vocab_size) : vocab_size_(vocab_size) {}

  void choose_tokens(int32_t* tokens, int32_t* last_token, const Candidate*, int32_t, int32_t num_rows,
                     const SamplingRow* rows) override {
    for (int32_t i = 0; i < num_rows; ++i) {
      const auto mixed = (rows[i].seed + static_cast<uint64_t>(rows[i].output_index) * 31) * 0x9E3779B97F4A7C15ull;
      tokens[i] = static_cast<int32_t>((mixed >> 33) % static_cast<uint64_t>(vocab_size_));
      if (masks_ != nullptr && rows[i].mask_row >= 0) tokens[i] = next_allowed(masks_ + rows[i].mask_row * words_, tokens[i]);
      if (rows[i].slot >= 0) last_token[rows[i].slot] = tokens[i];
    }
    masks_ = nullptr;
  }
  void apply_masks(TensorView, int64_t, const SamplingRow*, const uint32_t* masks, int64_t words) override {
    masks_ = masks;
    words_ = words;
  }

  void scatter(int32_t*, const int64_t*, const int32_t*, int64_t) override {}
  void resolve_tokens(const BatchView&, const int32_t*) override {}
  void embedding(TensorView, TensorView, int64_t, const BatchView&) override {}
  void rope_table(TensorView, const float*, const BatchView&) override {}
  void rms_norm(TensorView, TensorView, TensorView, float) override {}
  void add_rms_norm(TensorView, TensorView, TensorView, TensorView, TensorView, float) override {}
  void linear(TensorView, const Rows&, const LinearWeight&, TensorView) override {}
  void norm_rope_store(TensorView, const HeadLayout&, TensorView, TensorView, float, TensorView, const BatchView&,
                       const PagedKv&) override {}
  void attention(TensorView, TensorView, const HeadLayout&, float, const BatchView&, const PagedKv&) override {}
  void silu_mul(TensorView, TensorView) override {}
  void gather_rows(TensorView, TensorView, const int32_t*) override {}
  void count_tokens(int32_t*, int64_t, int64_t, const int32_t*, int64_t, bool) override {}
  void process_logits(TensorView, int64_t, const SamplingRow*, const LogitEdit*, int32_t*, const int32_t*) override {}
  void shard_maxima(uint32_t*, TensorView) override {}
  void begin_search(ThresholdSearch*, const uint32_t*, int32_t, int32_t) override {}
  void weigh_digits(uint64_t*, TensorView, const ThresholdSearch*, const SamplingRow*, TokenFilter, int32_t) override {}
  void choose_digits(ThresholdSearch*, const uint64_t*, int32_t, int32_t, const SamplingRow*, TokenFilter, int32_t) override {}
  void end_search(float*, const ThresholdSearch*, int32_t, const SamplingRow*) override {}
  void sample_candidates(Candidate*, TensorView, int64_t, const float*, const SamplingRow*) override {}
  void logprobs(LogprobResult*, TensorView, const int32_t*, const LogprobRequest*, int32_t) override {}
  void fill_random(TensorView, uint64_t, float, int64_t, int64_t, int64_t) override {}
  void fill(TensorView, float) override {}

 private:
  // The first allowed token from `token` on, from the beginning again after the last; -1: none.
  int32_t next_allowed(const uint32_t* mask, int32_t token) const {
    const auto first = static_cast<int64_t>(token) / 32;
    if (const uint32_t bits = mask[first] & ~uint32_t{0} << (token % 32); bits != 0) return token_of(first, bits);
    int64_t word = next_word(mask, first + 1, words_);
    if (word == words_) word = next_word(mask, 0, words_);
    return word < words_ ? token_of(word, mask[word]) : -1;
  }
  static int32_t token_of(int64_t word, uint32_t bits) { return static_cast<int32_t>(word * 32 + std::countr_zero(bits)); }
  // The first word from `word` on that is not 0, or end. It is the model's time, not the engine's: many at once.
  static int64_t next_word(const uint32_t* mask, int64_t word, int64_t end) {
    constexpr int64_t kMany = 32;
    for (; word + kMany <= end; word += kMany) {
      uint32_t any = 0;
      for (int64_t i = 0; i < kMany; ++i) any |= mask[word + i];
      if (any != 0) break;
    }
    while (word < end && mask[word] == 0) ++word;
    return word;
  }

  int32_t vocab_size_;
  const uint32_t* masks_ = nullptr;  // of the step
  int64_t words_ = 0;
};

class NullBackend final : public Backend {
 public:
  explicit NullBackend(int32_t vocab_size) : ops_(vocab_size) {}

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string description() const override { return "no device: operations do nothing"; }
  void* allocate(size_t bytes, const std::string& what) override {
    constexpr size_t kAlignment = 256;
    void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    check(data != nullptr, "no memory for {}: {} bytes", what, bytes);
    return data;
  }
  void release(void* data) noexcept override { std::free(data); }
  void* allocate_host(size_t bytes) override { return allocate(bytes, "host memory"); }
  void release_host(void* data) noexcept override { std::free(data); }
  void copy_to_device(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_on_device(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_2d_on_device(void*, size_t, const void*, size_t, size_t, size_t) override {}
  void set_zero(void* data, size_t bytes) override { std::memset(data, 0, bytes); }
  void synchronize() override {}
  bool is_asynchronous() const override { return true; }
  DType activation_dtype(DType weights) const override { return weights; }
  MemoryInfo memory() const override { return {}; }
  void* stream() const override { return nullptr; }
  Ops& ops() override { return ops_; }
  double measure_read_bandwidth(const void*, size_t) override { return 1.0; }
  double time_on_device(const std::function<void()>& work, int) override {
    work();
    return 0.0;
  }

 private:
  NullOps ops_;
};

}  // namespace

std::unique_ptr<Backend> make_null_backend(int32_t vocab_size) { return std::make_unique<NullBackend>(vocab_size); }

}  // namespace lockstep
