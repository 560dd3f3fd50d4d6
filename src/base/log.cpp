#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

#include "base/error.h"

namespace lockstep {

void set_up_logging(const std::string& level, int rank, int world_size, const std::string& host) {
  const auto parsed = spdlog::level::from_str(level);
  check(parsed != spdlog::level::off || level == "off", "log level '{}' is unknown; use debug, info, warn, error or off", level);
  auto logger = std::make_shared<spdlog::logger>("lockstep", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::info);
  if (world_size > 1) {
    logger->set_pattern(fmt::format("[%H:%M:%S.%e] %l: [rank {}/{} {}] %v", rank, world_size, host));
  } else {
    logger->set_pattern("[%H:%M:%S.%e] %l: %v");
  }
  spdlog::set_default_logger(logger);
}

}  // namespace lockstep
