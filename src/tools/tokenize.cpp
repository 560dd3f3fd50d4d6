#include "tools/tokenize.h"

#include <cstdint>
#include <istream>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace lockstep {

namespace {

constexpr size_t kBufferBytes = 1 << 16;

std::vector<int32_t> parse_ids(const std::string& line, size_t number) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  check(json.is_array(), "line {}: expected a JSON array of token ids, got '{}'", number, line.substr(0, 80));
  std::vector<int32_t> ids;
  ids.reserve(json.size());
  for (const auto& id : json) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
      fail("line {}: {} is not a token id", number, id.dump(-1, ' ', true));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

std::string parse_text(const std::string& line, size_t number) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  check(json.is_string(), "line {}: expected a JSON string, got '{}'", number, line.substr(0, 80));
  return json.get<std::string>();
}

void append_ids(const std::vector<int32_t>& ids, std::string& out) {
  out += '[';
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(ids[i]);
  }
  out += ']';
}

}  // namespace

int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out) {
  const auto tokenizer = Tokenizer::load(options.directory);
  std::string line, buffer;
  for (size_t number = 1; std::getline(in, line, '\n'); ++number) {
    if (options.decode) {
      const std::string text = tokenizer->decode(parse_ids(line, number), options.skip_special_tokens);
      buffer += options.json ? nlohmann::json(text).dump() : text;
    } else {
      append_ids(tokenizer->encode(options.json ? parse_text(line, number) : line, options.add_special_tokens), buffer);
    }
    buffer += '\n';
    // Someone who types lines by hand wants an answer to each: write before waiting for more.
    if (buffer.size() >= kBufferBytes || in.rdbuf()->in_avail() <= 0) {
      out << buffer << std::flush;
      buffer.clear();
    }
  }
  out << buffer << std::flush;
  check(out.good(), "the output cannot be written (disk full, or the reader has gone)");
  return 0;
}

}  // namespace lockstep
