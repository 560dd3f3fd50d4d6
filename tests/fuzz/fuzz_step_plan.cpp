// The message of a step, as a rank reads it.
#include <cstring>

#include "engine/step_plan.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  fuzz::allow_error([&] {
    const StepPlan plan = StepPlan::deserialize(bytes);
    fuzz::require(plan.serialize() == bytes);  // nothing in it went unread
  });
  return 0;
}
