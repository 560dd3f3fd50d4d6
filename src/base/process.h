// This process, as the kernel sees it.
#pragma once

namespace lockstep {

// Seconds since the process was started, the loading of its libraries included; to 1/100 s, which is what Linux keeps.
double seconds_since_process_start();

}  // namespace lockstep
