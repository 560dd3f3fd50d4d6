// Profile: a trace of a few steps in a file that chrome://tracing and Perfetto open: rows for the host's threads and, where CUPTI
// is at hand, for the device's streams.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "kernels/device_trace.h"

namespace lockstep {

class Profile {
 public:
  // Before the model is brought up, so that the kernels of CUDA graphs will be seen. file: empty for none, and nothing here does
  // anything.
  explicit Profile(std::filesystem::path file);

  bool is_wanted() const { return !file_.empty(); }
  void start();
  // Ends what start() began, writes the file and logs what is in it. Waits for the device. Throws Error if it cannot write.
  void stop_and_write();

 private:
  std::filesystem::path file_;
  std::string no_device_because_;
  std::unique_ptr<DeviceTracer> device_;  // null where there is none
};

}  // namespace lockstep
