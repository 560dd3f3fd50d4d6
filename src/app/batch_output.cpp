#include "app/batch_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kIdPrefix = "batch_req_";
constexpr std::chrono::seconds kSyncInterval{1};
constexpr std::chrono::milliseconds kLockInterval{100};
constexpr mode_t kMode = 0644;

fs::path beside(const fs::path& file, const char* suffix) { return fs::path(file.string() + suffix); }

void write_all(int fd, const std::string& text, const fs::path& file) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    check(n > 0, "{}: cannot be written: {}", file.string(), std::strerror(errno));
    done += static_cast<size_t>(n);
  }
}

void sync_directory(const fs::path& file) {
  const fs::path directory = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // some file systems have no such thing
  ::fsync(fd);
  ::close(fd);
}

std::string who_am_i() {
  char host[256] = {};
  ::gethostname(host, sizeof(host) - 1);
  return fmt::format("process {} on {}", ::getpid(), host);
}

std::string read_all(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Of two identities, what differs.
std::string differences(const Json& was, const Json& is) {
  std::string all;
  for (const auto& [key, value] : is.items()) {
    const auto old = was.find(key);
    if (old != was.end() && *old == value) continue;
    all += fmt::format("{}{} (was {}, is {})", all.empty() ? "" : ", ", key, old == was.end() ? "nothing" : old->dump(),
                       value.dump());
  }
  return all.empty() ? "its form" : all;
}

}  // namespace

void replace_file(const fs::path& file, const std::string& content, bool sync) {
  const fs::path temporary = beside(file, ".new");
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode);
  check(fd >= 0, "{}: cannot be written: {}", temporary.string(), std::strerror(errno));
  try {
    write_all(fd, content, temporary);
    const bool synced = !sync || ::fsync(fd) == 0;  // before errno is read: arguments are evaluated in any order
    check(synced, "{}: cannot be written: {}", temporary.string(), std::strerror(errno));
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
  const bool renamed = ::rename(temporary.c_str(), file.c_str()) == 0;
  check(renamed, "{}: cannot be written: {}", file.string(), std::strerror(errno));
  if (sync) sync_directory(file);
}

BatchLock::BatchLock(const fs::path& file, double patience_s) {
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kMode);
  check(fd_ >= 0, "{}: cannot be opened: {}", file.string(), std::strerror(errno));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience_s);
  // A lock of the open file, which network file systems pass on to other hosts, and which ends with the process.
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  while (::fcntl(fd_, F_OFD_SETLK, &lock) != 0) {
    const int error = errno;
    const bool is_held = error == EAGAIN || error == EACCES;
    if (is_held && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kLockInterval);
      continue;
    }
    const std::string holder = read_all(file);
    ::close(fd_);
    fd_ = -1;
    check(!is_held, "{}: another job writes this output: {}; waited {} s for it to end (--lock-timeout)", file.string(),
          holder.empty() ? "unknown" : holder, patience_s);
    fail("{}: cannot be locked: {}", file.string(), std::strerror(error));
  }
  const std::string me = who_am_i();
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, me.data(), me.size(), 0) < 0) {
    spdlog::warn("{}: cannot be written: {}", file.string(), std::strerror(errno));
  }
}

BatchLock::~BatchLock() {
  if (fd_ >= 0) ::close(fd_);
}

std::string batch_answer_id(int64_t line) { return fmt::format("{}{}", kIdPrefix, line); }

BatchOutput::BatchOutput(const fs::path& file, const Json& identity, bool restart) : file_(file) {
  const fs::path state = beside(file, ".state");
  if (restart) {
    std::error_code ignored;
    fs::remove(state, ignored);  // first: without it, the output is no job's
    sync_directory(state);
    fs::remove(file, ignored);
  }
  if (is_listed(state)) {
    const Json was = Json::parse(read_all(state), nullptr, /*allow_exceptions=*/false);
    check(was.is_object(), "{}: is not the state of a batch; --restart begins anew", state.string());
    check(was == identity, "{}: belongs to another job; what differs is {}; --restart begins anew and overwrites it",
          file.string(), differences(was, identity));
  } else {
    std::error_code ignored;
    check(!is_listed(file) || fs::file_size(file, ignored) == 0,
          "-o {}: exists and is not the output of a batch that could go on; name another, or --restart to overwrite it",
          file.string());
    replace_file(state, identity.dump(2) + "\n", /*sync=*/true);
  }
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, kMode);
  check(fd_ >= 0, "-o {}: cannot be opened: {}", file.string(), std::strerror(errno));
  try {
    recover();
  } catch (...) {
    ::close(fd_);
    throw;
  }
  sync_directory(file);
  syncer_ = std::thread([this] { sync_in_background(); });
}

BatchOutput::~BatchOutput() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  syncer_.join();
  ::close(fd_);
}

bool BatchOutput::take(const std::string& text) {
  const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object() || !line.contains("id") || !line["id"].is_string() || !line.contains("error")) return false;
  const std::string id = line["id"].get<std::string>();
  if (!id.starts_with(kIdPrefix)) return false;
  const std::string digits = id.substr(std::strlen(kIdPrefix));
  constexpr size_t kMostDigits = 15;
  if (digits.empty() || digits.size() > kMostDigits || digits.find_first_not_of("0123456789") != std::string::npos) return false;
  const auto number = static_cast<size_t>(std::stoll(digits));
  if (number >= done_.size()) done_.resize(std::max(number + 1, done_.size() * 2), false);
  if (done_[number]) return false;
  done_[number] = true;
  ++num_done_;
  num_failed_ += line["error"].is_null() ? 0 : 1;
  return true;
}

// What comes after the first line that is not whole was written, at best, before what the disk has lost: it is computed again.
void BatchOutput::recover() {
  std::ifstream in(file_, std::ios::binary);
  check(in.good(), "-o {}: cannot be read: {}", file_.string(), std::strerror(errno));
  int64_t good = 0;
  std::string line;
  while (std::getline(in, line) && !in.eof() && take(line)) good += static_cast<int64_t>(line.size()) + 1;
  const off_t size = ::lseek(fd_, 0, SEEK_END);
  if (size == good) return;
  spdlog::warn("{}: the last {} bytes are no whole line, and are cut off", file_.string(), size - good);
  const bool cut = ::ftruncate(fd_, good) == 0 && ::fsync(fd_) == 0;
  check(cut, "-o {}: cannot be cut: {}", file_.string(), std::strerror(errno));
}

void BatchOutput::write(const std::string& line) {
  write_all(fd_, line, file_);
  const std::lock_guard lock(mutex_);
  check(sync_error_ == 0, "{}: cannot be written: {}", file_.string(), std::strerror(sync_error_));
  dirty_ = true;
  changed_.notify_all();
}

void BatchOutput::sync() {
  const bool synced = ::fsync(fd_) == 0;
  check(synced, "{}: cannot be written: {}", file_.string(), std::strerror(errno));
}

void BatchOutput::sync_in_background() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopped_ || dirty_; });
    if (stopped_) return;
    changed_.wait_for(lock, kSyncInterval, [&] { return stopped_; });
    dirty_ = false;
    lock.unlock();
    const int error = ::fdatasync(fd_) == 0 ? 0 : errno;
    lock.lock();
    sync_error_ = error;
  }
}

}  // namespace lockstep
