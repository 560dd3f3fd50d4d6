// PeerCommunicator: device collectives through CUDA IPC memory, for ranks of one host, also where they share a GPU.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/cuda/peer_memory.h"
#include "kernels/cuda/peer_collectives.h"

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

  // Collective. Sums and gathers of known integers over several sizes and every algorithm, compared bit for bit; throws the same
  // Error on every rank if a result is wrong anywhere or does not come within `deadline`.
  void self_test(Seconds deadline);

  // Collective, both on the backend's stream, for the two halves of an AllReduce with something between them that sees x_part
  // alone. x must lie in memory that was allocate()d here or given by where_peers_see(), 16-byte aligned.
  // After reduce_scatter(), x_part(x) of this rank is the sum over ranks; all_gather_parts() puts those of all ranks into x.
  void reduce_scatter(TensorView x) { reduce_two_shot(x, cuda::TwoShotPart::kReduceScatter); }
  void all_gather_parts(TensorView x) { reduce_two_shot(x, cuda::TwoShotPart::kAllGather); }
  TensorView x_part(TensorView x) const;
  // Runs `body` on x itself where the peers see it, else on one copy after the other of pieces of it, which are then copied back.
  void where_peers_see(TensorView x, const std::function<void(TensorView)>& body);

  int rank() const override { return view_.rank; }
  int size() const override { return view_.size; }
  std::string description() const override;
  void* allocate(Backend& backend, size_t bytes, const std::string& what) override;
  std::vector<Algorithm> algorithms() const override { return {{"one-shot", view_.mailbox_bytes}, {"two-shot"}}; }
  void use_algorithm(int index) override { forced_ = index; }
  std::optional<std::string> async_error() override;
  void abort() noexcept override;

 protected:
  void do_all_reduce(TensorView x) override;
  void do_all_gather(void* recv, const void* send, size_t bytes) override;
  bool do_all_reduce_add_norm(Ops& ops, TensorView x, const ResidualNorm& norm) override;

 private:
  enum Way { kOneShot, kTwoShot };  // as algorithms() has them

  cuda::Launch launch() const;  // on the backend's stream of now
  Way choose(size_t bytes) const;
  // The memory that contains [p, p + bytes), or null.
  const PeerMemory* find(const void* p, size_t bytes) const;
  void reduce_two_shot(TensorView x, cuda::TwoShotPart part);
  std::string test_size(int64_t count, Seconds deadline);  // what is wrong, or ""
  void wait_for_stream(Seconds deadline);
  void release_all() noexcept;

  const World& world_;
  Backend& backend_;
  cuda::Launch launch_;  // but for the stream
  cuda::PeerView view_;
  std::vector<std::unique_ptr<PeerMemory>> memories_;  // [0]: the region of view_
  uint32_t* host_words_ = nullptr;                     // [0] abort, [1] failed; read and written by kernels, too
  int forced_ = -1;
  std::atomic<bool> aborted_{false};
  int exceptions_at_start_ = 0;
  const size_t one_shot_limit_;
};

}  // namespace lockstep
