#include "kernels/cuda/linear_cublaslt.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/random.h"

namespace lockstep::cuda {
namespace {

constexpr int64_t kSumColumns = 256;  // of a float32 product that are added up in one sum

void check_cublas(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, "linear: {} failed with {} ({})", what, cublasLtGetStatusName(status),
        cublasLtGetStatusString(status));
}

cudaDataType_t cuda_type(DType t) {
  switch (t) {
    case DType::kBFloat16: return CUDA_R_16BF;
    case DType::kFloat16: return CUDA_R_16F;
    default: return CUDA_R_32F;
  }
}

// The largest power of two, at most 256, that divides the address.
uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return static_cast<uint32_t>(std::min<uintptr_t>(256, address & (~address + 1)));
}

template <typename Handle, cublasStatus_t (*destroy)(Handle)>
struct Destroy {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }
};
using OperationHandle = std::unique_ptr<cublasLtMatmulDesc_t, Destroy<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using LayoutHandle = std::unique_ptr<cublasLtMatrixLayout_t, Destroy<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using PreferenceHandle =
    std::unique_ptr<cublasLtMatmulPreference_t, Destroy<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

// A column-major matrix.
LayoutHandle make_layout(DType dtype, int64_t rows, int64_t cols, int64_t leading_dimension) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&layout, cuda_type(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols),
                                          leading_dimension),
               "cublasLtMatrixLayoutCreate");
  return LayoutHandle(layout);
}

template <typename T>
void set_operation(const OperationHandle& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check_cublas(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)),
               "cublasLtMatmulDescSetAttribute");
}

template <typename T>
void set_preference(const PreferenceHandle& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check_cublas(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
               "cublasLtMatmulPreferenceSetAttribute");
}

}  // namespace

// cuBLAS is column-major, so that our row-major out is its outᵀ = w · xᵀ: A = w as stored is [K, N], used transposed; B = x as
// stored is [K, M]; D = out as stored is [N, M].
struct CublasLinear::Plan {
  OperationHandle operation;
  LayoutHandle w, x, out;
  cublasLtMatmulAlgo_t algorithm = {};
};

CublasLinear::CublasLinear(cudaStream_t stream, void* workspace, size_t workspace_bytes)
    : stream_(stream), workspace_(workspace), workspace_bytes_(workspace_bytes) {
  check_cublas(cublasLtCreate(&handle_), "cublasLtCreate");
}

CublasLinear::~CublasLinear() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

bool CublasLinear::fuses_bias(TensorView out, TensorView bias) {
  return bias.dtype == out.dtype && alignment_of(bias.data) >= 16;
}

size_t CublasLinear::KeyHash::operator()(const Key& key) const {
  uint64_t hash = 0;
  const auto add = [&](uint64_t value) { hash = mix64(hash ^ value); };
  add(static_cast<uint64_t>(key.m));
  add(static_cast<uint64_t>(key.n));
  add(static_cast<uint64_t>(key.k));
  add(static_cast<uint64_t>(key.x_stride));
  add(static_cast<uint64_t>(key.w_stride));
  add(static_cast<uint64_t>(key.out_stride));
  add(static_cast<uint64_t>(key.x_alignment) << 40 | static_cast<uint64_t>(key.w_alignment) << 20 | key.out_alignment);
  add(static_cast<uint64_t>(key.dtype) << 16 | static_cast<uint64_t>(key.out_dtype) << 8 | static_cast<uint64_t>(key.has_bias));
  return static_cast<size_t>(hash);
}

std::unique_ptr<CublasLinear::Plan> CublasLinear::make_plan(const Key& key, const void* bias) const {
  auto plan = std::make_unique<Plan>();
  cublasLtMatmulDesc_t operation = nullptr;
  check_cublas(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  plan->operation.reset(operation);
  set_operation(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set_operation(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  if (key.has_bias) {
    set_operation(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set_operation(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, cuda_type(key.out_dtype));
    set_operation(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  plan->w = make_layout(key.dtype, key.k, key.n, key.w_stride);
  plan->x = make_layout(key.dtype, key.k, key.m, key.x_stride);
  plan->out = make_layout(key.out_dtype, key.n, key.m, key.out_stride);

  cublasLtMatmulPreference_t handle = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&handle), "cublasLtMatmulPreferenceCreate");
  const PreferenceHandle preference(handle);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes_);
  // Split-K may add its parts only in float32; the other schemes round them to the output's type. With a bias the sum would be
  // rounded before the bias is added.
  set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 static_cast<uint32_t>(key.has_bias ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.w_alignment);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
  set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);

  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, plan->operation.get(), plan->w.get(), plan->x.get(), plan->out.get(),
                                     plan->out.get(), preference.get(), 1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return nullptr;
  check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) return nullptr;
  plan->algorithm = best.algo;
  return plan;
}

bool CublasLinear::run(TensorView out, TensorView x, TensorView w, TensorView bias, bool add) {
  const auto even = [](const TensorView& t) { return t.rows <= 1 || t.stride % 2 == 0; };
  if (size_of(x.dtype) == 2) {
    // 16-bit elements at odd places are beyond what the library promises.
    if (x.cols % 2 != 0 || !even(x) || alignment_of(x.data) < 4 || alignment_of(w.data) < 4) return false;
  }
  if (size_of(out.dtype) == 2 && (out.cols % 2 != 0 || !even(out) || alignment_of(out.data) < 4)) return false;

  // One long sum in float32 loses more than sums of sums.
  const int64_t step = x.dtype == DType::kFloat32 ? kSumColumns : x.cols;
  for (int64_t k = 0; k < x.cols; k += step) {
    const auto* x_part = static_cast<const char*>(x.data) + k * size_of(x.dtype);
    const auto* w_part = static_cast<const char*>(w.data) + k * size_of(w.dtype);
    const void* first_bias = k == 0 ? bias.data : nullptr;
    const Key key = {
        .m = x.rows,
        .n = w.rows,
        .k = std::min(step, x.cols - k),
        .x_stride = x.rows > 1 ? x.stride : x.cols,  // the stride of a single row means nothing
        .w_stride = w.cols,
        .out_stride = out.rows > 1 ? out.stride : out.cols,
        .x_alignment = alignment_of(x_part),
        .w_alignment = alignment_of(w_part),
        .out_alignment = alignment_of(out.data),
        .dtype = x.dtype,
        .out_dtype = out.dtype,
        .has_bias = first_bias != nullptr,
    };
    auto [place, is_new] = plans_.try_emplace(key);
    if (is_new) place->second = make_plan(key, first_bias);
    const Plan* plan = place->second.get();
    if (!plan) {
      check(k == 0, "cuBLASLt multiplies columns 0 to {} of [{}, {}] by [{}, {}] in float32, but not those from there on", k,
            x.rows, x.cols, w.rows, w.cols);
      return false;
    }
    if (first_bias) set_operation(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, first_bias);
    const float one = 1.0f;
    const float beta = add || k > 0 ? 1.0f : 0.0f;
    check_cublas(
        cublasLtMatmul(handle_, plan->operation.get(), &one, w_part, plan->w.get(), x_part, plan->x.get(), &beta, out.data,
                       plan->out.get(), out.data, plan->out.get(), &plan->algorithm, workspace_, workspace_bytes_, stream_),
        "cublasLtMatmul");
  }
  return true;
}

}  // namespace lockstep::cuda
