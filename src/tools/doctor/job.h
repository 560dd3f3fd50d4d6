// Job: what the checks look at: the facts of all ranks, and what is to be run on them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/doctor/facts.h"
#include "tools/doctor/finding.h"

namespace lockstep::doctor {

// Bytes that a rank of the model will need, by rank; empty without a model.
struct ModelNeed {
  std::string model;
  std::vector<int64_t> weights;   // bytes, by rank
  std::vector<int64_t> other;     // activations and buffers
  std::vector<int64_t> kv_token;  // bytes of the KV cache for one token
  int64_t context = 0;            // of the longest sequence
};

struct Job {
  std::vector<RankFacts> ranks;
  int tensor_parallel_size = 0;  // asked for; 0: all ranks
  bool cuda = false;             // where it will compute
  std::optional<ModelNeed> need;

  int size() const { return static_cast<int>(ranks.size()); }
  // Indices of the ranks of each host, hosts in the order of their lowest rank.
  std::vector<std::vector<int>> hosts() const;
  // Of each host its lowest rank.
  std::vector<int> first_of_hosts() const;
  const std::string& host_of(int rank) const { return ranks[static_cast<size_t>(rank)].launch.host; }
  // "all ranks", "rank 2 on node1", "ranks 0-3 on node1, ranks 4, 6 on node2".
  std::string describe(const std::vector<int>& of) const;
  // "all hosts", "node1, node2"; of: a rank each.
  std::string describe_hosts(const std::vector<int>& of) const;
};

enum class Scope { kRank, kHost };

// Judges every rank, or every host by its lowest rank, and makes one finding of those that are judged alike. Ranks for which
// `judge` returns nothing are left out.
using Judge = std::function<std::optional<Verdict>(const RankFacts&)>;
Findings judge_each(const Job& job, const std::string& check, Scope scope, const Judge& judge);

// One finding about all.
Finding of_all(const Job& job, const std::string& check, Verdict verdict);

// Whether a value is the same on all ranks that have one (the others return an empty text): passes with the value, else warns or
// fails, naming who has which.
Findings same_everywhere(const Job& job, const std::string& check, Scope scope, Status otherwise, const std::string& remedy,
                         const std::function<std::string(const RankFacts&)>& value);

// "0-3, 5"
std::string ranges_of(const std::vector<int>& sorted);
// "1.5 GiB", "64 MiB"
std::string size_text(int64_t bytes);

}  // namespace lockstep::doctor
