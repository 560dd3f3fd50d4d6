// MPI for a program that leaves it to us.
#pragma once

#include <mpi.h>

namespace lockstep {

// The communicator of all processes. The first call initialises MPI, unless that has been done, and has it finalized at the end
// of the program: MPI can be initialised once only, whatever comes and goes in between. Throws Error when it has been finalized,
// and when the launcher has started several processes that MPI takes for worlds of one.
MPI_Comm own_mpi();

}  // namespace lockstep
