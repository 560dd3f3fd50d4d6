// What this binary is: for --version, and for the check that all ranks run the same one.
#pragma once

#include <string>

namespace lockstep {

std::string build_id();      // version and commit
std::string mpi_version();   // "Open MPI v4.1.4"
std::string version_text();  // build, backends and library versions, several lines
}  // namespace lockstep
