// Sampling parameters of an application, which no parser of flags or requests has seen.
#pragma once

#include "config/options.h"

namespace lockstep {

// Throws Error naming the field, its value and what is allowed.
void check_sampling(const SamplingParams& sampling);

}  // namespace lockstep
