// SharedMemory: memory that processes of one host share, in /dev/shm but without a name there, so that nothing is left behind
// however they end.
#pragma once

#include <cstddef>
#include <string>

#include "comm/world.h"

namespace lockstep {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept { swap(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~SharedMemory();  // unmaps; removes the name if there still is one

  // Collective over `world`. `maker`: the rank of this rank's host that makes the memory that this rank gets, or -1 for a rank
  // that gets none. `bytes` zeros, the same number on every rank of a host. Throws the same Error on every rank if any cannot get
  // it.
  static SharedMemory share(const World& world, int maker, size_t bytes);

  // New memory of `bytes` zeros. Throws Error.
  static SharedMemory create(size_t bytes);
  // Where another process finds this memory, as long as it may look into this one through /proc.
  std::string address() const;
  // Maps what another process has at `address`. Empty (no data()) where it cannot be reached, as from another container; throws
  // Error when its size is not `bytes`.
  static SharedMemory reach(const std::string& address, size_t bytes);

  // For processes that cannot reach each other through /proc: a random name in /dev/shm, to be removed when they have opened it.
  // Throws Error.
  void make_name();
  static SharedMemory open(const std::string& name, size_t bytes);
  void remove_name() noexcept;
  const std::string& name() const { return name_; }

  // Gives [offset, offset + bytes) real memory now, near the calling core; without it a full /dev/shm would kill a process with
  // SIGBUS at its first touch. Throws Error that says how much was asked for and how much is free.
  void reserve(size_t offset, size_t bytes);

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(SharedMemory& other) noexcept;
  void map(size_t bytes);
  void map_opened(size_t bytes);

  std::string name_;
  bool named_ = false;  // this object made the name and has not removed it
  int file_ = -1;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lockstep
