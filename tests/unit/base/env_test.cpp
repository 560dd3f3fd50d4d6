#include "base/env.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <utility>

namespace lockstep {
namespace {

// What Env says of the launcher when these are the only variables of any launcher.
Env::Launcher launcher_with(std::initializer_list<std::pair<const char*, const char*>> variables) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_SIZE", "PMIX_RANK", "PMI_SIZE", "PMI_RANK",
                           "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}) {
    ::unsetenv(name);
  }
  for (const auto& [name, value] : variables) ::setenv(name, value, 1);
  return Env::read().launcher;
}

TEST(Env, KnowsTheLauncher) {
  EXPECT_EQ(launcher_with({}).variable, "");
  Env::Launcher l = launcher_with({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_EQ(l.variable, "OMPI_COMM_WORLD_SIZE=4") << "mpirun inside a Slurm step: the inner one counts";
  EXPECT_EQ(l.size, 4);
  EXPECT_EQ(l.rank, 3);
  l = launcher_with({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "5"}, {"PMIX_RANK", "6"}});
  EXPECT_EQ(l.size, 8);
  EXPECT_EQ(l.rank, 5);
  l = launcher_with({{"PMI_SIZE", "2"}, {"PMI_RANK", "0"}});
  EXPECT_EQ(l.variable, "PMI_SIZE=2");
  EXPECT_EQ(l.rank, 0);
}

TEST(Env, ALauncherThatTellsTheRankOnly) {
  const Env::Launcher l = launcher_with({{"PMIX_RANK", "2"}});
  EXPECT_EQ(l.variable, "PMIX_RANK=2");
  EXPECT_FALSE(l.size);
  EXPECT_EQ(l.rank, 2);
}

TEST(Env, WhatIsNoNumberPromisesNothing) {
  for (const char* text : {"2(x3)", "-1", "", " 4", "4 ", "99999999999999999999", "four"}) {
    EXPECT_FALSE(launcher_with({{"OMPI_COMM_WORLD_SIZE", text}}).size) << "'" << text << "'";
  }
}

}  // namespace
}  // namespace lockstep
