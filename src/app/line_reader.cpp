#include "app/line_reader.h"

#include <histedit.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace lockstep {
namespace {

constexpr size_t kMaxLine = 16 << 20;  // bytes; longer than any context

// read(2) that comes back for a signal only when one of ours asks for that. The bytes read; 0: the end; -1: a signal.
ssize_t read_some(const ChatSignals& signals, char* data, size_t size) {
  while (!signals.ended() && !signals.interrupted()) {
    const ssize_t n = ::read(STDIN_FILENO, data, size);
    if (n >= 0) return n;
    check(errno == EINTR, "standard input cannot be read: {}", std::strerror(errno));
  }
  return -1;
}

class PlainReader : public LineReader {
 public:
  explicit PlainReader(ChatSignals& signals) : signals_(signals) {}

  Line read(const std::string&) override {
    std::array<char, 4096> part;
    for (size_t begin = 0;;) {
      const size_t end = read_.find('\n', begin);
      if (end != std::string::npos) {
        Line line = {Outcome::kLine, read_.substr(0, end)};
        read_.erase(0, end + 1);
        return line;
      }
      begin = read_.size();
      check(begin < kMaxLine, "a line of standard input is longer than {} MiB, more than any model's context", kMaxLine >> 20);
      const ssize_t got = read_some(signals_, part.data(), part.size());
      if (got < 0) return {signals_.ended() ? Outcome::kEnd : Outcome::kInterrupted, ""};
      if (got == 0) return {read_.empty() ? Outcome::kEnd : Outcome::kLine, std::exchange(read_, {})};
      read_.append(part.data(), static_cast<size_t>(got));
    }
  }

 private:
  ChatSignals& signals_;
  std::string read_;  // and not yet handed out
};

class TerminalReader : public LineReader {
 public:
  explicit TerminalReader(ChatSignals& signals) : signals_(signals) {
    // The editor counts characters as the locale has them.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    editor_ = el_init("lockstep", stdin, stdout, stderr);
    history_ = history_init();
    check(editor_ != nullptr && history_ != nullptr, "the terminal cannot be set up for editing; give the text through a pipe");
    HistEvent event;
    history(history_, &event, H_SETSIZE, 1000);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &TerminalReader::prompt_of);
    el_set(editor_, EL_GETCFN, &TerminalReader::read_char);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_HIST, history, history_);
    el_source(editor_, nullptr);  // ~/.editrc
  }
  ~TerminalReader() override {
    el_end(editor_);
    history_end(history_);
  }
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;

  Line read(const std::string& prompt) override {
    prompt_ = prompt;
    el_resize(editor_);
    int count = 0;
    const char* typed = el_gets(editor_, &count);
    if (signals_.interrupted() || signals_.ended()) {
      el_reset(editor_);
      std::fputs("\n", stdout);
      std::fflush(stdout);
      return {signals_.ended() ? Outcome::kEnd : Outcome::kInterrupted, ""};
    }
    if (typed == nullptr || count <= 0) {
      std::fputs("\n", stdout);
      return {Outcome::kEnd, ""};
    }
    std::string_view line(typed, static_cast<size_t>(count));
    if (line.ends_with('\n')) line.remove_suffix(1);
    return {Outcome::kLine, std::string(line)};
  }

  void remember(const std::string& text) override {
    HistEvent event;
    history(history_, &event, H_ENTER, text.c_str());
  }
  bool is_terminal() const override { return true; }

 private:
  static TerminalReader* of(EditLine* editor) {
    TerminalReader* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return self;
  }
  static char* prompt_of(EditLine* editor) { return of(editor)->prompt_.data(); }

  // One character, of several bytes perhaps: 1, or 0 at the end, or -1 for a signal, after which the editor gives up the line.
  static int read_char(EditLine* editor, wchar_t* out) {
    std::mbstate_t state{};
    for (;;) {
      char byte = 0;
      const ssize_t got = read_some(of(editor)->signals_, &byte, 1);
      if (got <= 0) return static_cast<int>(got);
      const size_t used = std::mbrtowc(out, &byte, 1, &state);
      if (used == static_cast<size_t>(-2)) continue;  // not yet whole
      if (used != static_cast<size_t>(-1)) return 1;
      state = {};  // no character: as if nothing had come
    }
  }

  ChatSignals& signals_;
  std::string prompt_;
  EditLine* editor_ = nullptr;
  History* history_ = nullptr;
};

}  // namespace

std::unique_ptr<LineReader> make_line_reader(ChatSignals& signals) {
  if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) return std::make_unique<TerminalReader>(signals);
  return std::make_unique<PlainReader>(signals);
}

}  // namespace lockstep
