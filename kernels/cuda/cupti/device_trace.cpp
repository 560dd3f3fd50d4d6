// DeviceTracer through CUPTI's activity records. The library is opened when it is asked for, so that the program also starts
// where there is none.
#include "kernels/device_trace.h"

#include <cuda_runtime_api.h>
#include <cupti.h>
#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/trace.h"
#include "kernels/cuda/launch.h"

namespace lockstep {
namespace cuda {
namespace {

// The layout of a kernel's record belongs to the version of the headers.
#if CUPTI_API_VERSION >= 130000
using KernelRecord = CUpti_ActivityKernel10;
#else
using KernelRecord = CUpti_ActivityKernel9;
#endif
using CopyRecord = CUpti_ActivityMemcpy5;  // the fields read here lie at the same places in later versions
using SetRecord = CUpti_ActivityMemset4;

constexpr CUpti_ActivityKind kKinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                         CUPTI_ACTIVITY_KIND_MEMSET};

// "void lockstep::cuda::(anonymous namespace)::gemv<__nv_bfloat16, 8>(float*, …)" -> "gemv<__nv_bfloat16, 8>".
std::string short_name(const char* mangled) {
  if (mangled == nullptr) return "kernel";
  int status = 0;
  char* demangled = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 ? demangled : mangled;
  std::free(demangled);
  constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  for (size_t at; (at = name.find(kAnonymous)) != std::string::npos;) name.erase(at, kAnonymous.size());
  // Cut at the parameters, and after the last "::" or blank before them; both only outside of template arguments.
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (depth > 0) continue;
    if (name[i] == '(') {
      name.resize(i);
      break;
    }
    if (name[i] == ':' || name[i] == ' ') begin = i + 1;
  }
  return name.substr(begin);
}

const char* copy_name(uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD: return "copy to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH: return "copy to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD: return "copy on device";
    default: return "copy";
  }
}

// The functions of the library that are used here.
struct Cupti {
  decltype(&cuptiActivityEnable) enable = nullptr;
  decltype(&cuptiActivityDisable) disable = nullptr;
  decltype(&cuptiActivityFlushAll) flush_all = nullptr;
  decltype(&cuptiActivityGetNextRecord) get_next_record = nullptr;
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks = nullptr;
  decltype(&cuptiGetTimestamp) get_timestamp = nullptr;
  decltype(&cuptiGetResultString) get_result_string = nullptr;

  // Null, and why, when the library or one of the functions is missing. The library stays loaded.
  static std::unique_ptr<Cupti> open(std::string& why_not) {
    void* library = nullptr;
    for (const char* name : {LOCKSTEP_CUPTI_SONAME, LOCKSTEP_CUPTI_PATH}) {
      library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library != nullptr) break;
      why_not = dlerror();
    }
    if (library == nullptr) return nullptr;
    auto cupti = std::make_unique<Cupti>();
    const auto load = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) why_not = fmt::format("{} has no {}", LOCKSTEP_CUPTI_SONAME, name);
      return function != nullptr;
    };
    const bool complete =
        load(cupti->enable, "cuptiActivityEnable") && load(cupti->disable, "cuptiActivityDisable") &&
        load(cupti->flush_all, "cuptiActivityFlushAll") && load(cupti->get_next_record, "cuptiActivityGetNextRecord") &&
        load(cupti->register_callbacks, "cuptiActivityRegisterCallbacks") && load(cupti->get_timestamp, "cuptiGetTimestamp") &&
        load(cupti->get_result_string, "cuptiGetResultString");
    return complete ? std::move(cupti) : nullptr;
  }

  void check_cupti(CUptiResult result, const char* what) const {
    if (result == CUPTI_SUCCESS) return;
    const char* text = nullptr;
    get_result_string(result, &text);
    fail("{}: CUPTI error {} ({})", what, static_cast<int>(result), text != nullptr ? text : "no text");
  }
};

class CuptiTracer final : public DeviceTracer {
 public:
  explicit CuptiTracer(std::unique_ptr<Cupti> cupti) : cupti_(std::move(cupti)) {
    instance_ = this;
    cupti_->check_cupti(cupti_->register_callbacks(&request_buffer, &complete_buffer), "cuptiActivityRegisterCallbacks");
    // Graphs that are made from now on will have records for their kernels.
    enable();
    disable();
  }
  ~CuptiTracer() override {
    cupti_->flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    instance_ = nullptr;
  }

  void start() override {
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    cupti_->check_cupti(cupti_->flush_all(0), "cuptiActivityFlushAll");
    {
      const std::lock_guard lock(mutex_);
      spans_.clear();
    }
    uint64_t device_clock = 0;
    cupti_->check_cupti(cupti_->get_timestamp(&device_clock), "cuptiGetTimestamp");
    offset_ns_ = Trace::now_ns() - static_cast<int64_t>(device_clock);
    enable();
  }

  std::vector<DeviceSpan> stop() override {
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    cupti_->check_cupti(cupti_->flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "cuptiActivityFlushAll");
    disable();
    const std::lock_guard lock(mutex_);
    std::sort(spans_.begin(), spans_.end(), [](const DeviceSpan& a, const DeviceSpan& b) { return a.begin_ns < b.begin_ns; });
    return std::move(spans_);
  }

 private:
  static constexpr size_t kBufferBytes = size_t{4} << 20;

  void enable() {
    for (const CUpti_ActivityKind kind : kKinds) cupti_->check_cupti(cupti_->enable(kind), "cuptiActivityEnable");
  }
  void disable() {
    for (const CUpti_ActivityKind kind : kKinds) cupti_->check_cupti(cupti_->disable(kind), "cuptiActivityDisable");
  }

  // CUPTI's callbacks carry no pointer of ours.
  static void CUPTIAPI request_buffer(uint8_t** buffer, size_t* bytes, size_t* max_records) {
    *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, kBufferBytes));
    *bytes = *buffer != nullptr ? kBufferBytes : 0;
    *max_records = 0;  // as many as fit
  }
  static void CUPTIAPI complete_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid_bytes) {
    if (instance_ != nullptr) instance_->read(buffer, valid_bytes);
    std::free(buffer);
  }

  void read(uint8_t* buffer, size_t bytes) {
    const std::lock_guard lock(mutex_);
    CUpti_Activity* record = nullptr;
    while (cupti_->get_next_record(buffer, bytes, &record) == CUPTI_SUCCESS) {
      if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const auto& kernel = *reinterpret_cast<const KernelRecord*>(record);
        add(short_name(kernel.name), kernel);
      } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const auto& copy = *reinterpret_cast<const CopyRecord*>(record);
        add(copy_name(copy.copyKind), copy);
      } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        add("set", *reinterpret_cast<const SetRecord*>(record));
      }
    }
  }

  template <typename Record>
  void add(std::string name, const Record& record) {
    spans_.push_back({std::move(name), record.streamId, static_cast<int64_t>(record.start) + offset_ns_,
                      static_cast<int64_t>(record.end) + offset_ns_});
  }

  static inline CuptiTracer* instance_ = nullptr;
  std::unique_ptr<Cupti> cupti_;
  int64_t offset_ns_ = 0;  // from CUPTI's clock to ours
  std::mutex mutex_;       // a thread of CUPTI's hands full buffers over
  std::vector<DeviceSpan> spans_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<DeviceTracer> make_device_tracer(std::string& why_not) {
  std::unique_ptr<cuda::Cupti> cupti = cuda::Cupti::open(why_not);
  if (cupti == nullptr) return nullptr;
  try {
    return std::make_unique<cuda::CuptiTracer>(std::move(cupti));
  } catch (const Error& error) {
    why_not = error.what();
    return nullptr;
  }
}

}  // namespace lockstep
