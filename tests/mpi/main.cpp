// The MPI tests' own main: one World for all cases, the same cases on every rank, and a failure on any rank fails all.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "comm/host_communicator.h"
#include "engine/engine.h"
#include "mpi/odd_model.h"
#include "mpi/world_fixture.h"

namespace lockstep {
namespace {

// Ranks other than 0 print failures and skips only, each with its rank.
class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& info) override { test_ = fmt::format("{}.{}", info.test_suite_name(), info.name()); }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    fmt::print(stderr, "[rank {}] {}:{}: {}: {}\n", rank_, result.file_name() ? result.file_name() : "?", result.line_number(),
               test_, result.message());
  }

 private:
  int rank_;
  std::string test_;
};

// Endless collectives, for the test that kills a rank from outside. Says "ready" once on rank 0.
[[noreturn]] void run_for_ever(const World& world) {
  HostCommunicator communicator(world, 1 << 20);
  std::vector<float> x(100'000, 0.0f);
  for (int64_t i = 0;; ++i) {
    communicator.all_reduce({x.data(), DType::kFloat32, 1, static_cast<int64_t>(x.size())});
    if (i == 0 && world.is_root()) {
      std::puts("ready");
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// An engine that idles and works by turns, for ever, for the tests of what happens meanwhile. Says "idle" once on rank 0.
[[noreturn]] void idle_for_ever(const World& world, double step_timeout_s) {
  try {
    constexpr RunnerLimits kLimits{.max_num_seqs = 2, .max_num_batched_tokens = 16, .max_model_len = 64};
    const auto runner = make_runner(odd_config(), world.size(), world.rank(), std::make_unique<HostCommunicator>(world, 1 << 16),
                                    kLimits, /*num_blocks=*/40);
    EngineOptions options;
    options.step_timeout_s = step_timeout_s;
    if (!world.is_root()) serve_rank(world, *runner, options);
    Engine engine(world, *runner, options, nullptr);
    std::puts("idle");
    std::fflush(stdout);
    while (true) {
      std::this_thread::sleep_for(std::chrono::seconds(2));
      SamplingParams params;
      params.max_tokens = 20;
      engine.add({1, 2, 3}, params);
      while (engine.has_work()) engine.step();
    }
  } catch (const PeerAborted&) {
    world.await_abort();
  } catch (const std::exception& e) {
    world.abort(e.what());
  }
}

int run(int argc, char** argv) {
  World world(argc, argv);
  set_up_logging("warn", world.rank(), world.size(), world.host());
  if (argc > 1 && std::string_view(argv[1]) == "--for-ever") run_for_ever(world);
  if (argc > 2 && std::string_view(argv[1]) == "--idle") idle_for_ever(world, std::stod(argv[2]));
  testing::InitGoogleTest(&argc, argv);
  WorldFixture::set_world(&world);
  if (!world.is_root()) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(world.rank()));
  }
  const int result = RUN_ALL_TESTS();
  world.set_timeout(Seconds(60.0));
  return static_cast<int>(world.all_max(result, "the result of the tests"));
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  try {
    return lockstep::run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "mpi_tests: {}\n", e.what());
    std::_Exit(1);
  }
}
