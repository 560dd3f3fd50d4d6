#include "tools/check_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "config/model_config.h"
#include "engine/progress_bar.h"
#include "partition/partition.h"
#include "text/tokenizer.h"
#include "weights/coverage.h"
#include "weights/strict_json.h"
#include "weights/verify.h"

namespace lockstep {
namespace {

constexpr size_t kMostNamed = 20;

// Runs `action`; what it throws becomes one more problem. Returns whether there was none.
template <typename Action>
bool attempt(std::vector<std::string>& problems, const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    problems.emplace_back(error.what());
    return false;
  }
}

void check_numbers(const TensorSource& source, std::vector<std::string>& problems, std::ostream& out) {
  std::vector<NonFinite> found;
  {
    ProgressBar bar("checking", true);
    const int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 16);
    found = find_non_finite(source, threads, [&](int64_t done, int64_t total) { bar.update(done, total); });
  }
  for (size_t i = 0; i < std::min(found.size(), kMostNamed); ++i) {
    const NonFinite& f = found[i];
    const SourceTensor& t = source.tensors()[f.tensor];
    problems.push_back(fmt::format("tensor '{}' in {} has {} NaN and {} Inf among {} numbers of {}, the first of them, {}, at {}",
                                   printable(t.name), printable(t.file), f.nans, f.infinities,
                                   t.bytes / static_cast<int64_t>(size_of(*t.dtype)), t.dtype_name,
                                   f.first_is_nan ? "NaN" : "Inf", shape_text(coordinates(t.shape, f.first))));
  }
  if (found.size() > kMostNamed) problems.push_back(fmt::format("{} more tensors have NaN or Inf", found.size() - kMostNamed));
  size_t unread = 0;
  int64_t numbers = 0;
  for (const SourceTensor& t : source.tensors()) {
    if (t.dtype) numbers += t.bytes / static_cast<int64_t>(size_of(*t.dtype));
    if (!t.dtype) ++unread;
  }
  out << fmt::format("\nchecked: {} numbers of {} tensors, of which {} tensors hold NaN or Inf", numbers,
                     source.tensors().size() - unread, found.size());
  if (unread > 0) out << fmt::format("; {} tensors of other dtypes were not looked at", unread);
  out << '\n';
}

void check_tokenizer(const ModelConfig& config, std::vector<std::string>& problems, std::ostream& out) {
  if (config.tokenizer.empty()) return;
  attempt(problems, [&] {
    const auto tokenizer = Tokenizer::load(config.tokenizer);
    check(
        tokenizer->vocab_size() <= config.vocab_size,
        "{}: the tokenizer has ids up to {}, but the embedding has {} rows (vocab_size): texts with the ids from {} on cannot be "
        "computed; take those tokens out of tokenizer.json, or use the model's own",
        config.tokenizer.string(), tokenizer->vocab_size() - 1, config.vocab_size, config.vocab_size);
    out << fmt::format("checked: the tokenizer's {} ids lie within the vocabulary of {}\n", tokenizer->vocab_size(),
                       config.vocab_size);
  });
}

}  // namespace

void check_model(const std::filesystem::path& model, const TensorSource& source, std::ostream& out) {
  std::vector<std::string> problems;
  check_numbers(source, problems, out);
  const bool has_config = !leads_to_directory(model) || is_listed(model / "config.json");
  std::optional<ModelConfig> config;
  if (!has_config) {
    out << "not checked: there is no config.json, which would say what tensors there should be\n";
  } else if (attempt(problems, [&] { config = load_model_config(model); })) {
    const Partition whole = make_partition(*config, 1, 0);
    if (attempt(problems, [&] { match_tensors(whole, source); })) {
      attempt(problems, [&] { check_tied_head(whole, source); });
      out << "checked: the tensors are those that the configuration asks for\n";
    }
    check_tokenizer(*config, problems, out);
  }
  out.flush();
  check(problems.empty(), "{} is not sound:\n  {}", model.string(), fmt::join(problems, "\n  "));
}

}  // namespace lockstep
