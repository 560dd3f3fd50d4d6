// Communicator: tensor collectives over the ranks of one mesh axis (tp today), on the backend's memory and stream.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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

  CommCounters operator-(const CommCounters& other) const {
    return {all_reduce_calls - other.all_reduce_calls, all_reduce_bytes - other.all_reduce_bytes,
            all_gather_calls - other.all_gather_calls, all_gather_bytes - other.all_gather_bytes};
  }
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
  // Collectives that run without a call of the above: those of recorded work that is launched again.
  void count(const CommCounters& more);

  // For the watchdog; may be called from another thread.
  std::string last_collective() const;                             // "all_reduce number 130, 8192 bytes"
  virtual std::optional<std::string> async_error() { return {}; }  // what the transport reports behind our back
  virtual void abort() noexcept {}                                 // ends collectives that wait for a peer

 protected:
  virtual void do_all_reduce(TensorView x) = 0;
  virtual void do_all_gather(void* recv, const void* send, size_t bytes) = 0;

 private:
  enum class Kind : int { kNone, kAllReduce, kAllGather };

  CommCounters counters_;
  std::atomic<Kind> last_kind_{Kind::kNone};
  std::atomic<int64_t> last_number_{0}, last_bytes_{0};
};

// The transport for this world and backend: a null object for one rank; shared memory and MPI for the CPU; NCCL or peer memory
// for CUDA, by `choice` and by what the machine allows (several ranks on one GPU: peer memory, or NCCL >= 2.30.7).
// max_all_reduce_bytes / max_all_gather_bytes bound one call, for the size of buffers. Logs the choice and its reason on rank 0.
std::unique_ptr<Communicator> make_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                size_t max_all_reduce_bytes, size_t max_all_gather_bytes);

// One rank by itself: sums are what they were, gathering is a copy (none where it is in place).
std::unique_ptr<Communicator> make_null_communicator(Backend& backend);

// The CUDA device of this rank: local rank within CUDA_VISIBLE_DEVICES; where each rank sees only its own device, that one.
// Several ranks share a device, with a warning, when the host has fewer than ranks. Devices are told apart by UUID.
int choose_cuda_device(const World& world);

}  // namespace lockstep
