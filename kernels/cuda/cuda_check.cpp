#include "base/error.h"
#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // an error that is not sticky must not be reported again by the next call
  fail("{}: CUDA error {} ({})", what, cudaGetErrorName(status), cudaGetErrorString(status));
}

void check_launch(const char* op) { check_cuda(cudaGetLastError(), op); }

}  // namespace lockstep::cuda
