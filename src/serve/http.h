// What a handler sees of HTTP: a request, and the exchange through which it answers, at once or in pieces.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

struct HttpRequest {
  std::string method;
  std::string path;           // without what follows a '?'
  std::string authorization;  // the header's value
  std::string content_type;
  std::string body;
  std::string client;  // address and port
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// One request's answer. All calls and callbacks happen on the executor, which runs one thing at a time.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  virtual const HttpRequest& request() const = 0;

  // Either this, once:
  virtual void respond(HttpResponse response) = 0;
  // or these. What a client does not take in time, or lets pile up, ends the connection: the caller never waits.
  virtual void begin_stream(const std::string& content_type) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end_stream() = 0;

  // Called, at most once, when the client has left before its answer was given.
  virtual void on_gone(std::function<void()> callback) = 0;
};

using HttpHandler = std::function<void(std::shared_ptr<HttpExchange>)>;
// Whether a request with this head is to be read on; else what to answer at once.
using HttpGate = std::function<bool(const HttpRequest& head, HttpResponse& refusal)>;

std::string_view reason_phrase(int status);

}  // namespace lockstep
