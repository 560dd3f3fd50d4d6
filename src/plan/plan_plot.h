// A plan as a picture: tokens per second and memory of a rank over tp.
#pragma once

#include <string>

#include "plan/plan.h"

namespace lockstep {

// SVG.
std::string plot_of(const Plan& plan);

}  // namespace lockstep
