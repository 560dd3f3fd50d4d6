// Heads of HTTP requests: what servers and proxies could read differently is refused.
#include "serve/http_head.h"

#include <gtest/gtest.h>

#include "serve/api_keys.h"

namespace lockstep {
namespace {

std::string head(const std::string& fields, const std::string& line = "POST /v1/completions HTTP/1.1") {
  return line + "\r\nHost: x\r\n" + fields + "\r\n";
}

int status(const std::string& text) {
  const auto error = check_head(text);
  return error ? error->status : 200;
}

TEST(HttpHead, TakesWhatClientsSend) {
  EXPECT_EQ(status(head("")), 200);
  EXPECT_EQ(status(head("Content-Length: 12\r\nContent-Type: application/json\r\n")), 200);
  EXPECT_EQ(status(head("transfer-encoding: Chunked\r\nX-Empty:\r\n")), 200);
  EXPECT_EQ(status(head("Authorization: Bearer a\tb\r\nX: \xC3\xA9\r\n")), 200);
  EXPECT_EQ(status("GET /metrics?x=1 HTTP/1.0\r\n\r\n"), 200);
}

TEST(HttpHead, RefusesWhatCanBeReadInTwoWays) {
  const std::vector<std::string> wrong = {head("Content-Length: 1\r\nContent-Length: 1\r\n"),
                                          head("Content-Length: 1\r\nContent-Length: 2\r\n"),
                                          head("Content-Length: 1, 1\r\n"),
                                          head("Content-Length: +1\r\n"),
                                          head("Content-Length: -1\r\n"),
                                          head("Content-Length: 0x1\r\n"),
                                          head("Content-Length:\r\n"),
                                          head("Content-Length: 99999999999999999999\r\n"),
                                          head("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                                          head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
                                          head("Transfer-Encoding: chunked, chunked\r\n"),
                                          head("Transfer-Encoding: gzip, chunked\r\n"),
                                          head("Transfer-Encoding: xchunked\r\n"),
                                          head("Transfer-Encoding: identity\r\n"),
                                          head("Transfer-Encoding : chunked\r\n"),
                                          head("Transfer-Encoding:\x0B"
                                               "chunked\r\n"),
                                          head(" Content-Length: 1\r\n"),
                                          head("X: a\r\n Content-Length: 1\r\n"),
                                          head("X: a\n"),
                                          head("X: a\rY: b\r\n"),
                                          head(std::string("X: a\0b\r\n", 9)),
                                          head("NoColon\r\n"),
                                          head(": empty\r\n"),
                                          head("X(y): 1\r\n"),
                                          head("Host: y\r\n"),
                                          head("", "POST /x HTTP/2.0"),
                                          head("", "POST /x HTTP/1.2"),
                                          head("", "POST /x"),
                                          head("", "POST  HTTP/1.1"),
                                          head("", "POST /a b HTTP/1.1"),
                                          head("", "POST http://x/ HTTP/1.1"),
                                          head("", "P\xC3\xB6ST / HTTP/1.1"),
                                          "POST / HTTP/1.1\r\n\r\n",
                                          "\x16\x03\x01\x02",
                                          "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"};
  for (const std::string& text : wrong) EXPECT_EQ(status(text), 400) << text;
  std::string many;
  for (int i = 0; i < 200; ++i) many += "X: 1\r\n";
  EXPECT_EQ(status(head(many)), 431);
  EXPECT_EQ(status(head("", "GET /" + std::string(10000, 'a') + " HTTP/1.1")), 414);
}

TEST(ApiKeys, AllowsTheRightOnesOnly) {
  EXPECT_TRUE(ApiKeys({}).allow(""));
  const ApiKeys keys({"secret", "other"});
  EXPECT_TRUE(keys.allow("Bearer secret"));
  EXPECT_TRUE(keys.allow("bearer  other"));
  EXPECT_TRUE(keys.allow("Basic OnNlY3JldA=="));      // :secret
  EXPECT_TRUE(keys.allow("Basic dXNlcjpzZWNyZXQ="));  // user:secret
  for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer secret2", "Bearer secre", "Basic secret",
                            "Basic ====", "Digest secret", "Basic c2VjcmV0"}) {
    EXPECT_FALSE(keys.allow(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace lockstep
