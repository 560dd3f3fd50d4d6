// LineReader: where the lines of a chat come from: a terminal with editing and history, or anything else, plain.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/chat_signals.h"

namespace lockstep {

class LineReader {
 public:
  virtual ~LineReader() = default;
  enum class Outcome { kLine, kInterrupted, kEnd };
  struct Line {
    Outcome outcome = Outcome::kEnd;
    std::string text;  // without its line end
  };
  // The next line; kInterrupted after SIGINT, what was typed is forgotten; kEnd at the end of the input and after SIGTERM.
  // `prompt` is shown on a terminal only.
  virtual Line read(const std::string& prompt) = 0;
  // What the arrow keys bring back.
  virtual void remember(const std::string&) {}
  virtual bool is_terminal() const { return false; }
};

// Of standard input; editing where it and standard output are a terminal. Throws Error when the terminal cannot be set up.
std::unique_ptr<LineReader> make_line_reader(ChatSignals& signals);

}  // namespace lockstep
