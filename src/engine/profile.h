// Profile: a trace of a few steps in a file that chrome://tracing and Perfetto open: rows for the host's threads and, where CUPTI
// is at hand, for the device's streams.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/command_line.h"
#include "kernels/device_trace.h"

namespace lockstep {

class Profile {
 public:
  // Before the model is brought up, so that the kernels of CUDA graphs will be seen. Without a file, nothing here does anything.
  explicit Profile(ProfileOptions options);

  bool is_wanted() const { return !options_.file.empty(); }
  // Records from now on, unless a recording is done already.
  void start();
  // A step has ended; the last one that was asked for ends the recording.
  void end_step();
  // Ends the recording, if one is under way: waits for the device, writes the file and logs what is in it. Throws Error if it
  // cannot be written.
  void finish();

 private:
  ProfileOptions options_;
  std::string no_device_because_;
  std::unique_ptr<DeviceTracer> device_;  // null where there is none
  bool recording_ = false;
  int32_t steps_ = 0;  // recorded
};

}  // namespace lockstep
