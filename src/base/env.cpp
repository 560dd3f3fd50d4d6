#include "base/env.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace lockstep {
namespace {

std::optional<std::string> get(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// A plain number from 0 on, or nothing: some launchers put other syntax into variables of these names.
std::optional<int> get_number(const char* name) {
  const auto text = get(name);
  if (!text) return std::nullopt;
  int value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value < 0) return std::nullopt;
  return value;
}

Env::Launcher read_launcher() {
  Env::Launcher launcher;
  // One launcher may run inside another's job (mpirun under Slurm): the variables of one line belong together, the inner come
  // first.
  constexpr std::array<std::pair<const char*, const char*>, 4> kLaunchers{{{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                                                           {"PMIX_SIZE", "PMIX_RANK"},
                                                                           {"PMI_SIZE", "PMI_RANK"},
                                                                           {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}};
  for (const auto& [size, rank] : kLaunchers) {
    const auto text = get(size);
    if (!text) continue;
    launcher.variable = std::string(size) + "=" + *text;
    launcher.size = get_number(size);
    launcher.rank = get_number(rank);
    if (!launcher.rank) launcher.rank = get_number("PMIX_RANK");
    return launcher;
  }
  for (const char* rank : {"PMIX_RANK", "PMI_RANK"}) {
    const auto text = get(rank);
    if (!text) continue;
    launcher.variable = std::string(rank) + "=" + *text;
    launcher.rank = get_number(rank);
    return launcher;
  }
  return launcher;
}

}  // namespace

Env Env::read() {
  Env env;
  env.api_key = get("LOCKSTEP_API_KEY");
  env.log_level = get("LOCKSTEP_LOG");
  // An empty CUDA_VISIBLE_DEVICES means "no device", which differs from an unset one.
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) env.cuda_visible_devices = visible;
  env.cpu_isa = get("LOCKSTEP_CPU_ISA");
  env.fault = get("LOCKSTEP_FAULT");
  env.launcher = read_launcher();
  for (const char* name :
       {"PMIX_SERVER_URI41", "PMIX_SERVER_URI4", "PMIX_SERVER_URI3", "PMIX_SERVER_URI2", "PMIX_SERVER_URI21"}) {
    if (!env.pmix_server_uri) env.pmix_server_uri = get(name);
  }
  env.nccl_socket_ifname = get("NCCL_SOCKET_IFNAME");
  env.nccl_hostid = get("NCCL_HOSTID");
  return env;
}

std::vector<std::pair<std::string, std::string>> Env::with_prefixes(const std::vector<std::string_view>& prefixes) {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const auto begins = [&](std::string_view prefix) { return text.starts_with(prefix); };
    if (std::any_of(prefixes.begin(), prefixes.end(), begins))
      found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  std::sort(found.begin(), found.end());
  return found;
}

void Env::set_default(const char* name, const std::string& value) { ::setenv(name, value.c_str(), /*overwrite=*/0); }

}  // namespace lockstep
