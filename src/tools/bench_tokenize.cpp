#include "tools/bench_tokenize.h"

#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"
#include "tools/english_text.h"

namespace lockstep {
namespace {

struct Row {
  std::string what;
  size_t bytes;    // of text
  size_t tokens;   // encoded or decoded
  double seconds;  // best of the repeats
  double floor;    // seconds to read that text once
};

std::string read_text(const BenchTokenizeOptions& options) {
  if (options.text.empty()) return make_english_text(static_cast<size_t>(options.megabytes) * 1'000'000);
  std::ifstream in(options.text, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  check(in.good() && !text.empty(), "--text {}: the file cannot be read, or is empty", options.text.string());
  return text;
}

// Lines with their line end.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t n = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, n));
    text.remove_prefix(n);
  }
  return lines;
}

double best_seconds(int32_t repeats, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int32_t i = 0; i < repeats; ++i) {
    const auto before = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count());
  }
  return best;
}

// Bytes per second of adding up the text, eight bytes at a time.
double read_rate(const std::string& text) {
  std::vector<uint64_t> words(text.size() / sizeof(uint64_t) + 1);
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(words.data()));
  volatile uint64_t sink = 0;
  const double seconds = best_seconds(5, [&] { sink = std::accumulate(words.begin(), words.end(), uint64_t{0}); });
  return static_cast<double>(text.size()) / seconds;
}

void print(const std::vector<Row>& rows, std::ostream& out) {
  fmt::print(out, "{:<28} {:>9} {:>10} {:>11} {:>9} {:>13} {:>9}\n", "", "MB", "tokens", "time ms", "MB/s", "tokens/s",
             "of floor");
  for (const Row& row : rows) {
    fmt::print(out, "{:<28} {:>9.1f} {:>10} {:>11.1f} {:>9.1f} {:>13.0f} {:>8.2f}%\n", row.what,
               static_cast<double>(row.bytes) / 1e6, row.tokens, row.seconds * 1e3,
               static_cast<double>(row.bytes) / row.seconds / 1e6, static_cast<double>(row.tokens) / row.seconds,
               100.0 * row.floor / row.seconds);
  }
}

void write_json(const BenchTokenizeOptions& options, const std::vector<Row>& rows, int64_t vocab_size, double rate) {
  nlohmann::ordered_json document;
  document["bench"] = "tokenize";
  document["tokenizer"] = options.directory.string();
  document["text"] = options.text.empty() ? "generated" : options.text.string();
  document["vocab_size"] = vocab_size;
  document["read_bytes_per_second"] = rate;
  for (const Row& row : rows) {
    document["rows"].push_back({{"what", row.what},
                                {"bytes", row.bytes},
                                {"tokens", row.tokens},
                                {"seconds", row.seconds},
                                {"bytes_per_second", static_cast<double>(row.bytes) / row.seconds},
                                {"tokens_per_second", static_cast<double>(row.tokens) / row.seconds},
                                {"floor_seconds", row.floor}});
  }
  std::ofstream file(options.json);
  file << document.dump(2) << '\n';
  check(file.good(), "--json {}: the file cannot be written", options.json.string());
}

}  // namespace

int run_bench_tokenize(const BenchTokenizeOptions& options, std::ostream& out) {
  const std::string text = read_text(options);
  const auto before = std::chrono::steady_clock::now();
  const auto tokenizer = Tokenizer::load(options.directory);
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  const double rate = read_rate(text);
  std::vector<Row> rows;
  const auto add = [&](std::string what, size_t bytes, size_t tokens, double seconds) {
    rows.push_back({std::move(what), bytes, tokens, seconds, static_cast<double>(bytes) / rate});
  };

  std::vector<int32_t> ids;
  const double whole = best_seconds(options.repeats, [&] { ids = tokenizer->encode(text, false); });
  add("encode, one text", text.size(), ids.size(), whole);

  const std::vector<std::string_view> lines = split_lines(text);
  size_t tokens = 0;
  const double by_line = best_seconds(options.repeats, [&] {
    tokens = 0;
    for (const std::string_view line : lines) tokens += tokenizer->encode(line, false).size();
  });
  add("encode, line by line", text.size(), tokens, by_line);

  // The worst case of byte pair encoding: nothing to cut at, so that all of it is one word.
  std::string unbroken;
  std::copy_if(text.begin(), text.end(), std::back_inserter(unbroken), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!unbroken.empty()) {
    const double seconds = best_seconds(1, [&] { tokens = tokenizer->encode(unbroken, false).size(); });
    add("encode, one word of a to z", unbroken.size(), tokens, seconds);
  }

  std::string decoded;
  const double decode = best_seconds(options.repeats, [&] { decoded = tokenizer->decode(ids, false); });
  add("decode", decoded.size(), ids.size(), decode);

  fmt::print(out, "{}: {} tokens, loaded in {:.2f} s; text: {}, {:.1f} MB, {} lines; one core\n", options.directory.string(),
             tokenizer->vocab_size(), load_seconds, options.text.empty() ? "generated" : options.text.string(),
             static_cast<double>(text.size()) / 1e6, lines.size());
  print(rows, out);
  fmt::print(out, "floor: reading the text once, at {:.1f} GB/s\n", rate / 1e9);
  if (!options.json.empty()) write_json(options, rows, tokenizer->vocab_size(), rate);
  return 0;
}

}  // namespace lockstep
