// A client's bytes: the strict check of the head, then Boost.Beast's parser, as a connection uses them.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "fuzz.h"
#include "serve/api_keys.h"
#include "serve/http_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  namespace http = boost::beast::http;
  std::string text = fuzz::text_of(data, size);
  const size_t end = text.find("\r\n\r\n");
  const std::string head = text.substr(0, end == std::string::npos ? end : end + 4);
  const auto early = check_head_so_far(head);
  const auto error = check_head(head);
  if (early) fuzz::require(error.has_value());  // what can be no head is none
  if (error) {
    fuzz::require(error->status >= 400 && error->status < 500 && !error->message.empty());
    return 0;
  }
  constexpr size_t kMostBody = 4096;
  http::request_parser<http::string_body> parser;
  parser.body_limit(kMostBody);
  parser.header_limit(1 << 20);
  boost::system::error_code failed;
  text.erase(0, parser.put(boost::asio::buffer(text.data(), head.size()), failed));
  if (failed || !parser.is_header_done()) return 0;
  const auto& message = parser.get();
  fuzz::require(message.count(http::field::content_length) + message.count(http::field::transfer_encoding) <= 1);
  const auto authorization = message[http::field::authorization];
  fuzz::require(
      !ApiKeys({"a key that no input will have by chance"}).allow(std::string(authorization.data(), authorization.size())));
  parser.eager(true);
  while (!parser.is_done() && !text.empty() && !failed) text.erase(0, parser.put(boost::asio::buffer(text), failed));
  fuzz::require(parser.get().body().size() <= kMostBody);
  return 0;
}
