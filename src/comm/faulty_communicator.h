// A rank that breaks, for tests of what the others make of it: a communicator around another one that does something wrong at a
// certain collective.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

// LOCKSTEP_FAULT=RANK:NUMBER:WHAT, for instance 1:130:skip. At this rank's NUMBERth collective, from 1:
//   skip      returns without taking part        repeat  takes part twice
//   throw     throws an exception                segv    SIGSEGV
//   slow=MS   from there on, every collective begins MS milliseconds later
struct Fault {
  enum class Kind { kSkip, kRepeat, kThrow, kSegv, kSlow };
  int rank = 0;
  int64_t number = 1;
  Kind kind = Kind::kSkip;
  int slow_ms = 0;

  static Fault parse(const std::string& text);  // throws Error
};

// The communicator itself, unless LOCKSTEP_FAULT names its rank; then one that breaks as told. Work that was recorded breaks as
// it did when it was recorded. returns_when_done: whether its collectives are complete when their calls return.
std::unique_ptr<Communicator> with_faults(std::unique_ptr<Communicator> communicator, bool returns_when_done);

}  // namespace lockstep
