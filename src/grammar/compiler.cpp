#include "grammar/compiler.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "grammar/json_rules.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "text/strict_json.h"

namespace lockstep::grammar {
namespace {

constexpr size_t kMaxSchemaBytes = 256 * 1024;

RuleId build(const GrammarSpec& spec, GrammarBuilder& builder, Budget& budget) {
  JsonRules rules(builder, budget);
  switch (spec.kind) {
    case GrammarKind::kNone: break;
    case GrammarKind::kJsonObject: return rules.object();
    case GrammarKind::kJsonSchema: {
      check(spec.text.size() <= kMaxSchemaBytes, "the JSON schema has {} bytes; allowed: at most {}", spec.text.size(),
            kMaxSchemaBytes);
      return build_json_schema(text::parse_strict_json<SchemaJson>(spec.text, "the JSON schema"), builder, budget);
    }
    case GrammarKind::kRegex: {
      const std::unique_ptr<RegexNode> regex = parse_regex(spec.text);
      return rules.add([&](Nfa& nfa, NfaState end) { return build_regex(nfa, *regex, Match::kWhole, write_plain, end); });
    }
  }
  fail("no form of output is given");
}

}  // namespace

Grammar compile_grammar(const GrammarSpec& spec, const Alphabet& alphabet) {
  Budget budget;
  GrammarBuilder builder;
  const RuleId root = build(spec, builder, budget);
  return builder.finish(root, alphabet);
}

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, int64_t size, std::vector<int32_t> ends)
    : tokenizer_(tokenizer), size_(size), ends_(std::move(ends)) {}

std::shared_ptr<const Vocabulary> GrammarCompiler::vocabulary() {
  std::call_once(vocabulary_read_, [this] { vocabulary_ = std::make_shared<Vocabulary>(tokenizer_, size_, ends_); });
  return vocabulary_;
}

std::vector<int32_t> GrammarCompiler::stop_tokens(const SamplingParams& params) const {
  std::vector<int32_t> all = params.stop_token_ids;
  if (!params.ignore_eos) all.insert(all.end(), ends_.begin(), ends_.end());
  return all;
}

std::shared_ptr<CompiledGrammar> GrammarCompiler::compile(const GrammarSpec& spec, const std::vector<int32_t>& stop_tokens) {
  const std::shared_ptr<const Vocabulary> tokens = vocabulary();
  std::vector<int32_t> ends;
  for (const int32_t token : stop_tokens) {
    if (token >= 0 && token < tokens->size() && tokens->text(token, false).empty()) ends.push_back(token);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::string key = fmt::format("{} {} ", static_cast<int>(spec.kind), fmt::join(ends, ",")) + spec.text;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      if (!found->second->grammar->is_overgrown()) {
        kept_.splice(kept_.begin(), kept_, found->second);
        return kept_.front().grammar;
      }
      kept_.erase(found->second);
      by_key_.erase(found);
    }
  }
  auto compiled = std::make_shared<CompiledGrammar>(compile_grammar(spec, tokens->alphabet()), tokens, std::move(ends));
  compiled->warm_up();
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) return found->second->grammar;  // another thread was faster
  kept_.push_front({key, compiled});
  by_key_.emplace(std::move(key), kept_.begin());
  if (kept_.size() > kMaxKept) {
    by_key_.erase(kept_.back().key);
    kept_.pop_back();
  }
  return compiled;
}

}  // namespace lockstep::grammar
