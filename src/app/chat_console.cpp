#include "app/chat_console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp =
    "/help          this list\n"
    "/reset         forget what was said; the system message stays\n"
    "/system TEXT   set the system message; without TEXT show it; /system - takes it away\n"
    "/save FILE     write the chat as JSON\n"
    "/stats         tokens and speed of the last answer\n"
    "/exit          end; so does Ctrl-D\n"
    "A line that ends with \\ goes on in the next; \"\"\" begins and ends a text of several lines; // at the start stands for "
    "/.\n"
    "Ctrl-C stops the answer.\n";
constexpr std::string_view kQuotes = "\"\"\"";

// Past stdio, which loses what a signal interrupts; the line editor flushes what it writes.
void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    check(written >= 0, "stdout cannot be written: {}", std::strerror(errno));
    text.remove_prefix(static_cast<size_t>(written));
  }
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

}  // namespace

ChatConsole::ChatConsole(LLM& llm, const ChatOptions& options, std::string model, LineReader& reader, ChatSignals& signals)
    : llm_(llm), options_(options), model_(std::move(model)), reader_(reader), signals_(signals) {
  history_.set_system(options.system);
}

void ChatConsole::notice(const std::string& text) const { fmt::print(stderr, "[{}]\n", text); }

void ChatConsole::failed(const std::string& text) {
  fmt::print(stderr, "lockstep chat: {}\n", text);
  if (!reader_.is_terminal()) code_ = 1;
}

std::optional<std::string> ChatConsole::read_block(std::string text) {
  for (;;) {
    const size_t end = text.find(kQuotes);
    if (end != std::string::npos) return text.substr(0, end);
    const LineReader::Line line = reader_.read("... ");
    if (line.outcome == LineReader::Outcome::kInterrupted) {
      signals_.forget_interrupt();
      return "";
    }
    if (line.outcome == LineReader::Outcome::kEnd) {
      failed(fmt::format("the input ended within a text that {} began; it was not sent", kQuotes));
      return std::nullopt;
    }
    text += '\n' + line.text;
  }
}

std::optional<std::string> ChatConsole::read_entry() {
  std::string text;
  for (const char* prompt = "> ";; prompt = "... ") {
    LineReader::Line line = reader_.read(prompt);
    if (line.outcome == LineReader::Outcome::kInterrupted) {
      signals_.forget_interrupt();
      if (text.empty()) notice("Ctrl-C stops an answer; /exit or Ctrl-D ends the chat");
      return "";
    }
    if (line.outcome == LineReader::Outcome::kEnd) return text.empty() ? std::nullopt : std::optional(text);
    if (text.empty() && line.text.starts_with(kQuotes)) {
      std::optional<std::string> block = read_block(line.text.substr(kQuotes.size()));
      // Quotes may have lines of their own.
      if (block && block->starts_with('\n')) block->erase(0, 1);
      if (block && block->ends_with('\n')) block->pop_back();
      return block;
    }
    const bool goes_on = line.text.ends_with('\\');
    if (goes_on) line.text.back() = '\n';
    text += line.text;
    if (!goes_on) return text;
  }
}

int ChatConsole::run() {
  if (reader_.is_terminal()) notice("/help tells the commands; /exit or Ctrl-D ends the chat");
  while (!signals_.ended()) {
    const std::optional<std::string> entry = read_entry();
    if (!entry) break;
    if (trim(*entry).empty()) continue;
    reader_.remember(*entry);
    if (entry->starts_with("//")) {
      answer(entry->substr(1));
    } else if (!entry->starts_with('/')) {
      answer(*entry);
    } else if (!command(*entry)) {
      break;
    }
  }
  return code_;
}

bool ChatConsole::command(const std::string& entry) {
  const size_t space = entry.find_first_of(" \t\n");
  const std::string name = entry.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : trim(std::string_view(entry).substr(space));
  if (name == "/exit") return false;
  if (name == "/help") {
    put(kHelp);
  } else if (name == "/stats") {
    put(stats());
  } else if (name == "/save") {
    try {
      save(rest);
    } catch (const Error& error) {
      failed(error.what());
    }
  } else if (name == "/reset") {
    history_.clear();
    notice("what was said is forgotten");
  } else if (name == "/system" && rest.empty()) {
    put((history_.system().empty() ? "no system message" : history_.system()) + "\n");
  } else if (name == "/system") {
    history_.set_system(rest == "-" ? "" : rest);
    notice(rest == "-" ? "no system message from now on" : "the system message holds from now on");
  } else {
    failed(fmt::format("'{}' is no command; /help lists them, // at the start sends a text that begins with /", name));
  }
  return true;
}

void ChatConsole::answer(const std::string& question) {
  const auto context = llm_.max_model_len();
  const int64_t room = std::min<int64_t>(options_.sampling.max_tokens, context / 4);
  ChatHistory::Prompt prompt;
  try {
    prompt = history_.ask(
        question, [&](const auto& messages) { return llm_.encode_chat(messages); }, context, room);
  } catch (const Error& error) {
    failed(error.what());  // too long, or refused by the template
    return;
  }
  if (prompt.num_dropped > 0) {
    notice(fmt::format("the {} oldest question{} and {} no longer fit the context of {} tokens and {} forgotten",
                       prompt.num_dropped, prompt.num_dropped == 1 ? "" : "s",
                       prompt.num_dropped == 1 ? "its answer" : "their answers", context,
                       prompt.num_dropped == 1 ? "is" : "are"));
  }
  const auto begin = Clock::now();
  Stats stats = stats_;
  stats.first_token_seconds = 0.0;
  Follow follow;
  follow.on_token = [&](const Delta& delta) {
    if (stats.first_token_seconds == 0.0) stats.first_token_seconds = seconds_since(begin);
    put(delta.text);
    return true;
  };
  follow.cancelled = [&] { return signals_.interrupted() || signals_.ended(); };
  const RequestOutput output = std::move(llm_.generate_from_tokens({prompt.token_ids}, options_.sampling, follow).front());
  const Completion& completion = output.completions.front();
  put("\n");
  if (signals_.interrupted()) notice("stopped");
  signals_.forget_interrupt();
  if (completion.finish == FinishReason::kLength) {
    const bool is_full = output.prompt_token_ids.size() + completion.token_ids.size() >= static_cast<size_t>(context);
    notice(is_full ? fmt::format("the answer ends here: the context of {} tokens is full", context)
                   : fmt::format("the answer ends here, at {} tokens (--max-tokens)", completion.token_ids.size()));
  }
  history_.add(question, completion.text);
  stats.seconds = seconds_since(begin);
  stats.prompt_tokens = static_cast<int64_t>(prompt.token_ids.size());
  stats.cached_tokens = output.num_cached_tokens;
  stats.output_tokens = static_cast<int64_t>(completion.token_ids.size());
  stats.all_output_tokens += stats.output_tokens;
  ++stats.answers;
  stats_ = stats;
}

std::string ChatConsole::stats() const {
  if (stats_.answers == 0) return "no answer yet\n";
  const double decode = stats_.seconds - stats_.first_token_seconds;
  const double rate = decode > 0.0 ? static_cast<double>(stats_.output_tokens - 1) / decode : 0.0;
  return fmt::format(
      "last answer: {} prompt tokens ({} of them known already), {} output tokens; first after {:.3f} s, then {:.1f} tok/s\n"
      "chat: {} answers, {} output tokens; {} of {} tokens of the context in use\n",
      stats_.prompt_tokens, stats_.cached_tokens, stats_.output_tokens, stats_.first_token_seconds, rate, stats_.answers,
      stats_.all_output_tokens, stats_.prompt_tokens + stats_.output_tokens, llm_.max_model_len());
}

void ChatConsole::save(const std::string& name) {
  check(!name.empty(), "/save needs the name of a file");
  const std::filesystem::path file = std::filesystem::absolute(name);
  check(saved_.contains(file) || !is_listed(file), "{} exists; give another name", name);
  nlohmann::ordered_json chat;
  chat["model"] = model_;
  chat["messages"] = nlohmann::ordered_json::array();
  for (const ChatMessage& message : history_.messages()) {
    chat["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << chat.dump(2, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  out.close();
  check(out.good(), "{} cannot be written: {}", name, std::strerror(errno));
  saved_.insert(file);
  notice(fmt::format("{} turns are in {}", history_.num_turns(), name));
}

}  // namespace lockstep
