#include "config/cli_flags.h"

#include <fmt/format.h>

#include "base/error.h"
#include "config/engine_flags.h"
#include "config/flag_values.h"

namespace lockstep {

CLI::Option* CliFlags::value(const std::string& names, const std::string& value_name, const std::string& help, Handler handler,
                             Times times) {
  // take_all(): repetition is judged in apply(), with a message of ours.
  CLI::Option* option = app_->add_option(names, help)->type_name(value_name)->expected(1)->take_all()->allow_extra_args(false);
  entries_[option] = {std::move(handler), times};
  return option;
}

CLI::Option* CliFlags::flag(const std::string& names, const std::string& help, Handler handler) {
  CLI::Option* option = app_->add_flag(names, help)->take_all();
  entries_[option] = {std::move(handler), Times::kMany};
  return option;
}

CLI::Option* CliFlags::flag(const std::string& names, const std::string& help, bool& target) {
  return flag(names, help, [&target](const std::string& text) { target = parse_switch(text); });
}

void CliFlags::apply() const {
  std::unordered_map<const CLI::Option*, size_t> used;
  for (const CLI::Option* option : app_->parse_order()) {
    const auto entry = entries_.find(option);
    if (entry == entries_.end()) continue;  // --help
    const std::string name = option->get_name();
    const size_t index = used[option]++;
    check(entry->second.times == Times::kMany || option->results().size() == 1, "{} is given {} times; allowed: once", name,
          option->results().size());
    try {
      entry->second.handler(option->results().at(index));
    } catch (const Error& e) {
      fail("{}: {}", name, e.what());
    }
  }
}

void add_engine_flag(CliFlags& flags, CommandLine& result, const EngineFlag& flag) {
  const std::string help = fmt::format("{} (default: {})", flag.help, flag.get(EngineOptions{}));
  const auto handler = [&flag, &result](const std::string& text) {
    flag.set(result.engine, text);
    result.engine_flags.emplace_back(flag.names.front(), text);
  };
  if (flag.type == FlagType::kBoolean) {
    flags.flag(fmt::format("--{0},!--no-{0}", flag.names.front()), help, handler)->group("Engine");
    return;
  }
  std::string names;
  for (const std::string_view name : flag.names) names += fmt::format("{}--{}", names.empty() ? "" : ",", name);
  flags.value(names, flag.value_name, help, handler)->group("Engine");
}

void add_engine_flags(CliFlags& flags, CommandLine& result, bool bench_comm) {
  for (const EngineFlag& flag : engine_flags()) {
    if (!bench_comm || flag.for_bench_comm) add_engine_flag(flags, result, flag);
  }
}

}  // namespace lockstep
