#include "comm/own_mpi.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "comm/deadline_timer.h"
#include "comm/world.h"

namespace lockstep {
namespace {

constexpr Seconds kDeadline{60.0};

void finalize() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized != 0) return;
  const DeadlineTimer timer(kDeadline, [] {
    constexpr std::string_view kMessage = "lockstep: error: MPI_Finalize did not return; is a rank still at work, or gone?\n";
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    ::_exit(1);
  });
  MPI_Finalize();
}

}  // namespace

MPI_Comm own_mpi() {
  int initialised = 0, finalized = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalized);
  check(finalized == 0, "MPI has been finalized; let the program do that after its last use of the model");
  if (initialised == 0) {
    int provided = MPI_THREAD_SINGLE;
    World::check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    std::atexit(finalize);
    const std::string problem = World::launcher_problem();
    check(problem.empty(), "{}", problem);
  }
  return MPI_COMM_WORLD;
}

}  // namespace lockstep
