// PeerMemory: device memory of every rank of a host that all of them have mapped (CUDA IPC).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "comm/world.h"
#include "kernels/cuda/peer_view.h"

namespace lockstep {

class PeerMemory {
 public:
  // Collective over `world`, all of whose ranks are on one host; the device is the thread's present one. bytes: of this rank,
  // more than zero. Cleared. Throws the same Error on every rank if any of them cannot allocate, or map the memory of another.
  PeerMemory(const World& world, size_t bytes, const std::string& what);
  // Leaves everything to the end of the process unless both of the below have been called: peers may still use it.
  ~PeerMemory() = default;
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  void* data() const { return own_; }
  // Whether [p, p + bytes) lies in this rank's.
  bool contains(const void* p, size_t bytes) const;
  // The places with the offset of p, which this rank's memory contains.
  cuda::PeerPointers at(const void* p) const;

  // When no rank uses the memory of another any more; then, when every rank has called it, release().
  void unmap() noexcept;
  void release() noexcept;

 private:
  std::byte* own_ = nullptr;
  size_t bytes_ = 0;
  cuda::PeerPointers base_;
  std::vector<void*> opened_;
};

}  // namespace lockstep
