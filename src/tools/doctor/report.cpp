#include "tools/doctor/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lockstep::doctor {
namespace {

std::array<int, 4> count(const Findings& findings) {
  std::array<int, 4> counts{};
  for (const Finding& f : findings) ++counts[static_cast<size_t>(f.status)];
  return counts;
}

int of(const std::array<int, 4>& counts, Status status) { return counts[static_cast<size_t>(status)]; }

}  // namespace

std::string table_of(const Job& job, const Report& report) {
  size_t check_width = 5, where_width = 5;
  for (const Finding& f : report.findings) {
    check_width = std::max(check_width, f.check.size());
    where_width = std::max(where_width, std::min<size_t>(f.where.size(), 32));
  }
  std::string text = fmt::format("{:<4}  {:<{}}  {:<{}}  {}\n", "", "check", check_width, "where", where_width, "seen");
  for (const Finding& f : report.findings) {
    text += fmt::format("{:<4}  {:<{}}  {:<{}}  {}\n", name_of(f.status), f.check, check_width, f.where, where_width, f.seen);
    const std::string indent(6, ' ');
    if (f.status >= Status::kWarn && !f.expected.empty()) text += fmt::format("{}expected: {}\n", indent, f.expected);
    if (!f.remedy.empty()) text += fmt::format("{}what to do: {}\n", indent, f.remedy);
  }
  const auto counts = count(report.findings);
  text += fmt::format("\n{} pass, {} warn, {} fail, {} skipped; {} rank{}, {:.1f} s\n", of(counts, Status::kPass),
                      of(counts, Status::kWarn), of(counts, Status::kFail), of(counts, Status::kSkip), job.size(),
                      job.size() == 1 ? "" : "s", report.seconds);
  if (!report.recommendation.text.empty()) text += fmt::format("recommended: {}\n", report.recommendation.text);
  return text;
}

nlohmann::ordered_json json_of(const Job& job, const Report& report) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Finding& f : report.findings) {
    std::vector<std::string> hosts;
    for (const int r : f.ranks) {
      if (std::find(hosts.begin(), hosts.end(), job.host_of(r)) == hosts.end()) hosts.push_back(job.host_of(r));
    }
    checks.push_back({{"check", f.check},
                      {"status", name_of(f.status)},
                      {"ranks", f.ranks},
                      {"hosts", hosts},
                      {"seen", f.seen},
                      {"expected", f.expected},
                      {"remedy", f.remedy}});
  }
  const auto counts = count(report.findings);
  nlohmann::ordered_json json = {
      {"lockstep", job.ranks.front().launch.build},
      {"ranks", job.size()},
      {"status", name_of(worst(report.findings))},
      {"pass", of(counts, Status::kPass)},
      {"warn", of(counts, Status::kWarn)},
      {"fail", of(counts, Status::kFail)},
      {"skip", of(counts, Status::kSkip)},
      {"seconds", report.seconds},
      {"checks", checks},
      {"recommendation", {{"tensor_parallel_size", report.recommendation.tp}, {"text", report.recommendation.text}}}};
  return json;
}

}  // namespace lockstep::doctor
