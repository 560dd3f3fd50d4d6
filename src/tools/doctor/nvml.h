// The host's GPUs as the driver's management library shows them. It is opened at run time: nothing links to it, and a build
// without CUDA can look at GPUs, too.
#pragma once

#include <string>
#include <vector>

#include "tools/doctor/facts.h"

namespace lockstep::doctor {

struct NvmlReport {
  std::string why_not;  // empty where the library answered
  std::string driver_version;
  std::string cuda_version;  // newest CUDA that the driver takes
  std::vector<GpuFacts> gpus;
};

// Never throws; needs no privilege, no CUDA context and changes nothing.
NvmlReport read_nvml(const std::string& library = "libnvidia-ml.so.1");

}  // namespace lockstep::doctor
