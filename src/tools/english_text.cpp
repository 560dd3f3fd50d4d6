#include "tools/english_text.h"

#include <cmath>
#include <iterator>
#include <random>
#include <string_view>

namespace lockstep {
namespace {

// In the order of their frequency.
constexpr std::string_view kCommonWords[] = {
    "the",     "of",    "and",     "to",      "a",      "in",    "that",    "is",      "was",     "he",    "for",     "it",
    "with",    "as",    "his",     "on",      "be",     "at",    "by",      "this",    "had",     "not",   "are",     "but",
    "from",    "or",    "have",    "an",      "they",   "which", "one",     "you",     "were",    "her",   "all",     "she",
    "there",   "would", "their",   "we",      "him",    "been",  "has",     "when",    "who",     "will",  "more",    "no",
    "if",      "out",   "so",      "said",    "what",   "up",    "its",     "about",   "into",    "than",  "them",    "can",
    "only",    "other", "new",     "some",    "could",  "time",  "these",   "two",     "may",     "then",  "do",      "first",
    "any",     "my",    "now",     "such",    "like",   "our",   "over",    "man",     "me",      "even",  "most",    "made",
    "after",   "also",  "did",     "many",    "before", "must",  "through", "years",   "where",   "much",  "your",    "way",
    "well",    "down",  "should",  "because", "each",   "just",  "those",   "people",  "how",     "too",   "little",  "state",
    "good",    "very",  "make",    "world",   "still",  "own",   "see",     "men",     "work",    "long",  "get",     "here",
    "between", "both",  "life",    "being",   "under",  "never", "day",     "same",    "another", "know",  "while",   "last",
    "might",   "us",    "great",   "old",     "year",   "off",   "come",    "since",   "against", "go",    "came",    "right",
    "used",    "take",  "three",   "system",  "number", "house", "during",  "without", "again",   "place", "doesn't", "it's",
    "I'm",     "we'll", "they've", "don't"};
constexpr std::string_view kOnsets[] = {"b",  "c",  "d",  "f",  "g",  "h",  "l",   "m",  "n",  "p",  "r",
                                        "s",  "t",  "v",  "w",  "br", "ch", "cl",  "cr", "dr", "fl", "gr",
                                        "pl", "pr", "qu", "sh", "sp", "st", "str", "th", "tr", ""};
constexpr std::string_view kRhymes[] = {"a",   "e",  "i",    "o",   "u",   "an",  "ar",   "at",  "en", "er",  "est",
                                        "ic",  "in", "ing",  "it",  "on",  "or",  "ound", "ow",  "al", "ain", "ate",
                                        "eat", "ea", "ight", "ill", "ine", "ock", "ore",  "uck", "um", "un"};
constexpr std::string_view kEndings[] = {"",     "",     "",     "s",    "ed",  "ing", "ly",  "er",
                                         "ment", "tion", "ness", "able", "ous", "ity", "ive", "al"};

class Writer {
 public:
  explicit Writer(size_t bytes) : bytes_(bytes) { out_.reserve(bytes + 256); }

  std::string run() {
    while (out_.size() < bytes_) paragraph();
    return std::move(out_);
  }

 private:
  template <size_t N>
  std::string_view pick(const std::string_view (&list)[N]) {
    return list[random_() % N];
  }
  double uniform() { return static_cast<double>(random_() % 65536) / 65536.0; }

  // The n-th of the words put together from syllables; small n are frequent.
  static void append_rare(uint32_t n, std::string& word) {
    std::minstd_rand random(n + 1);
    random.discard(2);
    const size_t syllables = 1 + random() % 3;
    for (size_t i = 0; i < syllables; ++i) {
      word += kOnsets[random() % std::size(kOnsets)];
      word += kRhymes[random() % std::size(kRhymes)];
    }
    word += kEndings[random() % std::size(kEndings)];
  }

  std::string word() {
    const double kind = uniform();
    if (kind < 0.02) return std::to_string(random_() % (kind < 0.01 ? 100 : 10000));
    if (kind < 0.60) return std::string(kCommonWords[static_cast<size_t>(std::pow(std::size(kCommonWords), uniform())) - 1]);
    std::string rare;
    append_rare(static_cast<uint32_t>(std::pow(200000.0, uniform())), rare);
    if (kind < 0.64) rare[0] = static_cast<char>(rare[0] - 'a' + 'A');
    return rare;
  }

  void append(const std::string& word, size_t& column) {
    if (column + word.size() > 80) {
      out_.back() = '\n';  // the blank behind the last word
      column = 0;
    }
    out_ += word;
    out_ += ' ';
    column += word.size() + 1;
  }

  void paragraph() {
    size_t column = 0;
    for (size_t sentences = 2 + random_() % 6; sentences > 0; --sentences) {
      const size_t words = 4 + random_() % 24;
      for (size_t i = 0; i < words; ++i) {
        std::string next = word();
        if (i == 0 && next[0] >= 'a' && next[0] <= 'z') next[0] = static_cast<char>(next[0] - 'a' + 'A');
        if (i + 1 == words) {
          next += uniform() < 0.9 ? '.' : '?';
        } else if (uniform() < 0.07) {
          next += ',';
        } else if (uniform() < 0.02) {
          next = "\"" + next + "\"";
        }
        append(next, column);
      }
    }
    out_.back() = '\n';
    out_ += '\n';
  }

  size_t bytes_;
  std::string out_;
  std::mt19937 random_{7};
};

}  // namespace

std::string make_english_text(size_t bytes) { return Writer(bytes).run(); }

}  // namespace lockstep
