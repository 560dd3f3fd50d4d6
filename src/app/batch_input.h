// The input of `lockstep batch`: JSON lines, read while others are computed, however many they are.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "config/command_line.h"
#include "openai/request.h"
#include "openai/request_encoder.h"

namespace lockstep {

// What the file holds, found by reading it once.
struct BatchInputSummary {
  std::string sha256;  // of all its bytes, as hexadecimal digits
  int64_t bytes = 0;
  int64_t num_requests = 0;  // lines of the shard that are not blank
};
// Throws Error when it cannot be read or is no regular file: a job that starts again reads it again.
BatchInputSummary summarize_batch_input(const std::filesystem::path& file, const BatchShard& shard);

// A line, ready for the engine or refused.
struct BatchItem {
  int64_t line = 0;  // from 1
  std::string custom_id;
  OpenAiRequest request;
  std::vector<std::vector<int32_t>> prompts;
  std::string error;       // why it is refused; empty: it is not
  std::string error_code;  // "invalid_json_line" or "invalid_request"
};

// Two forms of lines: OpenAI's, {"custom_id", "method": "POST", "url", "body"}; and a body alone, with "prompt" or "messages",
// which may have a "custom_id" and else is called "line-N". seed: of requests that give none and sample; together with the line's
// number it makes theirs.
BatchItem parse_batch_line(const std::string& text, int64_t line, const RequestEncoder& encoder, uint64_t seed);

// Reads and encodes in a thread of its own, some lines ahead.
class BatchReader {
 public:
  // wants: whether a line is to be read, given its number; called in the thread. encoder must outlive the reader.
  BatchReader(const std::filesystem::path& file, const RequestEncoder& encoder, uint64_t seed,
              std::function<bool(int64_t line)> wants);
  ~BatchReader();
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  // The next line. Empty at the end, and, unless `wait`, when none is ready. Throws what the thread met, an Error, once the lines
  // before have been given.
  std::optional<BatchItem> next(bool wait);
  bool at_end();  // nothing comes any more

 private:
  void read();
  bool put(BatchItem item);  // false: nobody wants it any more

  std::filesystem::path file_;
  const RequestEncoder& encoder_;
  uint64_t seed_;
  std::function<bool(int64_t)> wants_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<BatchItem> ready_;
  bool ended_ = false;    // by the thread
  bool stopped_ = false;  // by the destructor
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace lockstep
