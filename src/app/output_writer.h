// OutputWriter: the results of `generate` on stdout, in the order of the prompts: text as it is made, or one JSON line a prompt.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "config/command_line.h"
#include "engine/engine.h"

namespace lockstep {

class OutputWriter {
 public:
  // has_text: the model has a tokenizer; without one the text format prints token ids, and JSON has "text": null.
  OutputWriter(std::FILE* out, OutputFormat format, bool has_text, std::vector<std::vector<int32_t>> prompts);

  // Sequence ids are indices of prompts. Throws Error when stdout cannot be written (a full disk, a closed pipe).
  void add(const SequenceOutput& output);
  // What is unfinished is written as far as it got (after a signal).
  void finish();

 private:
  struct Result {
    std::vector<int32_t> tokens;
    std::string text;
    std::vector<float> logprobs;
    std::vector<std::vector<TokenLogprob>> top_logprobs;
    FinishReason finish = FinishReason::kNone;
    size_t written = 0;  // bytes of text already on stdout
  };
  void write_ready();
  void write_text(size_t index);
  void write_json(size_t index);
  void put(const std::string& text);

  std::FILE* out_;
  OutputFormat format_;
  bool has_text_;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<Result> results_;
  size_t current_ = 0;  // the first prompt that is not written whole
  bool header_written_ = false;
};

}  // namespace lockstep
