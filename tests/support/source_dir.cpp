#include "support/source_dir.h"

namespace lockstep::testing {

std::filesystem::path source_dir() { return LOCKSTEP_SOURCE_DIR; }

}  // namespace lockstep::testing
