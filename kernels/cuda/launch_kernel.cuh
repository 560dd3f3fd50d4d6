// Launching kernels so that they overlap: programmatic dependent launch (CUDA programming guide, "Programmatic Dependent
// Launch").
//
// A kernel launched through launch_kernel() may start while the one before it still runs. It must call wait_for_previous() before
// it touches anything that an earlier kernel wrote or still reads (activations, caches, scratch); before that it may only read
// constants (weights). Every kernel of the chain must call it, else the order breaks for the kernels after it. A kernel calls
// start_next() first of all, so that the next one's constants stream while this one works.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "kernels/cuda/launch.h"

namespace lockstep::cuda {

__device__ __forceinline__ void start_next() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Launches without checking; check_launch() after it reports.
template <typename... Parameters, typename... Arguments>
void launch_kernel(const Launch& to, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   Arguments&&... arguments) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = to.stream;
  config.attrs = &overlap;
  config.numAttrs = to.overlap ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
}

}  // namespace lockstep::cuda
