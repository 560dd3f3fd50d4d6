// What is written out of the tree of subcommands and their options, so that it cannot differ from what the program takes: the
// reference of the documentation, the man page, completions for shells.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace lockstep {

enum class ReferenceFormat { kMarkdown, kMan, kBash, kZsh, kFish };

std::string reference(const CLI::App& app, ReferenceFormat format);

}  // namespace lockstep
