#include "tools/doctor/remedy.h"

#include <algorithm>
#include <array>
#include <vector>

namespace lockstep::doctor {
namespace {

struct Kind {
  std::vector<const char*> words;  // any of them is in the error
  const char* remedy;
};

// The first kind that fits. Errors of ours mostly say what to do; what is said here are the lines of the report that tell more.
const std::array<Kind, 4>& kinds() {
  static const std::array<Kind, 4> all = {{
      {{"out of memory"},
       "see GPU memory, even GPU memory and ranks per GPU, or host memory: stop what else holds memory there, or take more GPUs "
       "(`lockstep plan --model DIR --gpu NAME` says how many)"},
      {{"shared memory", "/dev/shm"},
       "see shared memory: docker run --shm-size=1g or --ipc=host; remove what crashed programs left in /dev/shm"},
      {{"NCCL", "nccl"},
       "NCCL_DEBUG=INFO tells what the system refused; usual are locked memory (ulimit -l unlimited), /dev/shm, descriptors "
       "(ulimit "
       "-n), a port that is down, or an interface that the others cannot reach (NCCL_SOCKET_IFNAME): see locked memory, shared "
       "memory, open files, InfiniBand, environment"},
      {{"CUDA", "cuda"}, "see driver, CUDA, ECC and compute mode, and dmesg for a GPU that fell off the bus (Xid)"},
  }};
  return all;
}

constexpr const char* kOfSilence =
    "see the message of that rank; a rank that does not answer is dead, stopped, out of memory (dmesg), or cannot be reached "
    "(firewall, wrong network: OMPI_MCA_btl_tcp_if_include, NCCL_SOCKET_IFNAME)";

}  // namespace

std::string remedy_of_error(const std::string& error) {
  const auto is_in = [&](const char* word) { return error.find(word) != std::string::npos; };
  for (const Kind& kind : kinds()) {
    if (std::any_of(kind.words.begin(), kind.words.end(), is_in)) return kind.remedy;
  }
  return kOfSilence;
}

}  // namespace lockstep::doctor
