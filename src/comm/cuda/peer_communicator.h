// PeerCommunicator: device collectives through CUDA IPC memory, for ranks of one host, also where they share a GPU.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernels/cuda/peer_all_reduce.h"

namespace lockstep {

class PeerCommunicator : public Communicator {
 public:
  // Collective over `world`, all of whose ranks are on one host. max_bytes: of one call, as far as it is known; larger calls are
  // done in pieces. max_ranks_per_gpu bounds the size of the kernels' grids. Throws the same Error on every rank if any of them
  // cannot map the memory of another.
  PeerCommunicator(const World& world, Backend& backend, size_t max_bytes, int max_ranks_per_gpu);
  // Collective, with the deadline of the world, unless an exception is on its way out: then memory that peers may still read is
  // left to the end of the process.
  ~PeerCommunicator() override;

  // Collective. Sums and gathers of known integers over several sizes, compared bit for bit; throws the same Error on every rank
  // if a result is wrong anywhere or does not come within `deadline`.
  void self_test(Seconds deadline);

  int rank() const override { return view_.rank; }
  int size() const override { return view_.size; }
  std::string description() const override;
  std::optional<std::string> async_error() override;
  void abort() noexcept override;

 protected:
  void do_all_reduce(TensorView x) override;
  void do_all_gather(void* recv, const void* send, size_t bytes) override;

 private:
  void test_size(int64_t count, Seconds deadline);
  void wait_for_stream(Seconds deadline);
  void close_regions() noexcept;

  const World& world_;
  Backend& backend_;
  cuda::PeerView view_;
  std::vector<void*> opened_;       // regions of other ranks
  void* region_ = nullptr;          // ours
  uint32_t* host_words_ = nullptr;  // [0] abort, [1] failed; read and written by kernels, too
  std::atomic<bool> aborted_{false};
  int exceptions_at_start_ = 0;
};

}  // namespace lockstep
