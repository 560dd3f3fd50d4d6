// From what a request asks of its output to a CompiledGrammar; those of late are kept.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/options.h"
#include "grammar/compiled_grammar.h"

namespace lockstep::grammar {

// The grammar of a spec that is not kNone. Throws Error for what is wrong with the text, cannot be followed, or is too large.
Grammar compile_grammar(const GrammarSpec& spec, const Alphabet& alphabet);

// Safe to call from several threads, so that requests are compiled where they are read and the engine only looks them up.
class GrammarCompiler {
 public:
  // Borrows the tokenizer. size: token ids of the model; ends: its ends of sequence, which are never text.
  GrammarCompiler(const Tokenizer& tokenizer, int64_t size, std::vector<int32_t> ends);

  // stop_tokens: those that end a sequence; of them, those that are no text may come when the grammar is complete. Bounded in
  // time and memory (budget.h). Throws Error.
  std::shared_ptr<CompiledGrammar> compile(const GrammarSpec& spec, const std::vector<int32_t>& stop_tokens);
  // What a request asks for.
  std::shared_ptr<CompiledGrammar> compile(const SamplingParams& params) { return compile(params.grammar, stop_tokens(params)); }
  // Ends of sequence unless they are ignored, and the request's own.
  std::vector<int32_t> stop_tokens(const SamplingParams& params) const;
  // Read on first use.
  std::shared_ptr<const Vocabulary> vocabulary();

 private:
  static constexpr size_t kMaxKept = 32;
  struct Kept {
    std::string key;
    std::shared_ptr<CompiledGrammar> grammar;
  };

  const Tokenizer& tokenizer_;
  int64_t size_;
  std::vector<int32_t> ends_;
  std::once_flag vocabulary_read_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;      // of what follows
  std::list<Kept> kept_;  // the last used first
  std::unordered_map<std::string, std::list<Kept>::iterator> by_key_;
};

}  // namespace lockstep::grammar
