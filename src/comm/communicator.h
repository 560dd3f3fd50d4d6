// Communicator: tensor collectives over the ranks of one mesh axis (tp today), on the backend's memory and stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "comm/collective_log.h"
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

// What follows the AllReduce of a row-parallel linear: residual += sum + bias; out = rms_norm(residual) * weight.
struct ResidualNorm {
  TensorView out;       // [T, H] act
  TensorView residual;  // [T, H] float32
  TensorView bias;      // [1, H], or data == nullptr
  TensorView weight;    // [1, H]
  float eps = 0.0f;
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
  // all_reduce(x) and what follows it, in one kernel where the transport has one; counts as one all_reduce, and x is then
  // undefined. A rank may do only some rows of it and be sent those of `out` that others did. Its residual is then complete in
  // its own rows only, the same for every call with x of this shape: good for a chain of such calls that starts from a complete
  // one and ends with `out`.
  void all_reduce_add_norm(Ops& ops, TensorView x, const ResidualNorm& norm);
  // recv[r * bytes ..] = rank r's send[0 .. bytes). bytes is the same on every rank; recv holds size() * bytes.
  void all_gather(void* recv, const void* send, size_t bytes);

  // Collective. Device memory, freed with this object, through which the transport can do the above without copies: for x and
  // `out` whose offset in it is the same on every rank. `bytes` may differ between ranks. Throws Error, on every rank, when it
  // cannot be had.
  virtual void* allocate(Backend& backend, size_t bytes, const std::string& what);

  // The ways in which this transport can do an all_reduce, for benchmarks and tests, and the one to use from now on where it can;
  // -1: by size.
  struct Algorithm {
    std::string name;
    size_t max_bytes = SIZE_MAX;
  };
  virtual std::vector<Algorithm> algorithms() const { return {}; }
  virtual void use_algorithm(int /*index*/) {}

  const CommCounters& counters() const { return counters_; }
  // Collectives that run without a call of the above: those of recorded work that is launched again.
  virtual void count(const CommCounters& more);

  // The collectives from here on belong to this step, on every rank.
  virtual void begin_step(int64_t step) { log_.begin_step(step); }

  // For the watchdog; may be called from another thread.
  std::string last_collective() const { return log().text(returns_when_done()); }
  // False also where a collective may be under way on a device.
  bool is_waiting() const { return returns_when_done() && log().is_in_one(); }
  virtual const CollectiveLog& log() const { return log_; }
  virtual std::optional<std::string> async_error() { return {}; }  // what the transport reports behind our back
  virtual void abort() noexcept {}                                 // ends collectives that wait for a peer

 protected:
  virtual void do_all_reduce(TensorView x) = 0;
  virtual void do_all_gather(void* recv, const void* send, size_t bytes) = 0;
  // False where there is no such kernel for this: nothing has been done then. x and norm.out have at least one element.
  virtual bool do_all_reduce_add_norm(Ops& /*ops*/, TensorView /*x*/, const ResidualNorm& /*norm*/) { return false; }
  // Whether a collective is complete when its call returns; else only started.
  virtual bool returns_when_done() const { return false; }

 private:
  void begin_all_reduce(const TensorView& x);

  std::vector<Buffer> buffers_;
  CommCounters counters_;
  CollectiveLog log_;
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
