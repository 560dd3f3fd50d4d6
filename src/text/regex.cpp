#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {

struct PcreDeleter {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
template <typename T>
using PcrePtr = std::unique_ptr<T, PcreDeleter>;

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

void cover(size_t begin, size_t end, size_t& covered, std::vector<Match>& out) {
  if (covered < begin) out.push_back({covered, begin, false});
  out.push_back({begin, end, true});
  covered = end;
}

class PcrePattern final : public Pattern {
 public:
  // pattern: as the file has it, for messages; translated: what PCRE2 compiles.
  PcrePattern(std::string_view pattern, const std::string& translated, std::string where)
      : pattern_(pattern), where_(std::move(where)) {
    const PcrePtr<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // In Ruby's syntax ^ and $ always mean lines.
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context.get()));
    check(code_ != nullptr, "{}: the regular expression '{}' does not compile: {}", where_, pattern_, pcre_message(error));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter runs
  }

  void find(std::string_view text, std::vector<Match>& out) const override {
    const PcrePtr<pcre2_match_data> data(pcre2_match_data_create(1, nullptr));
    size_t covered = 0;
    std::optional<size_t> last_end;
    for (size_t from = 0; from <= text.size();) {
      if (!search(text, from, data.get())) break;
      const PCRE2_SIZE* ovector = pcre2_get_ovector_pointer(data.get());
      const size_t begin = ovector[0], end = ovector[1];
      if (begin == end && last_end == end) {  // no empty match right behind another match
        if (from == text.size()) break;
        from += utf8_length(text[from]);
        continue;
      }
      if (!text.empty()) cover(begin, end, covered, out);
      from = end;
      last_end = end;
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
  }

 private:
  // The first match at or behind `from`. The text is known to be valid UTF-8, `from` to be a boundary.
  bool search(std::string_view text, size_t from, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int rc = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, nullptr);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT || rc == PCRE2_ERROR_MATCHLIMIT) {
      // Nested repeats over a long text. The interpreter keeps its backtracking points on the heap, so it may go further; steps
      // in proportion to the text are allowed, exponential ones are not.
      const PcrePtr<pcre2_match_context> limits(pcre2_match_context_create(nullptr));
      pcre2_set_match_limit(limits.get(), static_cast<uint32_t>(std::min<size_t>(20'000'000 + 64 * text.size(), 2'000'000'000)));
      pcre2_set_heap_limit(limits.get(), 1U << 20);  // KiB
      rc = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, limits.get());
    }
    if (rc == PCRE2_ERROR_NOMATCH) return false;
    if (rc < 0) {
      fail("{}: the regular expression '{}' gives up on a text of {} bytes at byte {}: {}", where_, pattern_, text.size(), from,
           pcre_message(rc));
    }
    return true;
  }

  std::string pattern_;
  std::string where_;
  PcrePtr<pcre2_code> code_;
};

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string literal) : literal_(std::move(literal)) {}
  void find(std::string_view text, std::vector<Match>& out) const override {
    size_t covered = 0;
    for (size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size())) {
      cover(at, at + literal_.size(), covered, out);
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
  }

 private:
  std::string literal_;
};

}  // namespace

std::unique_ptr<Pattern> make_regex(std::string_view pattern, const std::string& where) {
  return std::make_unique<PcrePattern>(pattern, translate_regex(pattern, where), where);
}

CodePointSet code_points_of(std::string_view members, const std::string& where) {
  const std::string pattern = fmt::format("[{}]+", members);
  std::string all;  // every code point once, in order
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c < 0xD800 || c >= 0xE000) append_code_point(all, c);
  }
  std::vector<Match> matches;
  PcrePattern(pattern, pattern, where).find(all, matches);
  CodePointSet out;
  for (const Match& m : matches) {
    if (!m.is_match) continue;
    size_t i = m.begin;
    const char32_t first = next_code_point(all, i);
    i = previous_character(all, m.end);
    out.append(first, next_code_point(all, i));
  }
  return out;
}

std::unique_ptr<Pattern> make_literal(std::string literal) { return std::make_unique<LiteralPattern>(std::move(literal)); }

}  // namespace lockstep::text
