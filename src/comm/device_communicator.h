// The CUDA side of make_communicator: implemented in cuda/, and in no_cuda/ for builds without CUDA.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

// Collective over `world`, which has at least two ranks; `backend` is a CUDA backend. NCCL or peer memory, as choose_transport
// (transport_choice.h) decides. Logs the choice and its reason on rank 0. Throws Error, the same on every rank where the cause is
// known to all.
std::unique_ptr<Communicator> make_device_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                       size_t max_all_reduce_bytes, size_t max_all_gather_bytes);

// The NCCL found at run time, "2.30.7"; empty in a build without CUDA.
std::string nccl_version();

}  // namespace lockstep
