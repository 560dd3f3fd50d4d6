// make_slot_setup: what the ranks are told of a sequence when it takes a slot.
#pragma once

#include "engine/sequence.h"
#include "engine/step_plan.h"

namespace lockstep {

SlotSetup make_slot_setup(const Sequence& sequence);

}  // namespace lockstep
