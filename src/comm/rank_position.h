// How RankStatus::position says two things that ranks compare: how many collectives a rank has begun, and in which step it is.
#pragma once

#include <cstdint>

namespace lockstep {

struct RankPosition {
  int64_t begun = 0;
  int64_t step = 0;  // modulo 2^24

  int64_t packed() const { return begun << 24 | (step & 0xffffff); }
  static RankPosition unpacked(int64_t word) { return {word >> 24, word & 0xffffff}; }
};

}  // namespace lockstep
