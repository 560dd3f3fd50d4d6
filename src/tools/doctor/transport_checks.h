// What measurements between ranks and devices mean.
#pragma once

#include <vector>

#include "comm/message_probe.h"
#include "tools/doctor/job.h"
#include "tools/measure_all_reduce.h"

namespace lockstep::doctor {

Findings check_clocks(const Job& job, const std::vector<PeerTiming>& timings);
// rates: as measure_host_links() gives them, bytes/s.
Findings check_host_links(const Job& job, const std::vector<double>& rates);

// Bytes/s that a rank measured while all measured: from the host to its GPU, and from the next GPU of the host (0: not measured).
struct DeviceRate {
  double from_host = 0.0, from_peer = 0.0;
};
Findings check_device_rates(const Job& job, const std::vector<DeviceRate>& rates);

// What one direction of a GPU's links can carry at best, bytes/s; 0 where it is not known.
double nvlink_bandwidth(const GpuFacts& gpu);
double pcie_bandwidth(const GpuFacts& gpu);

struct AllReduceReport {
  std::string transport;
  std::vector<AllReduceFigures> figures;  // by size, ascending
  double memory_bandwidth = 0.0;          // bytes/s of the slowest rank, all reading
  double host_link = 0.0;                 // bytes/s of the slowest link between hosts; 0: one host
};
Findings check_all_reduce(const Job& job, const AllReduceReport& report);

}  // namespace lockstep::doctor
