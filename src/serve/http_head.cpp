#include "serve/http_head.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep {
namespace {

constexpr size_t kMaxTarget = 8192;
constexpr size_t kMaxFields = 128;

bool is_token(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool all_tokens(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_token); }

bool equal_names(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

HttpError bad(std::string message) { return {400, std::move(message)}; }

std::optional<HttpError> check_request_line(std::string_view line, bool& is_1_1) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return bad("the request line is not METHOD TARGET VERSION");
  const std::string_view target = line.substr(first + 1, last - first - 1), version = line.substr(last + 1);
  if (!all_tokens(line.substr(0, first))) return bad("the method is no token");
  if (target.size() > kMaxTarget) return HttpError{414, "the target is too long"};
  const bool plain = std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (!plain || !target.starts_with('/')) return bad("the target is not a path");
  is_1_1 = version == "HTTP/1.1";
  if (!is_1_1 && version != "HTTP/1.0") return bad("the version is neither HTTP/1.1 nor HTTP/1.0");
  return std::nullopt;
}

}  // namespace

std::optional<HttpError> check_head_so_far(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\n' && (i == 0 || bytes[i - 1] != '\r')) return bad("a line of the head does not end in CR LF");
    if (i > 0 && bytes[i - 1] == '\r' && c != '\n') return bad("the head has a CR without LF");
    const auto u = static_cast<unsigned char>(c);
    if ((u < ' ' && c != '\r' && c != '\n' && c != '\t') || u == 0x7F) return bad("the head has a control character");
  }
  if (!is_token(bytes.front())) return bad("this is no HTTP request");
  const size_t method = bytes.find_first_of(" \r");
  constexpr size_t kLongestMethod = 32;
  if (std::min(method, bytes.size()) > kLongestMethod) return bad("this is no HTTP request");
  return std::nullopt;
}

std::optional<HttpError> check_head(std::string_view head) {
  if (const auto error = check_head_so_far(head)) return error;
  if (!head.ends_with("\r\n\r\n")) return bad("the head has no end");
  head.remove_suffix(2);
  bool is_1_1 = false;
  size_t end = head.find("\r\n");
  if (const auto error = check_request_line(head.substr(0, end), is_1_1)) return error;
  size_t num_fields = 0, num_hosts = 0, num_lengths = 0, num_encodings = 0;
  for (head.remove_prefix(end + 2); !head.empty(); head.remove_prefix(end + 2)) {
    end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    if (++num_fields > kMaxFields) return HttpError{431, fmt::format("more than {} header fields", kMaxFields)};
    if (line.starts_with(' ') || line.starts_with('\t')) return bad("a header field is folded over lines");
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !all_tokens(line.substr(0, colon))) return bad("a header field has no name");
    const std::string_view name = line.substr(0, colon), value = trim(line.substr(colon + 1));
    if (equal_names(name, "Host")) ++num_hosts;
    if (equal_names(name, "Content-Length")) {
      ++num_lengths;
      const bool digits = !value.empty() && value.size() <= 18 && value.find_first_not_of("0123456789") == std::string_view::npos;
      if (!digits) return bad("Content-Length is no number");
    }
    if (equal_names(name, "Transfer-Encoding")) {
      ++num_encodings;
      if (!equal_names(value, "chunked")) return bad("Transfer-Encoding is not chunked");
    }
  }
  if (num_hosts > 1 || (is_1_1 && num_hosts == 0)) return bad("there must be one Host");
  if (num_lengths > 1) return bad("there is more than one Content-Length");
  if (num_encodings > 1) return bad("there is more than one Transfer-Encoding");
  if (num_encodings > 0 && num_lengths > 0) return bad("both Content-Length and Transfer-Encoding are given");
  if (num_encodings > 0 && !is_1_1) return bad("Transfer-Encoding needs HTTP/1.1");
  return std::nullopt;
}

}  // namespace lockstep
