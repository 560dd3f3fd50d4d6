#include "comm/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "base/error.h"

namespace lockstep {
namespace {

double mib(double bytes) { return bytes / (1024.0 * 1024.0); }

}  // namespace

SharedMemory::~SharedMemory() {
  remove_name();
  if (data_) munmap(data_, bytes_);
  if (file_ >= 0) close(file_);
}

void SharedMemory::swap(SharedMemory& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(named_, other.named_);
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

void SharedMemory::map(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  check(data != MAP_FAILED, "shared memory {}: cannot map {:.1f} MiB: {}", name_, mib(static_cast<double>(bytes)),
        std::strerror(errno));
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
}

SharedMemory SharedMemory::create(size_t bytes) {
  SharedMemory memory;
  std::random_device random;
  for (int attempt = 0; attempt < 16 && memory.file_ < 0; ++attempt) {
    memory.name_ = fmt::format("/lockstep-{}-{:08x}{:08x}", getpid(), random(), random());
    memory.file_ = shm_open(memory.name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (memory.file_ < 0 && errno != EEXIST) break;
  }
  check(memory.file_ >= 0, "shared memory {}: cannot create: {} (is /dev/shm mounted and writable?)", memory.name_,
        std::strerror(errno));
  memory.named_ = true;
  const bool sized = ftruncate(memory.file_, static_cast<off_t>(bytes)) == 0;  // before errno is read
  check(sized, "shared memory {}: cannot set the size to {:.1f} MiB: {}", memory.name_, mib(static_cast<double>(bytes)),
        std::strerror(errno));
  memory.map(bytes);
  return memory;
}

SharedMemory SharedMemory::attach(const std::string& name, size_t bytes) {
  SharedMemory memory;
  memory.name_ = name;
  memory.file_ = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
  check(memory.file_ >= 0,
        "shared memory {}: cannot open what another rank of this host has made: {} (ranks in different containers need a common "
        "/dev/shm)",
        name, std::strerror(errno));
  struct stat status {};
  check(fstat(memory.file_, &status) == 0 && static_cast<size_t>(status.st_size) == bytes,
        "shared memory {}: {} bytes long, expected {}; do the ranks run the same build with the same options?", name,
        status.st_size, bytes);
  memory.map(bytes);
  return memory;
}

void SharedMemory::reserve(size_t offset, size_t bytes) {
  const int status = posix_fallocate(file_, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  if (status == 0) return;
  struct statvfs fs {};
  const double free = fstatvfs(file_, &fs) == 0 ? static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize) : 0.0;
  fail(
      "shared memory {}: cannot get {:.1f} MiB for this rank's part: {}; {:.1f} MiB are free in /dev/shm: make it larger (docker "
      "run "
      "--shm-size=1g; mount -o remount,size=1g /dev/shm) or remove what fills it",
      name_, mib(static_cast<double>(bytes)), std::strerror(status), mib(free));
}

void SharedMemory::remove_name() noexcept {
  if (named_) shm_unlink(name_.c_str());
  named_ = false;
}

}  // namespace lockstep
