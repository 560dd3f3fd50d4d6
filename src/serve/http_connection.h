// HttpConnection: one client's connection: requests are read within limits, handed on, and answered, one after the other.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http.h"
#include "serve/http_head.h"
#include "serve/transport.h"

namespace lockstep {

using HttpSeconds = std::chrono::duration<double>;

struct HttpLimits {
  size_t max_head_bytes = 32 << 10;
  size_t max_body_bytes = 64 << 20;
  size_t max_all_bodies_bytes = size_t{1} << 30;  // of the requests of all connections that are read or answered
  size_t max_unsent_bytes = 16 << 20;             // of an answer that the client does not take
  HttpSeconds read_timeout{30};                   // from a request's first byte to its last
  HttpSeconds idle_timeout{75};                   // between requests
  HttpSeconds send_timeout{60};                   // for the client to take what is sent
};

// What the connections of a server share.
struct HttpService {
  HttpLimits limits;
  HttpGate gate;
  HttpHandler handler;
  std::atomic<size_t> bodies_bytes{0};
  std::atomic<bool> draining{false};  // each connection ends with the answer that it is at
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // on_end: called once, when the connection is closed.
  HttpConnection(std::unique_ptr<Transport> transport, std::shared_ptr<HttpService> service, std::function<void()> on_end);
  ~HttpConnection();
  void start();
  // Answers at once and closes, whatever the client has to say.
  void start_refused(HttpResponse response);
  // From any thread: closes it if it is idle; with `at_once`, in any case.
  void drain(bool at_once);

 private:
  friend class Exchange;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class State { kHandshake, kIdle, kReading, kAnswering, kClosing, kClosed };

  void read();
  void on_read(const boost::system::error_code& error, size_t count);
  void process();
  bool begin_request();
  void read_body();
  bool count_body(size_t bytes);
  void parse_failed(const boost::system::error_code& error);
  void dispatch();
  void refuse(const HttpError& error);
  void respond(const HttpResponse& response);
  void begin_stream(const std::string& content_type);
  void write_part(std::string_view bytes);
  void end_stream();
  void send(std::string_view bytes);
  void flush();
  void on_written(const boost::system::error_code& error);
  void end_answer();
  void shut_down();
  void client_is_gone();
  void close();
  void arm(HttpSeconds after);
  void on_timeout();
  std::string head_of(int status, const std::string& content_type) const;

  std::unique_ptr<Transport> transport_;
  std::shared_ptr<HttpService> service_;
  std::function<void()> on_end_;
  boost::asio::steady_timer timer_;
  State state_ = State::kHandshake;
  std::string client_;
  std::array<char, 16384> chunk_;
  bool reading_ = false;  // a read is under way
  std::string in_;        // received and not parsed
  std::optional<Parser> parser_;
  HttpRequest request_;
  size_t counted_bytes_ = 0;  // of the request's body, among those of all
  bool keep_alive_ = false;
  bool is_1_1_ = true;
  bool is_head_ = false;
  bool has_body_left_ = false;  // the answer is given before the request was read to its end
  uint64_t answer_ = 0;         // counts the requests
  bool streams_ = false;
  bool answered_ = false;  // all of the answer is in out_ or sent
  std::string out_;        // to be sent
  std::string sending_;
  bool writing_ = false;
  size_t drained_ = 0;  // bytes received while closing
  std::function<void()> gone_;
};

}  // namespace lockstep
