// Where the project's files are, whatever the working directory. A function, and no macro that every test is compiled with, so
// that ccache compiles the tests of all build directories and checkouts once.
#pragma once

#include <filesystem>

namespace lockstep::testing {

std::filesystem::path source_dir();

}  // namespace lockstep::testing
