#include "app/output_writer.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace lockstep {

OutputWriter::OutputWriter(std::FILE* out, OutputFormat format, bool has_text, std::vector<std::vector<int32_t>> prompts)
    : out_(out), format_(format), has_text_(has_text), prompts_(std::move(prompts)), results_(prompts_.size()) {}

void OutputWriter::add(const SequenceOutput& output) {
  Result& result = results_.at(static_cast<size_t>(output.id));
  result.tokens.push_back(output.token);
  if (has_text_) {
    result.text += output.text;
  } else if (format_ == OutputFormat::kText) {
    result.text += fmt::format("{}{}", result.tokens.size() > 1 ? " " : "", output.token);
  }
  if (output.logprobs) {
    result.logprobs.push_back(output.logprobs->logprob);
    if (!output.logprobs->top.empty()) result.top_logprobs.push_back(output.logprobs->top);
  }
  result.finish = output.finish;
  write_ready();
}

void OutputWriter::finish() {
  for (; current_ < results_.size(); ++current_) {
    if (format_ == OutputFormat::kText && !results_[current_].tokens.empty()) {
      write_text(current_);
      put("\n");
    }
    header_written_ = false;
  }
}

void OutputWriter::write_ready() {
  for (; current_ < results_.size(); ++current_) {
    const bool done = results_[current_].finish != FinishReason::kNone;
    if (format_ == OutputFormat::kText) {
      write_text(current_);
      if (done) put("\n");
    } else if (done) {
      write_json(current_);
    }
    if (!done) break;
    header_written_ = false;
  }
  const bool flushed = std::fflush(out_) == 0;  // before errno is read: arguments are evaluated in any order
  check(flushed, "stdout cannot be written: {}", std::strerror(errno));
}

void OutputWriter::write_text(size_t index) {
  Result& result = results_[index];
  if (results_.size() > 1 && !header_written_) {
    put(fmt::format("{}[{}/{}] ", index > 0 ? "\n" : "", index + 1, results_.size()));
    header_written_ = true;
  }
  put(result.text.substr(result.written));
  result.written = result.text.size();
}

void OutputWriter::write_json(size_t index) {
  const Result& result = results_[index];
  nlohmann::ordered_json line;
  line["prompt_token_ids"] = prompts_[index];
  line["token_ids"] = result.tokens;
  line["text"] = has_text_ ? nlohmann::ordered_json(result.text) : nlohmann::ordered_json(nullptr);
  line["finish_reason"] = result.finish == FinishReason::kStop ? "stop" : "length";
  if (!result.logprobs.empty()) line["logprobs"] = result.logprobs;
  if (!result.top_logprobs.empty()) {
    auto& all = line["top_logprobs"] = nlohmann::ordered_json::array();
    for (const auto& position : result.top_logprobs) {
      auto& best = all.emplace_back(nlohmann::ordered_json::array());
      for (const TokenLogprob& t : position) best.push_back({{"token_id", t.token}, {"logprob", t.logprob}});
    }
  }
  put(line.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void OutputWriter::put(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), out_) == text.size();  // before errno is read
  check(written, "stdout cannot be written: {}", std::strerror(errno));
}

}  // namespace lockstep
