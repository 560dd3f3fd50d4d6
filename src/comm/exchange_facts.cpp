// How the facts of start_up_facts.h are found out and exchanged.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <spdlog/spdlog.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/env.h"
#include "base/error.h"
#include "base/process.h"
#include "comm/start_up_facts.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

std::vector<std::string> own_interfaces() {
  std::vector<std::string> names;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return names;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_UP) == 0) continue;
    if (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6) continue;
    if (std::find(names.begin(), names.end(), i->ifa_name) == names.end()) names.emplace_back(i->ifa_name);
  }
  freeifaddrs(list);
  return names;
}

int64_t free_shared_memory() {
  struct statvfs fs {};
  if (statvfs("/dev/shm", &fs) != 0) return -1;
  return static_cast<int64_t>(fs.f_bavail) * static_cast<int64_t>(fs.f_frsize);
}

}  // namespace

std::string RankFacts::to_json() const {
  Json json = {{"rank", rank},
               {"host", host},
               {"pid", pid},
               {"world_size", world_size},
               {"launcher_variable", launcher_variable},
               {"launcher_size", launcher_size},
               {"launcher_rank", launcher_rank},
               {"tensor_parallel_size", tensor_parallel_size},
               {"executable", executable},
               {"model", model},
               {"cuda_driver", cuda_driver},
               {"nccl", nccl},
               {"shm_free_bytes", shm_free_bytes},
               {"shm_needed_bytes", shm_needed_bytes},
               {"uses_nccl", uses_nccl},
               {"interfaces", interfaces}};
  if (nccl_socket_ifname) json["nccl_socket_ifname"] = *nccl_socket_ifname;
  if (gpu) {
    Json users = Json::array();
    for (const GpuFacts::User& u : gpu->users) users.push_back({{"pid", u.pid}, {"name", u.name}, {"used_bytes", u.used_bytes}});
    json["gpu"] = {{"uuid", gpu->uuid},
                   {"name", gpu->name},
                   {"total_bytes", gpu->total_bytes},
                   {"used_bytes", gpu->used_bytes},
                   {"users", users}};
  }
  // Names of processes and interfaces come from outside and need not be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RankFacts RankFacts::from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    RankFacts f;
    json.at("rank").get_to(f.rank);
    json.at("host").get_to(f.host);
    json.at("pid").get_to(f.pid);
    json.at("world_size").get_to(f.world_size);
    json.at("launcher_variable").get_to(f.launcher_variable);
    json.at("launcher_size").get_to(f.launcher_size);
    json.at("launcher_rank").get_to(f.launcher_rank);
    json.at("tensor_parallel_size").get_to(f.tensor_parallel_size);
    json.at("executable").get_to(f.executable);
    json.at("model").get_to(f.model);
    json.at("cuda_driver").get_to(f.cuda_driver);
    json.at("nccl").get_to(f.nccl);
    json.at("shm_free_bytes").get_to(f.shm_free_bytes);
    json.at("shm_needed_bytes").get_to(f.shm_needed_bytes);
    json.at("uses_nccl").get_to(f.uses_nccl);
    json.at("interfaces").get_to(f.interfaces);
    if (const auto name = json.find("nccl_socket_ifname"); name != json.end()) f.nccl_socket_ifname = name->get<std::string>();
    if (const auto gpu = json.find("gpu"); gpu != json.end()) {
      f.gpu.emplace();
      gpu->at("uuid").get_to(f.gpu->uuid);
      gpu->at("name").get_to(f.gpu->name);
      gpu->at("total_bytes").get_to(f.gpu->total_bytes);
      gpu->at("used_bytes").get_to(f.gpu->used_bytes);
      for (const Json& user : gpu->at("users")) {
        f.gpu->users.push_back(
            {user.at("pid").get<int64_t>(), user.at("name").get<std::string>(), user.at("used_bytes").get<int64_t>()});
      }
    }
    return f;
  } catch (const Json::exception& e) {
    fail("the facts of a rank cannot be read ({}); do all ranks run the same build?", e.what());
  }
}

RankFacts own_facts(const World& world) {
  const Env env = Env::read();
  RankFacts facts;
  facts.rank = world.rank();
  facts.host = world.host();
  facts.pid = getpid();
  facts.world_size = world.size();
  if (world.is_whole_job()) {  // else an application has its own mind about who takes part
    facts.launcher_variable = env.launcher.variable;
    facts.launcher_size = env.launcher.size.value_or(0);
    facts.launcher_rank = env.launcher.rank.value_or(-1);
    facts.executable = executable_build_id();
  }
  facts.shm_free_bytes = free_shared_memory();
  facts.nccl_socket_ifname = env.nccl_socket_ifname;
  facts.interfaces = own_interfaces();
  return facts;
}

void check_start_up(const World& world, const RankFacts& mine) {
  std::vector<RankFacts> all;
  for (const std::string& text : world.all_gather(mine.to_json(), "exchange of facts")) all.push_back(RankFacts::from_json(text));
  std::vector<std::string> errors;
  for (const Finding& finding : judge_start_up(all)) {
    if (finding.is_error) {
      errors.push_back(finding.text);
    } else if (world.is_root()) {
      spdlog::warn("{}", finding.text);
    }
  }
  check(errors.empty(), "{}", fmt::join(errors, "; and "));
}

}  // namespace lockstep
