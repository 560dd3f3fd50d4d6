#include "comm/cuda/peer_memory.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/peer_memory_size.h"
#include "kernels/cuda/launch.h"

namespace lockstep {

using cuda::check_cuda;

PeerMemory::PeerMemory(const World& world, size_t bytes, const std::string& what) : bytes_(bytes) {
  try {
    cudaIpcMemHandle_t handle{};
    agree(world, "peer memory: allocate", [&] {
      void* data = nullptr;
      const size_t whole = round_up_to(bytes, kPeerGranule);
      check_cuda(cudaMalloc(&data, whole), fmt::format("allocate {} MiB for {}", whole >> 20, what).c_str());
      own_ = static_cast<std::byte*>(data);
      check_cuda(cudaMemset(data, 0, bytes), "clear peer memory");
      check_cuda(cudaDeviceSynchronize(), "clear peer memory");
      check_cuda(cudaIpcGetMemHandle(&handle, data), "cudaIpcGetMemHandle");
    });
    const auto handles =
        world.all_gather({reinterpret_cast<const char*>(&handle), sizeof(handle)}, "peer memory: exchange of handles");
    agree(world, "peer memory: map", [&] {
      for (int r = 0; r < world.size(); ++r) {
        void* mapped = own_;
        if (r != world.rank()) {
          cudaIpcMemHandle_t theirs{};
          std::memcpy(&theirs, handles[static_cast<size_t>(r)].data(), sizeof(theirs));
          check_cuda(cudaIpcOpenMemHandle(&mapped, theirs, cudaIpcMemLazyEnablePeerAccess),
                     fmt::format("map the memory of {} (cudaIpcOpenMemHandle)", world.name_of(r)).c_str());
          opened_.push_back(mapped);
        }
        base_.of[r] = static_cast<std::byte*>(mapped);
      }
    });
  } catch (...) {
    unmap();  // nobody has used it; a peer that has mapped ours keeps its mapping alive
    release();
    throw;
  }
}

bool PeerMemory::contains(const void* p, size_t bytes) const {
  const auto* const at = static_cast<const std::byte*>(p);
  return at >= own_ && at < own_ + bytes_ && bytes <= static_cast<size_t>(own_ + bytes_ - at);
}

cuda::PeerPointers PeerMemory::at(const void* p) const {
  cuda::PeerPointers all = base_;
  const ptrdiff_t offset = static_cast<const std::byte*>(p) - own_;
  for (std::byte*& base : all.of) base = base == nullptr ? nullptr : base + offset;
  return all;
}

void PeerMemory::unmap() noexcept {
  for (void* mapped : opened_) cudaIpcCloseMemHandle(mapped);
  opened_.clear();
}

void PeerMemory::release() noexcept {
  if (own_ != nullptr) cudaFree(own_);
  own_ = nullptr;
}

}  // namespace lockstep
