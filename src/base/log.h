// Logging to stderr through spdlog. set_up_logging() once, before the first message; every line then carries rank and host.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace lockstep {

// level: "debug", "info", "warn" or "error". rank < 0: no rank yet (before MPI is up). Throws Error for another level.
void set_up_logging(const std::string& level, int rank, int world_size, const std::string& host);

}  // namespace lockstep
