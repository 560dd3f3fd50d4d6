// This process, as the kernel sees it.
#pragma once

#include <string>

namespace lockstep {

// Seconds since the process was started, the loading of its libraries included; to 1/100 s, which is what Linux keeps.
double seconds_since_process_start();

// The GNU build id of the running executable, as hexadecimal digits: a hash over its contents that the linker wrote. Empty where
// it was linked without one.
std::string executable_build_id();

}  // namespace lockstep
