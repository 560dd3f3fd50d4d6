// A backend whose operations do nothing, so that what remains of a step is what the engine adds. Its device is the host's memory;
// it is asynchronous, so that the engine does all that it does for a GPU, and its work is done when it is issued.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace lockstep {

// The token that a sequence "samples" is made of its seed and of how many it has, from 0 to vocab_size - 1.
std::unique_ptr<Backend> make_null_backend(int32_t vocab_size);

}  // namespace lockstep
