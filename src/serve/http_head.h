// The head of an HTTP/1.1 request: the strict part of reading it. What servers and proxies read differently (RFC 9112, 11.2,
// "Request Smuggling") is refused here, before a parser that is lenient sees it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lockstep {

struct HttpError {
  int status = 400;
  std::string message;
};

// What can be told of a head that has not ended: an error as soon as it can be none.
std::optional<HttpError> check_head_so_far(std::string_view bytes);

// head: up to and with the empty line. Lines end in CR LF; no folded lines, no blanks before a colon, no control characters;
// names are tokens; one Host with HTTP/1.1; at most one Content-Length, all digits; no other Transfer-Encoding than chunked,
// once, with HTTP/1.1, and never with a Content-Length.
std::optional<HttpError> check_head(std::string_view head);

}  // namespace lockstep
