// The files of a `lockstep batch` job, so that it may end at any moment and be started again:
//   OUT         one line a request that is done, appended whole. A line that was torn is cut off when the job starts again.
//   OUT.state   what the job is made of (input, model, options that change results), written before OUT.
//   OUT.lock    held by the process that writes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace lockstep {

// Writes a file under another name, syncs it, and moves it into place, so that whoever reads sees the old one or the new one.
void replace_file(const std::filesystem::path& file, const std::string& content, bool sync);

// Held until the object's end, or the process's.
class BatchLock {
 public:
  // Waits up to `patience_s` seconds for another process to let go, which ranks of a job that was just killed need to end. Throws
  // Error naming who holds it.
  BatchLock(const std::filesystem::path& file, double patience_s);
  ~BatchLock();
  BatchLock(const BatchLock&) = delete;
  BatchLock& operator=(const BatchLock&) = delete;

 private:
  int fd_ = -1;
};

// The id of the answer to a line, which says which line it answers.
std::string batch_answer_id(int64_t line);

class BatchOutput {
 public:
  // identity: an object of what the results depend on, by the names that messages use. Continues the job whose files are there:
  // throws Error, naming what differs, for those of another job, or for a file that is no job's; with `restart` they are
  // overwritten.
  BatchOutput(const std::filesystem::path& file, const nlohmann::ordered_json& identity, bool restart);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  // What earlier runs have answered.
  bool is_done(int64_t line) const { return static_cast<size_t>(line) < done_.size() && done_[static_cast<size_t>(line)]; }
  int64_t num_done() const { return num_done_; }
  int64_t num_failed() const { return num_failed_; }  // of them, with an error

  // Appends a line, which must end with a newline; the file system has it when this returns, and the disk a second later.
  void write(const std::string& line);
  // Until the disk has everything.
  void sync();

 private:
  void recover();
  bool take(const std::string& line);  // false: it is not one that write() wrote
  void sync_in_background();

  std::filesystem::path file_;
  int fd_ = -1;
  std::vector<bool> done_;  // by line
  int64_t num_done_ = 0;
  int64_t num_failed_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool dirty_ = false;
  bool stopped_ = false;
  int sync_error_ = 0;
  std::thread syncer_;
};

}  // namespace lockstep
