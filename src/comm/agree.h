// agree: a step in which a rank may fail, with the same outcome on every rank.
#pragma once

#include <functional>

#include "comm/world.h"

namespace lockstep {

// Collective. Runs `body` on every rank; if it threw anywhere, every rank throws the same Error, which names the lowest rank that
// failed and carries its message. Unlike World::phase, nothing is printed: the caller may have another way to go on.
void agree(const World& world, const char* what, const std::function<void()>& body);

}  // namespace lockstep
