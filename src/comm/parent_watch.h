// ParentWatch: ends this process when its launcher is gone, so that nothing of a killed job goes on computing and writing.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace lockstep {

// While it lives, a thread looks a few times a second whether the process still has the parent that it had when the object was
// made, and whether the launcher's daemon still listens at pmix_server_uri (Env), if that is known: a launcher that died before
// the object was made leaves us another parent from the start. If not, it prints why, removes what MPI has in /dev/shm, and ends
// the process at once, with exit code 1.
class ParentWatch {
 public:
  explicit ParentWatch(const std::optional<std::string>& pmix_server_uri = {});
  ~ParentWatch();
  ParentWatch(const ParentWatch&) = delete;
  ParentWatch& operator=(const ParentWatch&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::thread thread_;
};

// The port in "1045430272.0;tcp4://127.0.0.1:43803"; nothing where there is none.
std::optional<int> port_of_uri(const std::string& uri);
// Whether `table`, the content of /proc/net/tcp or tcp6, has a socket that listens on this port.
bool has_listener(const std::string& table, int port);

// Of `maps`, the content of /proc/self/maps, the files in /dev/shm through which Open MPI talks within a host.
std::set<std::string> mapped_segments(const std::string& maps);

}  // namespace lockstep
