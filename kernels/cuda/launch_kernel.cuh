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

// Blocks in a row of the grid that form a cluster; the grid is a multiple of it.
struct ClusterSize {
  unsigned blocks = 1;
};

// Launches without checking; check_launch() after it reports.
template <typename... Parameters, typename... Arguments>
void launch_clusters(const Launch& to, ClusterSize cluster, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                     size_t shared_bytes, Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (to.overlap) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster.blocks > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = cluster.blocks;
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = to.stream;
  config.attrs = attributes;
  config.numAttrs = count;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
}
// Clusters of a kernel that the device can run at a time; its shared memory must have been allowed before.
template <typename... Parameters>
int max_active_clusters(ClusterSize cluster, void (*kernel)(Parameters...), dim3 block, size_t shared_bytes) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster.blocks;
  attribute.val.clusterDim.y = 1;
  attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = cluster.blocks;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  check_cuda(cudaOccupancyMaxActiveClusters(&clusters, kernel, &config), "cudaOccupancyMaxActiveClusters");
  return clusters;
}
template <typename... Parameters, typename... Arguments>
void launch_kernel(const Launch& to, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   Arguments&&... arguments) {
  launch_clusters(to, ClusterSize{}, kernel, grid, block, shared_bytes, std::forward<Arguments>(arguments)...);
}

}  // namespace lockstep::cuda
