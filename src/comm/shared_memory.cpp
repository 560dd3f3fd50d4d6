#include "comm/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "base/error.h"
#include "comm/agree.h"

namespace lockstep {
namespace {

constexpr const char* kDirectory = "/dev/shm";

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
  check(data != MAP_FAILED, "shared memory: cannot map {:.1f} MiB: {}", mib(static_cast<double>(bytes)), std::strerror(errno));
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
}

void SharedMemory::map_opened(size_t bytes) {
  struct stat status {};
  check(fstat(file_, &status) == 0 && static_cast<size_t>(status.st_size) == bytes,
        "shared memory: {} bytes long, expected {}; do the ranks run the same build with the same options?", status.st_size,
        bytes);
  map(bytes);
}

SharedMemory SharedMemory::create(size_t bytes) {
  SharedMemory memory;
  memory.file_ = ::open(kDirectory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  check(memory.file_ >= 0, "shared memory: cannot create a file in {}: {} (is it a tmpfs, mounted and writable?)", kDirectory,
        std::strerror(errno));
  const bool sized = ftruncate(memory.file_, static_cast<off_t>(bytes)) == 0;  // before errno is read
  check(sized, "shared memory: cannot set the size to {:.1f} MiB: {}", mib(static_cast<double>(bytes)), std::strerror(errno));
  memory.map(bytes);
  return memory;
}

// The path alone is not enough: in another PID namespace it is another process's.
std::string SharedMemory::address() const {
  struct stat status {};
  check(fstat(file_, &status) == 0, "shared memory: cannot look at descriptor {}: {}", file_, std::strerror(errno));
  return fmt::format("{}:{}:/proc/{}/fd/{}", status.st_dev, status.st_ino, getpid(), file_);
}

SharedMemory SharedMemory::reach(const std::string& address, size_t bytes) {
  SharedMemory memory;
  struct stat status {};
  const std::string path = address.substr(std::min(address.find('/'), address.size()));
  // Looked at before it is opened: in another PID namespace it is anything.
  if (stat(path.c_str(), &status) != 0) return {};
  if (fmt::format("{}:{}:{}", status.st_dev, status.st_ino, path) != address) return {};
  memory.file_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (memory.file_ < 0) return {};
  memory.map_opened(bytes);
  return memory;
}

void SharedMemory::make_name() {
  const std::string file = fmt::format("/proc/self/fd/{}", file_);
  std::random_device random;
  for (int attempt = 0; attempt < 16 && !named_; ++attempt) {
    name_ = fmt::format("{}/lockstep-{}-{:08x}{:08x}", kDirectory, getpid(), random(), random());
    named_ = linkat(AT_FDCWD, file.c_str(), AT_FDCWD, name_.c_str(), AT_SYMLINK_FOLLOW) == 0;
    if (!named_ && errno != EEXIST) break;
  }
  check(named_, "shared memory: cannot name it {}: {}", name_, std::strerror(errno));
}

SharedMemory SharedMemory::open(const std::string& name, size_t bytes) {
  SharedMemory memory;
  memory.name_ = name;
  memory.file_ = ::open(name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  check(memory.file_ >= 0,
        "shared memory {}: cannot open what another rank of this host has made: {} (ranks in different containers need a common "
        "/dev/shm)",
        name, std::strerror(errno));
  memory.map_opened(bytes);
  return memory;
}

SharedMemory SharedMemory::share(const World& world, int maker, size_t bytes) {
  SharedMemory memory;
  agree(world, "shared memory: create", [&] {
    if (maker == world.rank()) memory = create(bytes);
  });
  const auto addresses = world.all_gather(memory.data() != nullptr ? memory.address() : "", "shared memory: addresses");
  agree(world, "shared memory: attach", [&] {
    if (maker >= 0 && maker != world.rank()) memory = reach(addresses[static_cast<size_t>(maker)], bytes);
  });
  const bool reached = maker < 0 || memory.data() != nullptr;
  const auto outcomes = world.all_gather(reached ? "reached" : "", "shared memory: outcomes");
  if (std::find(outcomes.begin(), outcomes.end(), "") == outcomes.end()) return memory;

  agree(world, "shared memory: name", [&] {
    if (maker == world.rank()) memory.make_name();
  });
  const auto names = world.all_gather(memory.name(), "shared memory: names");
  agree(world, "shared memory: open", [&] {
    if (!reached) memory = open(names[static_cast<size_t>(maker)], bytes);
  });
  memory.remove_name();
  return memory;
}

void SharedMemory::reserve(size_t offset, size_t bytes) {
  const int status = posix_fallocate(file_, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  if (status == 0) return;
  struct statvfs fs {};
  const double free = fstatvfs(file_, &fs) == 0 ? static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize) : 0.0;
  fail(
      "shared memory: cannot get {:.1f} MiB for this rank's part: {}; {:.1f} MiB are free in /dev/shm: make it larger (docker "
      "run "
      "--shm-size=1g; mount -o remount,size=1g /dev/shm) or remove what fills it",
      mib(static_cast<double>(bytes)), std::strerror(status), mib(free));
}

void SharedMemory::remove_name() noexcept {
  if (named_) ::unlink(name_.c_str());
  named_ = false;
}

}  // namespace lockstep
