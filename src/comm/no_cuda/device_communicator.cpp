#include "comm/device_communicator.h"

#include "base/error.h"

namespace lockstep {

std::unique_ptr<Communicator> make_device_communicator(const World&, Backend&, AllReduceChoice, size_t, size_t) {
  fail("this binary was built without CUDA and has no device collectives; build with -DLOCKSTEP_CUDA=ON or use --device cpu");
}

std::string nccl_version() { return {}; }

}  // namespace lockstep
