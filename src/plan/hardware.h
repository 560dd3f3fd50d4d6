// What `lockstep plan` knows of a device and of a link, read from configs/hardware/*.yaml or from a file of the user's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// What share of its peak a device reaches, and what a kernel costs beside its work. The defaults are those of an H100, measured
// (docs/performance.md): few-token linears read 3.05 of 3.35 TB/s; GEMMs of a model's shapes give 690 of 989 TFLOP/s at the
// card's power limit.
struct Efficiency {
  double read = 0.91;           // of the memory bandwidth: weights and KV
  double library_read = 0.80;   // the same in linears of more tokens than linear_stream.cu takes
  double gemm = 0.70;           // of the rate, with many rows
  double attention = 0.45;      // of the rate, of a prompt's attention
  double rows_for_half = 64.0;  // GEMM rows at which half of `gemm` is reached: rate = gemm * rows / (rows + rows_for_half)
  double kernel_us = 4.5;       // from one kernel to the next where the next waits for the end
  double overlapped_us = 3.0;  // the same where the next has started before (programmatic dependent launch, compute capability 9)
};

// One device: a GPU, or all that a CPU rank has.
struct Gpu {
  std::string name;  // the file's
  std::string description;
  std::filesystem::path file;
  std::vector<std::string> device_names;  // as CUDA reports them, for `--bench`
  bool cpu = false;
  double memory_bytes = 0.0;   // that programs can allocate from
  double bandwidth = 0.0;      // bytes/s, data sheet
  double bf16_flops = 0.0;     // dense, FLOP/s; fp16 where there is no bf16
  double fp8_flops = 0.0;      // dense; 0: the device has none
  double int8_ops = 0.0;       // dense; 0: none
  int compute_capability = 0;  // 90 is 9.0; 0: not a GPU
  int multiprocessors = 0;
  double context_bytes = 0.0;           // CUDA context and the kernels loaded into it
  std::string interconnect;             // the link inside a node that this device comes with
  int32_t max_gpus_per_link_group = 0;  // GPUs that the interconnect joins, e.g. 2 for NVLink bridges; 0: a whole node
  std::string beyond_group;             // the link between such groups of a node
  Efficiency efficiency;

  bool runs_lockstep() const { return cpu || compute_capability >= 80; }
};

enum class LinkScope { kNode, kNetwork };

// A link between devices, of one node or of two.
struct Link {
  std::string name;
  std::string description;
  std::filesystem::path file;
  LinkScope scope = LinkScope::kNode;
  bool direct = false;      // GPU to GPU without the host's bus: NVLink
  double bandwidth = 0.0;   // bytes/s, each direction, a device or a NIC
  double efficiency = 0.8;  // of it that an AllReduce gets
  double latency_s = 0.0;   // of a small AllReduce of two ranks
  double hop_s = 0.0;       // for each rank more
};

// name_or_file: a name or alias in configs/hardware, or a path of a YAML file. Throws Error naming file, line, key and value, or
// where it looked and which names there are.
Gpu load_gpu(const std::string& name_or_file);
Link load_link(const std::string& name_or_file, LinkScope scope);

// All GPUs of configs/hardware, by name.
std::vector<Gpu> all_gpus();
// The GPU of configs/hardware that has this CUDA device name, or nothing.
std::optional<Gpu> find_gpu_by_device(const std::string& device_name);

}  // namespace lockstep
