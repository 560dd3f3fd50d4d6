// How fast each rank gets at the bytes of a checkpoint while all read at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/doctor/job.h"

namespace lockstep::doctor {

struct ReadRate {
  int64_t bytes = 0;
  double seconds = 0.0;
  bool direct = false;  // past the page cache
  double rate() const { return seconds > 0.0 ? static_cast<double>(bytes) / seconds : 0.0; }
};

// Reads *.safetensors of `directory` for at most `limit` seconds or `most` bytes: rank `rank` of `ranks` begins at its own share.
// Goes past the page cache where the file system allows it, and leaves the cache as it is. Throws Error for a file that cannot be
// read.
ReadRate measure_reads(const std::filesystem::path& directory, int rank, int ranks, double limit, int64_t most);

// rates: by rank. checkpoint: bytes of the whole.
Findings check_storage(const Job& job, const std::vector<ReadRate>& rates, int64_t checkpoint);

std::string to_text(const ReadRate& rate);
ReadRate read_rate_from_text(const std::string& text);

}  // namespace lockstep::doctor
