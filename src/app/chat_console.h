// ChatConsole: the talk of `lockstep chat`: lines in, answers and what commands ask for out.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "app/chat_history.h"
#include "app/chat_signals.h"
#include "app/line_reader.h"
#include "config/command_line.h"
#include "llm/llm.h"

namespace lockstep {

class ChatConsole {
 public:
  // Borrows all. model: what /save writes.
  ChatConsole(LLM& llm, const ChatOptions& options, std::string model, LineReader& reader, ChatSignals& signals);

  // Until /exit, the end of the input or SIGTERM. Answers go to stdout, notices and errors to stderr. The exit code: 0, or 1 when
  // the input was no terminal and something in it could not be done.
  int run();

 private:
  // What was entered: one line, or several.
  std::optional<std::string> read_entry();
  std::optional<std::string> read_block(std::string text);
  bool command(const std::string& entry);  // false: the chat ends
  void answer(const std::string& question);
  void save(const std::string& file);
  std::string stats() const;
  void notice(const std::string& text) const;
  void failed(const std::string& text);

  // Of the last answer, and of all.
  struct Stats {
    double first_token_seconds = 0.0;
    double seconds = 0.0;
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;
    int64_t output_tokens = 0;
    int64_t answers = 0;
    int64_t all_output_tokens = 0;
  };

  LLM& llm_;
  const ChatOptions& options_;
  std::string model_;
  LineReader& reader_;
  ChatSignals& signals_;
  ChatHistory history_;
  Stats stats_;
  std::set<std::filesystem::path> saved_;  // files of this chat, which may be written again
  int code_ = 0;
};

}  // namespace lockstep
