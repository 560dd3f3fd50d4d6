// NcclCommunicator: device collectives through NCCL.
#pragma once

#include <nccl.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// The version of the library that was found at run time, 22809 for 2.28.9. Throws Error.
int nccl_version_number();

class NcclCommunicator : public Communicator {
 public:
  // Collective over `world`: rank 0's id by broadcast, then NCCL's own bootstrap, within the world's deadline. max_ranks_per_gpu
  // > 1 needs NCCL 2.30.7. with_windows: allocate() gives NCCL's symmetric windows where it has them; for the ranks of one host.
  // Sets NCCL_NVLS_ENABLE=0 (no NVLink multicast) unless the user has set it.
  NcclCommunicator(const World& world, Backend& backend, int max_ranks_per_gpu, bool with_windows = false);
  ~NcclCommunicator() override;

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string description() const override;
  void* allocate(Backend& backend, size_t bytes, const std::string& what) override;
  std::optional<std::string> async_error() override;
  void abort() noexcept override;

 protected:
  void do_all_reduce(TensorView x) override;
  void do_all_gather(void* recv, const void* send, size_t bytes) override;

 private:
  struct Window {
    void* memory = nullptr;
    void* handle = nullptr;  // ncclWindow_t
  };

  // Null, on every rank, where any of them cannot have it, which rank 0 logs.
  void* allocate_window(size_t bytes, const std::string& what);
  void check_nccl(ncclResult_t status, const char* what) const;

  const World& world_;
  Backend& backend_;
  int version_ = 0;
  ncclComm_t comm_ = nullptr;
  bool with_windows_ = false;
  std::vector<Window> windows_;
  std::atomic<bool> aborted_{false};
  int exceptions_at_start_ = 0;
};

}  // namespace lockstep
