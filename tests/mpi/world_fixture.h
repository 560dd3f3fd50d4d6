// WorldFixture: gives a test the job's World, a short deadline, and a start in step with the other ranks.
#pragma once

#include <gtest/gtest.h>

#include "comm/world.h"

namespace lockstep {

class WorldFixture : public testing::Test {
 public:
  static void set_world(World* world) { world_ = world; }

 protected:
  static World& world() { return *world_; }
  void SetUp() override {
    world().set_timeout(Seconds(60.0));
    world().barrier("start of a test");
  }
  void TearDown() override { world().set_timeout(Seconds(60.0)); }

 private:
  static inline World* world_ = nullptr;  // main's
};

}  // namespace lockstep
