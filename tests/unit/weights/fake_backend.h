// A Backend over host memory with an order of its own: copies happen at synchronize(), so that a staging buffer that is reused
// too early shows. Poisons what it allocates and counts what is still allocated. Only fill() and fill_random() of its Ops work.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "kernels/random.h"

namespace lockstep::testing {

class FakeOps final : public Ops {
 public:
  void fill_random(TensorView out, uint64_t seed, float scale, int64_t row0, int64_t col0, int64_t full_cols) override {
    each(out, [&](int64_t r, int64_t c) {
      return dummy_weight(seed, static_cast<uint64_t>((row0 + r) * full_cols + col0 + c), scale);
    });
  }
  void fill(TensorView out, float value) override {
    each(out, [&](int64_t, int64_t) { return value; });
  }

  void scatter(int32_t*, const int64_t*, const int32_t*, int64_t) override { unused(); }
  void resolve_tokens(const BatchView&, const int32_t*) override { unused(); }
  void embedding(TensorView, TensorView, int64_t, const BatchView&) override { unused(); }
  void rope_table(TensorView, const float*, const BatchView&) override { unused(); }
  void rms_norm(TensorView, TensorView, TensorView, float) override { unused(); }
  void add_rms_norm(TensorView, TensorView, TensorView, TensorView, TensorView, float) override { unused(); }
  void linear(TensorView, const Rows&, const LinearWeight&, TensorView) override { unused(); }
  void norm_rope_store(TensorView, const HeadLayout&, TensorView, TensorView, float, TensorView, const BatchView&,
                       const PagedKv&) override {
    unused();
  }
  void attention(TensorView, TensorView, const HeadLayout&, float, const BatchView&, const PagedKv&) override { unused(); }
  void silu_mul(TensorView, TensorView) override { unused(); }
  void gather_rows(TensorView, TensorView, const int32_t*) override { unused(); }
  void count_tokens(int32_t*, int64_t, int64_t, const int32_t*, int64_t, bool) override { unused(); }
  void process_logits(TensorView, int64_t, const SamplingRow*, const LogitEdit*, int32_t*, const int32_t*) override { unused(); }
  void apply_masks(TensorView, int64_t, const SamplingRow*, const uint32_t*, int64_t) override { unused(); }
  void shard_maxima(uint32_t*, TensorView) override { unused(); }
  void begin_search(ThresholdSearch*, const uint32_t*, int32_t, int32_t) override { unused(); }
  void weigh_digits(uint64_t*, TensorView, const ThresholdSearch*, const SamplingRow*, TokenFilter, int32_t) override {
    unused();
  }
  void choose_digits(ThresholdSearch*, const uint64_t*, int32_t, int32_t, const SamplingRow*, TokenFilter, int32_t) override {
    unused();
  }
  void end_search(float*, const ThresholdSearch*, int32_t, const SamplingRow*) override { unused(); }
  void sample_candidates(Candidate*, TensorView, int64_t, const float*, const SamplingRow*) override { unused(); }
  void choose_tokens(int32_t*, int32_t*, const Candidate*, int32_t, int32_t, const SamplingRow*) override { unused(); }
  void logprobs(LogprobResult*, TensorView, const int32_t*, const LogprobRequest*, int32_t) override { unused(); }

 private:
  [[noreturn]] static void unused() { fail("not an op of loading"); }

  template <typename Value>
  static void each(TensorView out, Value value) {
    for (int64_t r = 0; r < out.rows; ++r) {
      for (int64_t c = 0; c < out.cols; ++c) {
        const float x = value(r, c);
        const TensorView at = out.slice_rows(r, 1).slice_cols(c, 1);
        switch (out.dtype) {
          case DType::kFloat32: *at.as<float>() = x; break;
          case DType::kBFloat16: *at.as<uint16_t>() = float_to_bf16(x); break;
          case DType::kFloat16: *at.as<uint16_t>() = float_to_f16(x); break;
          case DType::kInt32: fail("no int32 weights");
        }
      }
    }
  }
};

class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(DeviceKind kind) : kind_(kind), thread_(std::this_thread::get_id()) {}
  ~FakeBackend() override {
    if (!live_.empty()) std::abort();
  }

  DeviceKind kind() const override { return kind_; }
  std::string description() const override { return "fake"; }
  void* allocate(size_t bytes, const std::string&) override { return new_block(bytes); }
  void release(void* data) noexcept override { free_block(data); }
  void* allocate_host(size_t bytes) override { return new_block(bytes); }
  void release_host(void* data) noexcept override {
    if (!pending_.empty()) std::abort();  // a copy may still read it
    free_block(data);
  }
  void copy_to_device(void* device, const void* host, size_t bytes) override {
    check_thread();
    ++copies;
    pending_.push_back([=] { std::memcpy(device, host, bytes); });
  }
  void copy_to_host(void* host, const void* device, size_t bytes) override { copy_to_device(host, device, bytes); }
  void copy_on_device(void* to, const void* from, size_t bytes) override { copy_to_device(to, from, bytes); }
  void copy_2d_on_device(void*, size_t, const void*, size_t, size_t, size_t) override { fail("not used in loading"); }
  void set_zero(void* device, size_t bytes) override {
    pending_.push_back([=] { std::memset(device, 0, bytes); });
  }
  void synchronize() override {
    check_thread();
    for (const auto& work : pending_) work();
    pending_.clear();
  }
  DType activation_dtype(DType) const override { return DType::kFloat32; }
  MemoryInfo memory() const override { return {}; }
  void* stream() const override { return nullptr; }
  Ops& ops() override { return ops_; }
  double measure_read_bandwidth(const void*, size_t) override { return 0.0; }
  double time_on_device(const std::function<void()>&, int) override { fail("not used in loading"); }

  int copies = 0;

 private:
  void check_thread() const { check(std::this_thread::get_id() == thread_, "the backend was used from another thread"); }
  void* new_block(size_t bytes) {
    void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    check(data != nullptr, "out of memory");
    std::memset(data, 0xff, bytes);  // NaN in every dtype
    live_.insert(data);
    return data;
  }
  void free_block(void* data) noexcept {
    if (live_.erase(data) != 1) std::abort();
    std::free(data);
  }

  DeviceKind kind_;
  std::thread::id thread_;
  FakeOps ops_;
  std::vector<std::function<void()>> pending_;
  std::set<void*> live_;
};

}  // namespace lockstep::testing
