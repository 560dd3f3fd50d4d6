#include "weights/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace lockstep {
namespace {

std::string error_text(int error) { return std::generic_category().message(error); }  // strerror() is not safe among threads

}  // namespace

ReadFile::ReadFile(std::filesystem::path path) : path_(std::move(path)) {
  // Non-blocking, so that a named pipe is refused below instead of waited for.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  check(descriptor_ >= 0, "{}: cannot open: {}", path_.string(), error_text(errno));
  struct stat info {};
  const int failed = ::fstat(descriptor_, &info);
  const int error = errno;
  if (failed != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    check(failed == 0, "{}: cannot read its size: {}", path_.string(), error_text(error));
    fail("{}: is not a regular file", path_.string());
  }
  size_ = info.st_size;
}

ReadFile::ReadFile(ReadFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

ReadFile::~ReadFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ReadFile::read(int64_t offset, int64_t bytes, void* to) const {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = ::pread(descriptor_, at, static_cast<size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    check(n >= 0, "{}: reading {} bytes at {} failed: {}", path_.string(), bytes, offset, error_text(errno));
    check(n > 0, "{}: ends at byte {} but had {} bytes when it was opened; was it cut or replaced while being read?",
          path_.string(), offset, size_);
    at += n;
    offset += n;
    bytes -= n;
  }
}

std::string ReadFile::read_all(int64_t limit) const {
  check(size_ <= limit, "{}: has {} bytes, more than the {} that are allowed", path_.string(), size_, limit);
  std::string text(static_cast<size_t>(size_), '\0');
  read(0, size_, text.data());
  return text;
}

}  // namespace lockstep
