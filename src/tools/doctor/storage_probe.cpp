#include "tools/doctor/storage_probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/statistics.h"

namespace lockstep::doctor {
namespace {

constexpr int64_t kChunk = 4 << 20;
constexpr size_t kAlignment = 4096;
constexpr int kThreads = 4;          // as many requests under way
constexpr double kPatience = 120.0;  // seconds of loading that nobody minds

using Clock = std::chrono::steady_clock;

struct Chunk {
  std::filesystem::path file;
  int64_t offset = 0;
};

std::vector<Chunk> chunks_of(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Chunk> chunks;
  for (const auto& file : files) {
    const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
    for (int64_t offset = 0; offset + kChunk <= size || offset == 0; offset += kChunk) chunks.push_back({file, offset});
  }
  return chunks;
}

class File {
 public:
  File(const std::filesystem::path& path, bool direct)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0))) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int64_t read(void* to, int64_t offset) const { return fd_ < 0 ? -1 : ::pread(fd_, to, kChunk, offset); }

 private:
  int fd_;
};

}  // namespace

ReadRate measure_reads(const std::filesystem::path& directory, int rank, int ranks, double limit, int64_t most) {
  const std::vector<Chunk> chunks = chunks_of(directory);
  check(!chunks.empty(), "{}: has no *.safetensors", directory.string());
  const size_t first = chunks.size() * static_cast<size_t>(rank) / static_cast<size_t>(ranks);
  const auto count = std::min(chunks.size(), static_cast<size_t>(std::max<int64_t>(most / kChunk, 1)));
  const std::unique_ptr<char, decltype(&std::free)> probe(static_cast<char*>(std::aligned_alloc(kAlignment, kChunk)), std::free);
  ReadRate result;
  result.direct = File(chunks[first].file, true).read(probe.get(), chunks[first].offset) >= 0;
  std::atomic<size_t> next{0};
  std::atomic<int64_t> bytes{0};
  std::mutex mutex;
  std::string problem;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        const std::unique_ptr<char, decltype(&std::free)> buffer(static_cast<char*>(std::aligned_alloc(kAlignment, kChunk)),
                                                                 std::free);
        for (size_t i = next++; i < count && elapsed() < limit; i = next++) {
          const Chunk& chunk = chunks[(first + i) % chunks.size()];
          const int64_t n = File(chunk.file, result.direct).read(buffer.get(), chunk.offset);
          if (n < 0) {
            const std::lock_guard lock(mutex);
            problem = fmt::format("{}: cannot be read: {}", chunk.file.string(), std::strerror(errno));
            return;
          }
          bytes += n;
        }
      });
    }
  }
  check(problem.empty(), "{}", problem);
  result.bytes = bytes;
  result.seconds = elapsed();
  return result;
}

Findings check_storage(const Job& job, const std::vector<ReadRate>& rates, int64_t checkpoint) {
  double total = 0.0;
  std::vector<double> each;
  for (const ReadRate& r : rates) {
    total += r.rate();
    each.push_back(r.rate());
  }
  if (total <= 0.0) return {};
  const double usual = median(each), seconds = static_cast<double>(checkpoint) / total;
  Findings findings;
  Verdict all{Status::kPass,
              fmt::format("{:.2f} GB/s by all ranks together{}, {:.0f} s for the weights", total / 1e9,
                          rates.front().direct ? "" : " (through the page cache)", seconds),
              "", ""};
  if (seconds > kPatience) {
    all = {Status::kWarn, all.seen, fmt::format("at most {:.0f} s", kPatience),
           "put the model on a local or parallel file system (NVMe, Lustre with stripes), or copy it there at the job's start "
           "(sbcast); "
           "raise --init-timeout where loading takes longer than that"};
  }
  findings.push_back(of_all(job, "reading the weights", all));
  append(findings, judge_each(job, "reading the weights", Scope::kRank, [&](const RankFacts& r) -> std::optional<Verdict> {
           const double mine = each[static_cast<size_t>(r.launch.rank)];
           // Short reads vary; what counts is a rank that holds all up.
           if (mine >= usual / 5.0 || rates[static_cast<size_t>(r.launch.rank)].seconds < 0.5) return std::nullopt;
           return Verdict{Status::kWarn, fmt::format("{:.2f} GB/s", mine / 1e9),
                          fmt::format("{:.2f} GB/s as the other ranks", usual / 1e9),
                          "that host's mount of the file system is slow: compare its mount options and network"};
         }));
  return findings;
}

std::string to_text(const ReadRate& r) { return nlohmann::json{r.bytes, r.seconds, r.direct}.dump(); }

ReadRate read_rate_from_text(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  return {json[0].get<int64_t>(), json[1].get<double>(), json[2].get<bool>()};
}

}  // namespace lockstep::doctor
