#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/statistics.h"
#include "kernels/cpu/memory_info.h"

namespace lockstep {
namespace cpu {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kHugePage = size_t{2} << 20;
// Smaller blocks go to the C library's allocator.
constexpr size_t kMapFrom = size_t{1} << 20;
// Bytes that one thread copies or fills faster than it could call another.
constexpr int64_t kCopyGrain = 256 * 1024;

// The address sanitizer sees overruns only in blocks of its own allocator.
constexpr bool kUseMap =
#if defined(__SANITIZE_ADDRESS__)
    false;
#else
    true;
#endif

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// `bytes` at a multiple of a huge page: maps one more and returns what is too much. Null when there is none.
void* map_aligned(size_t bytes) {
  const size_t length = bytes + kHugePage;
  void* raw = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = round_up(begin, kHugePage);
  if (aligned > begin) munmap(raw, aligned - begin);
  const size_t after = begin + length - (aligned + bytes);
  if (after > 0) munmap(reinterpret_cast<void*>(aligned + bytes), after);
  void* data = reinterpret_cast<void*>(aligned);
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: a kernel without huge pages refuses it, and that is all right
  return data;
}

#if defined(__x86_64__)
// Whether the processor has AMX-BF16 and the kernel lets this process use it, which it must be asked for.
bool may_use_tiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kAmxBf16) == 0 || (edx & kAmxTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool permitted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return permitted;
}
#endif

}  // namespace

CpuBackend::CpuBackend(int threads, const std::string& isa)
    : kernels_(choose_kernels(isa.c_str())), pool_(threads), ops_(kernels_, pool_) {}

CpuBackend::~CpuBackend() {
  for (const auto& [data, bytes] : mapped_) munmap(data, bytes);
}

std::string CpuBackend::description() const {
  return fmt::format("cpu {}, {} thread{}", kernels_.isa, pool_.threads(), pool_.threads() == 1 ? "" : "s");
}

void* CpuBackend::allocate(size_t bytes, const std::string& what) {
  const size_t rounded = round_up(std::max<size_t>(bytes, 1), bytes >= kMapFrom ? 4096 : kAlignment);
  const bool overflow = rounded < bytes;
  // Linux promises more than it has and kills whoever touches it, so a large block is refused here, while there is a message.
  const MemoryInfo info = bytes >= kMapFrom || overflow ? memory() : MemoryInfo{};
  const bool too_much = overflow || (bytes >= kMapFrom && info.total_bytes > 0 && bytes > info.free_bytes);
  void* data = nullptr;
  if (!too_much) {
    data = kUseMap && bytes >= kMapFrom ? map_aligned(rounded) : std::aligned_alloc(kAlignment, round_up(rounded, kAlignment));
  }
  if (data == nullptr) {
    const MemoryInfo now = memory();
    fail(
        "out of memory: {} needs {} bytes ({:.1f} MiB); {:.1f} MiB of {:.1f} MiB are free on this host. Use more ranks, a "
        "smaller "
        "dtype, a shorter --max-model-len or fewer --max-num-seqs",
        what, bytes, static_cast<double>(bytes) / 1048576.0, static_cast<double>(now.free_bytes) / 1048576.0,
        static_cast<double>(now.total_bytes) / 1048576.0);
  }
  if (kUseMap && bytes >= kMapFrom) {
    const std::lock_guard lock(mutex_);
    mapped_.emplace(data, rounded);
  }
  return data;
}

void CpuBackend::release(void* data) noexcept {
  if (data == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = mapped_.find(data); it != mapped_.end()) {
      munmap(data, it->second);
      mapped_.erase(it);
      return;
    }
  }
  std::free(data);
}

// In parallel, so that the pages of a new block lie near the threads that will read it.
void CpuBackend::copy(void* to, const void* from, size_t bytes) {
  pool_.parallel_for(static_cast<int64_t>(bytes), kCopyGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin, static_cast<size_t>(end - begin));
  });
}

void CpuBackend::copy_2d_on_device(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) {
  if (width == 0) return;
  check(height <= 1 || (to_pitch >= width && from_pitch >= width), "copy of {} rows of {} bytes with pitches {} and {}", height,
        width, to_pitch, from_pitch);
  const int64_t grain = std::max<int64_t>(1, kCopyGrain / static_cast<int64_t>(width));
  pool_.parallel_for(static_cast<int64_t>(height), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(static_cast<char*>(to) + static_cast<size_t>(i) * to_pitch,
                  static_cast<const char*>(from) + static_cast<size_t>(i) * from_pitch, width);
    }
  });
}

void CpuBackend::set_zero(void* device, size_t bytes) {
  pool_.parallel_for(static_cast<int64_t>(bytes), kCopyGrain, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(device) + begin, 0, static_cast<size_t>(end - begin));
  });
}

MemoryInfo CpuBackend::memory() const { return read_memory_info(); }

double CpuBackend::measure_read_bandwidth(const void* data, size_t bytes) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kUnit = 4096;
  constexpr int64_t kMost = int64_t{512} << 20;
  Buffer own;
  auto size = std::min(static_cast<int64_t>(bytes), kMost);
  if (data == nullptr) {
    const auto quarter = static_cast<int64_t>(memory().free_bytes / 4);
    size = std::clamp<int64_t>(quarter, int64_t{16} << 20, kMost) / kUnit * kUnit;
    own = Buffer(*this, static_cast<size_t>(size), "the bandwidth probe");
    data = own.data();
    // The threads that read a part write it first; not zeros, which the kernel might share.
    pool_.parallel_for(size, kUnit, [&](int64_t begin, int64_t end) {
      std::memset(own.as<char>() + begin, 1, static_cast<size_t>(end - begin));
    });
  }
  check(size > 0, "the bandwidth probe needs at least one byte to read");
  double best = 0.0;
  std::atomic<float> sink{0.0f};
  const auto give_up = Clock::now() + std::chrono::milliseconds(500);
  for (int pass = 0; pass < 8 && (pass < 2 || Clock::now() < give_up); ++pass) {
    const auto start = Clock::now();
    pool_.parallel_for(size, kUnit, [&](int64_t begin, int64_t end) {
      sink.store(kernels_.read_all(static_cast<const char*>(data) + begin, end - begin), std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(size) / seconds);
  }
  return best;
}

double CpuBackend::time_on_device(const std::function<void()>& work, int repeats) {
  check(repeats >= 1, "timing of {} runs; at least one", repeats);
  work();
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return median(std::move(seconds));
}

const CpuKernels& choose_kernels(const char* cap) {
  const std::string name = cap;
  check(name.empty() || name == "scalar" || name == "avx2" || name == "avx512" || name == "avx512bf16" || name == "amxbf16",
        "instruction set '{}' is unknown; use scalar, avx2, avx512, avx512bf16 or amxbf16", name);
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool has_avx512bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
  if (has_avx512bf16 && (name.empty() || name == "amxbf16") && may_use_tiles()) return amxbf16_kernels();
  if (has_avx512bf16 && (name.empty() || name == "avx512bf16" || name == "amxbf16")) return avx512bf16_kernels();
  if (has_avx512 && name != "scalar" && name != "avx2") return avx512_kernels();
  if (has_avx2 && name != "scalar") return avx2_kernels();
#endif
  return scalar_kernels();
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(int threads, const std::string& isa) {
  return std::make_unique<cpu::CpuBackend>(threads, isa);
}

}  // namespace lockstep
