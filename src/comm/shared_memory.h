// SharedMemory: a POSIX shared-memory segment of one host that has a name only while its users attach, so that nothing is left
// behind however they end.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep {

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept { swap(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~SharedMemory();  // unmaps; removes the name if that has not been done

  // A new segment of `bytes` zeros under a random name. Throws Error.
  static SharedMemory create(size_t bytes);
  // Maps the segment that another process made. Throws Error, also when its size is not `bytes`.
  static SharedMemory attach(const std::string& name, size_t bytes);

  // Gives [offset, offset + bytes) real memory now, near the calling core; without it a full /dev/shm would kill a process with
  // SIGBUS at its first touch. Throws Error that says how much was asked for and how much is free.
  void reserve(size_t offset, size_t bytes);
  void remove_name() noexcept;

  const std::string& name() const { return name_; }
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(SharedMemory& other) noexcept;
  void map(size_t bytes);

  std::string name_;
  bool named_ = false;  // this object made the name and has not removed it
  int file_ = -1;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lockstep
