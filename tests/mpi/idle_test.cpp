// Ranks that wait for work: they leave their cores to others, and no deadline runs.
#include <gtest/gtest.h>
#include <time.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "comm/host_communicator.h"
#include "engine/engine.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class IdleTest : public WorldFixture {
 protected:
  // CPU seconds of this rank while rank 0 works, idles for `idle`, and works again.
  double run(Seconds idle) {
    constexpr RunnerLimits kLimits{.max_num_seqs = 2, .max_num_batched_tokens = 16, .max_model_len = 64};
    const auto runner = make_runner(odd_config(), world().size(), world().rank(),
                                    std::make_unique<HostCommunicator>(world(), 1 << 16), kLimits, /*num_blocks=*/40);
    EngineOptions options;
    options.step_timeout_s = 1.0;
    const double before = cpu_seconds();
    if (!world().is_root()) {
      serve_rank(world(), *runner, options);
      return cpu_seconds() - before;
    }
    Engine engine(world(), *runner, options, nullptr);
    for (int turn = 0; turn < 2; ++turn) {
      if (turn > 0) std::this_thread::sleep_for(idle);
      SamplingParams params;
      params.max_tokens = 4;
      params.ignore_eos = true;
      engine.add({1, 2, 3}, params);
      int64_t tokens = 0;
      while (engine.has_work()) tokens += static_cast<int64_t>(engine.step().size());
      EXPECT_EQ(tokens, 4) << "turn " << turn;
    }
    engine.shutdown();
    return cpu_seconds() - before;
  }
};

TEST_F(IdleTest, IdleFollowersNeitherBurnACoreNorCountAsHung) {
  constexpr double kIdle = 2.5;  // longer than --step-timeout
  const double busy = run(Seconds(0.0));
  const double with_idle = run(Seconds(kIdle));
  EXPECT_LT(with_idle - busy, 0.08 * kIdle) << "rank " << world().rank()
                                            << " took this much of a core while it had nothing to do";
}

}  // namespace
}  // namespace lockstep
