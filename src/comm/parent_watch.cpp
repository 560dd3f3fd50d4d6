#include "comm/parent_watch.h"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kInterval{200};

std::string content_of(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Whether somebody listens on this port of the host, as far as can be seen; true where that is not known.
bool is_listening(int port) {
  const std::string tcp = content_of("/proc/net/tcp"), tcp6 = content_of("/proc/net/tcp6");
  return (tcp.empty() && tcp6.empty()) || has_listener(tcp, port) || has_listener(tcp6, port);
}

// MPI's segments in shared memory, which the launcher would have removed.
void remove_segments() {
  for (const std::string& path : mapped_segments(content_of("/proc/self/maps"))) ::unlink(path.c_str());
}

}  // namespace

std::set<std::string> mapped_segments(const std::string& maps) {
  constexpr const char* kOpenMpi = "/dev/shm/vader_segment.";
  std::set<std::string> paths;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    const size_t path = line.find(kOpenMpi);
    if (path != std::string::npos && line.find(' ', path) == std::string::npos) paths.insert(line.substr(path));
  }
  return paths;
}

std::optional<int> port_of_uri(const std::string& uri) {
  const size_t scheme = uri.find("tcp"), colon = uri.rfind(':');
  if (scheme == std::string::npos || colon == std::string::npos || colon < scheme) return {};
  int port = 0;
  const auto [end, error] = std::from_chars(uri.data() + colon + 1, uri.data() + uri.size(), port);
  if (error != std::errc() || end != uri.data() + uri.size() || port <= 0 || port > 65535) return {};
  return port;
}

bool has_listener(const std::string& table, int port) {
  constexpr const char* kListen = "0A";
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);  // titles
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state;
    fields >> number >> local >> remote >> state;
    const size_t colon = local.rfind(':');
    if (state != kListen || colon == std::string::npos) continue;
    int found = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), found, 16);
    if (found == port) return true;
  }
  return false;
}

// Not PR_SET_PDEATHSIG: that means the thread that forked, and launchers fork from threads that end.
ParentWatch::ParentWatch(const std::optional<std::string>& pmix_server_uri)
    : thread_([this, parent = ::getppid(), port = pmix_server_uri ? port_of_uri(*pmix_server_uri) : std::nullopt] {
        std::unique_lock lock(mutex_);
        do {
          if (::getppid() == parent && (!port || is_listening(*port))) continue;
          constexpr const char* kMessage = "lockstep: error: the launcher of this rank is gone; so is this rank\n";
          [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kMessage, std::strlen(kMessage));
          remove_segments();
          ::_exit(1);
        } while (!changed_.wait_for(lock, kInterval, [this] { return stopped_; }));
      }) {}

ParentWatch::~ParentWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace lockstep
