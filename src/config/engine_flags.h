// The engine options as one table: the command line, the `engine:` section of our YAML and what `lockstep config` prints all
// come from it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/map_reader.h"
#include "config/options.h"

namespace lockstep {

enum class FlagType { kInteger, kNumber, kChoice, kBoolean };  // a boolean is --NAME or --no-NAME

struct EngineFlag {
  std::vector<std::string_view> names;  // without dashes, the one of documentation first
  FlagType type;
  std::string value_name;  // as help shows it: "N", "auto|cpu|cuda"
  std::string help;
  bool for_bench_comm;  // whether it means something without a model
  // Throws Error "'TEXT' is not allowed; allowed: …".
  std::function<void(EngineOptions&, std::string_view)> set;
  std::function<std::string(const EngineOptions&)> get;  // what set() takes for the present value
};

const std::vector<EngineFlag>& engine_flags();

// By any of its names; '_' and '-' are the same. nullptr when there is none.
const EngineFlag* find_engine_flag(std::string_view name);

// Sets what the `engine:` section gives. Throws Error naming file, line, key, value and what is allowed.
void apply_engine_settings(const MapReader& engine, EngineOptions& options);

// The options as an `engine:` section.
std::string engine_yaml(const EngineOptions& options);

}  // namespace lockstep
