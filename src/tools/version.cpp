#include "tools/version.h"

#include <fmt/format.h>
#include <mpi.h>

#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

#include "comm/device_communicator.h"
#include "kernels/backend.h"
#include "lockstep_version.h"

namespace lockstep {

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<size_t>(length));
  return all.substr(0, all.find(','));
}

std::string build_id() { return LOCKSTEP_VERSION " (" LOCKSTEP_COMMIT ")"; }

std::string version_text() {
  const CudaPlatform cuda = probe_cuda();
  std::string text = fmt::format("lockstep {}\nbackends: cpu{}\n", build_id(), cuda.built ? ", cuda" : "");
  if (cuda.built) {
    text +=
        fmt::format("CUDA runtime {}, driver {}, NCCL {}\n", cuda.runtime_version,
                    cuda.driver_version.empty() ? "none (" + cuda.why_unavailable + ")" : cuda.driver_version, nccl_version());
    for (int i = 0; i < cuda.device_count; ++i) {
      const CudaDevice device = describe_cuda_device(i);
      text += fmt::format("cuda:{} {}, {:.0f} GiB, {}\n", i, device.name, static_cast<double>(device.total_bytes) / (1u << 30),
                          device.uuid);
    }
  }
  text += fmt::format("{}, CLI11 {}, nlohmann-json {}.{}.{}, fmt {}\n", mpi_version(), CLI11_VERSION, NLOHMANN_JSON_VERSION_MAJOR,
                      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, FMT_VERSION);
  return text;
}

}  // namespace lockstep
