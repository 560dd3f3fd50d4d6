// BatchJob: rank 0's loop of `lockstep batch`: lines in, the engine between, answers out.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "app/batch_input.h"
#include "app/batch_output.h"
#include "comm/stop_signal.h"
#include "config/command_line.h"
#include "engine/engine.h"
#include "engine/progress_bar.h"
#include "openai/request_encoder.h"
#include "openai/response.h"

namespace lockstep {

class BatchJob {
 public:
  // Borrows all. num_requests: of the whole job. max_num_seqs: how many the engine takes at once.
  BatchJob(Engine& engine, const RequestEncoder& encoder, BatchReader& reader, BatchOutput& output, const BatchOptions& options,
           int64_t num_requests, int32_t max_num_seqs);

  // Until all is done (true), or a signal ends it early (false): after SIGTERM or SIGUSR1 what has begun is finished, within the
  // time for that.
  bool run(const StopSignal& stop);
  // One line of figures.
  std::string summary() const;

 private:
  using Clock = std::chrono::steady_clock;
  // A line that the engine works on.
  struct Line {
    int64_t number = 0;
    int64_t place = 0;  // among the lines that were taken up
    std::string custom_id;
    std::unique_ptr<OpenAiResponse> response;
    std::vector<int64_t> requests;  // the engine's, one a prompt
  };
  struct Part {
    int64_t place = 0;  // of the line
    size_t prompt = 0;
  };

  void feed();
  void start(BatchItem item);
  void take(const SequenceOutput& output);
  void finish(const Line& line);
  void refuse(int64_t number, int64_t place, const std::string& custom_id, const std::string& code, const std::string& message);
  void put(int64_t place, std::string text);
  void drain(const StopSignal& stop);
  void give_up(bool begun_too);
  void report(const char* state, bool always);

  Engine& engine_;
  const RequestEncoder& encoder_;
  BatchReader& reader_;
  BatchOutput& output_;
  const BatchOptions& options_;
  int64_t num_requests_;
  int64_t max_waiting_;
  ProgressBar bar_;
  std::unordered_map<int64_t, Line> lines_;  // by place
  std::unordered_map<int64_t, Part> parts_;  // by the engine's request
  std::map<int64_t, std::string> held_;      // answers by place, until those before are written (--ordered)
  int64_t next_place_ = 0;
  int64_t next_written_ = 0;
  int64_t num_done_;
  int64_t num_failed_;
  int64_t num_answered_ = 0;   // by this run
  int64_t prompt_tokens_ = 0;  // of this run's answers
  int64_t output_tokens_ = 0;
  Clock::time_point start_;
  Clock::time_point last_report_;
};

}  // namespace lockstep
