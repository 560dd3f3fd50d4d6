#include "tools/doctor/job.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace lockstep::doctor {

std::vector<std::vector<int>> Job::hosts() const {
  std::vector<std::vector<int>> result;
  std::map<std::string, size_t> index;
  for (int r = 0; r < size(); ++r) {
    const auto [place, is_new] = index.try_emplace(host_of(r), result.size());
    if (is_new) result.emplace_back();
    result[place->second].push_back(r);
  }
  return result;
}

std::vector<int> Job::first_of_hosts() const {
  std::vector<int> result;
  for (const std::vector<int>& host : hosts()) result.push_back(host.front());
  return result;
}

std::string Job::describe(const std::vector<int>& of) const {
  if (static_cast<int>(of.size()) == size()) return size() == 1 ? "rank 0" : "all ranks";
  std::vector<std::pair<std::string, std::vector<int>>> by_host;
  for (const int r : of) {
    const auto same = [&](const auto& entry) { return entry.first == host_of(r); };
    auto place = std::find_if(by_host.begin(), by_host.end(), same);
    if (place == by_host.end()) place = by_host.insert(by_host.end(), {host_of(r), {}});
    place->second.push_back(r);
  }
  std::vector<std::string> parts;
  for (const auto& [host, ranks] : by_host) {
    parts.push_back(fmt::format("rank{} {} on {}", ranks.size() == 1 ? "" : "s", ranges_of(ranks), host));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string Job::describe_hosts(const std::vector<int>& of) const {
  std::vector<std::string> names;
  for (const int r : of) names.push_back(host_of(r));
  if (of.size() > 1 && of.size() == hosts().size()) return "all hosts";
  return fmt::format("{}", fmt::join(names, ", "));
}

Findings judge_each(const Job& job, const std::string& check, Scope scope, const Judge& judge) {
  std::vector<int> asked;
  if (scope == Scope::kHost) {
    asked = job.first_of_hosts();
  } else {
    for (int r = 0; r < job.size(); ++r) asked.push_back(r);
  }
  std::vector<std::pair<Verdict, std::vector<int>>> groups;
  for (const int r : asked) {
    const std::optional<Verdict> verdict = judge(job.ranks[static_cast<size_t>(r)]);
    if (!verdict) continue;
    const auto alike = [&](const auto& group) { return group.first == *verdict; };
    auto place = std::find_if(groups.begin(), groups.end(), alike);
    if (place == groups.end()) place = groups.insert(groups.end(), {*verdict, {}});
    place->second.push_back(r);
  }
  Findings findings;
  for (const auto& [verdict, ranks] : groups) {
    findings.emplace_back(check, scope == Scope::kHost ? job.describe_hosts(ranks) : job.describe(ranks), ranks, verdict);
  }
  return findings;
}

Finding of_all(const Job& job, const std::string& check, Verdict verdict) {
  std::vector<int> all;
  for (int r = 0; r < job.size(); ++r) all.push_back(r);
  return {check, job.describe(all), all, std::move(verdict)};
}

Findings same_everywhere(const Job& job, const std::string& check, Scope scope, Status otherwise, const std::string& remedy,
                         const std::function<std::string(const RankFacts&)>& value) {
  std::map<std::string, int> counts;
  for (const RankFacts& facts : job.ranks) {
    if (const std::string text = value(facts); !text.empty()) ++counts[text];
  }
  if (counts.empty()) return {};
  // What most have is right; among equals what the lowest rank has.
  std::string usual;
  for (const RankFacts& facts : job.ranks) {
    const std::string text = value(facts);
    if (!text.empty() && (usual.empty() || counts[text] > counts[usual])) usual = text;
  }
  return judge_each(job, check, scope, [&](const RankFacts& facts) -> std::optional<Verdict> {
    const std::string text = value(facts);
    if (text.empty()) return std::nullopt;
    if (text == usual) return Verdict{Status::kPass, text, "", ""};
    return Verdict{otherwise, text, usual, remedy};
  });
}

std::string ranges_of(const std::vector<int>& sorted) {
  std::string text;
  for (size_t i = 0; i < sorted.size();) {
    size_t last = i;
    while (last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1) ++last;
    if (!text.empty()) text += ",";
    text += last == i ? fmt::format("{}", sorted[i]) : fmt::format("{}{}{}", sorted[i], last == i + 1 ? "," : "-", sorted[last]);
    i = last + 1;
  }
  return text;
}

std::string size_text(int64_t bytes) {
  if (bytes == kUnlimited) return "unlimited";
  const auto value = static_cast<double>(bytes);
  if (bytes >= 10ll << 30) return fmt::format("{:.0f} GiB", value / (1ll << 30));
  if (bytes >= 1ll << 30) return fmt::format("{:.1f} GiB", value / (1ll << 30));
  if (bytes >= 1ll << 20) return fmt::format("{:.0f} MiB", value / (1ll << 20));
  return fmt::format("{:.0f} KiB", value / 1024.0);
}

}  // namespace lockstep::doctor
