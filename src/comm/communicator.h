// Communicator: tensor collectives over the ranks of one mesh axis (tp today), on the backend's memory and stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/tensor.h"
#include "comm/world.h"
#include "config/options.h"
#include "kernels/backend.h"

namespace lockstep {

struct CommCounters {
  int64_t all_reduce_calls = 0;
  int64_t all_reduce_bytes = 0;
  int64_t all_gather_calls = 0;
  int64_t all_gather_bytes = 0;  // sent by this rank
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string description() const = 0;  // "shared memory, 4 ranks" / "NCCL 2.28.3" / "peer memory (CUDA IPC)"

  // x[i] = sum over ranks of x[i], in place, the same bits on every rank; float32, bfloat16 or float16, summed in float32 in
  // rank order where the transport is ours. x must be contiguous and have the same shape on every rank.
  void all_reduce(TensorView x);
  // recv[r * bytes ..] = rank r's send[0 .. bytes). bytes is the same on every rank; recv holds size() * bytes.
  void all_gather(void* recv, const void* send, size_t bytes);

  const CommCounters& counters() const { return counters_; }

 protected:
  virtual void do_all_reduce(TensorView x) = 0;
  virtual void do_all_gather(void* recv, const void* send, size_t bytes) = 0;

 private:
  CommCounters counters_;
};

// The transport for this world and backend: a null object for one rank; shared memory and MPI for the CPU; NCCL or peer memory for
// CUDA, by `choice` and by what the machine allows (several ranks on one GPU: peer memory, or NCCL >= 2.30.7).
// max_all_reduce_bytes / max_all_gather_bytes bound one call, for the size of buffers. Logs the choice and its reason on rank 0.
std::unique_ptr<Communicator> make_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                size_t max_all_reduce_bytes, size_t max_all_gather_bytes);

// The CUDA device of this rank: local rank within CUDA_VISIBLE_DEVICES; where each rank sees only its own device, that one. Several
// ranks share a device, with a warning, when the host has fewer than ranks. Devices are told apart by UUID.
int choose_cuda_device(const World& world);

}  // namespace lockstep
