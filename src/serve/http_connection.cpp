#include "serve/http_connection.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "serve/api_error.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr HttpSeconds kLinger{2};  // for a client to stop sending after it was refused
constexpr int kSendBuffer = 256 << 10;
constexpr size_t kMaxDrained = 256 << 20;   // bytes, meanwhile
constexpr size_t kMaxUnparsed = 128 << 10;  // of a body whose next chunk has not begun, or of requests sent ahead

}  // namespace

// One request's side of the connection; outlives it harmlessly.
class Exchange final : public HttpExchange {
 public:
  explicit Exchange(std::shared_ptr<HttpConnection> connection)
      : connection_(std::move(connection)), request_(std::move(connection_->request_)), answer_(connection_->answer_) {}

  asio::any_io_executor executor() override { return connection_->transport_->socket().get_executor(); }
  const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse response) override {
    if (is_open()) connection_->respond(response);
  }
  void begin_stream(const std::string& content_type) override {
    if (is_open()) connection_->begin_stream(content_type);
  }
  void write(std::string_view bytes) override {
    if (is_open() && connection_->streams_) connection_->write_part(bytes);
  }
  void end_stream() override {
    if (is_open() && connection_->streams_) connection_->end_stream();
  }
  void on_gone(std::function<void()> callback) override {
    if (is_open()) {
      connection_->gone_ = std::move(callback);
    } else {
      asio::post(executor(), std::move(callback));
    }
  }

 private:
  bool is_open() const {
    return connection_->answer_ == answer_ && connection_->state_ == HttpConnection::State::kAnswering && !connection_->answered_;
  }
  std::shared_ptr<HttpConnection> connection_;
  HttpRequest request_;
  uint64_t answer_;
};

HttpConnection::HttpConnection(std::unique_ptr<Transport> transport, std::shared_ptr<HttpService> service,
                               std::function<void()> on_end)
    : transport_(std::move(transport)),
      service_(std::move(service)),
      on_end_(std::move(on_end)),
      timer_(transport_->socket().get_executor()) {
  error_code ignored;
  const auto peer = transport_->socket().remote_endpoint(ignored);
  if (!ignored) client_ = fmt::format("{}:{}", peer.address().to_string(), peer.port());
  transport_->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  // Else megabytes pile up in the kernel before a client that does not read is noticed.
  transport_->socket().set_option(asio::socket_base::send_buffer_size(kSendBuffer), ignored);
}

HttpConnection::~HttpConnection() {
  count_body(0);
  if (on_end_) on_end_();
}

void HttpConnection::start() {
  arm(service_->limits.read_timeout);
  transport_->handshake([self = shared_from_this()](const error_code& error, size_t) {
    if (error) return self->close();
    if (self->state_ != State::kHandshake) return;
    self->state_ = State::kIdle;
    self->arm(self->service_->limits.idle_timeout);
    self->read();
  });
}

void HttpConnection::start_refused(HttpResponse response) {
  arm(service_->limits.read_timeout);
  transport_->handshake([self = shared_from_this(), response = std::move(response)](const error_code& error, size_t) {
    if (error) return self->close();
    self->state_ = State::kAnswering;
    self->keep_alive_ = false;
    self->respond(response);
    self->read();
  });
}

void HttpConnection::drain(bool at_once) {
  asio::post(transport_->socket().get_executor(), [self = shared_from_this(), at_once] {
    self->keep_alive_ = false;
    if (at_once || self->state_ == State::kIdle) self->close();
  });
}

void HttpConnection::read() {
  if (reading_ || state_ == State::kClosed) return;
  reading_ = true;
  transport_->read_some(asio::buffer(chunk_), [self = shared_from_this()](const error_code& error, size_t count) {
    self->reading_ = false;
    self->on_read(error, count);
  });
}

void HttpConnection::on_read(const error_code& error, size_t count) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kClosing) {
    drained_ += count;
    return error || drained_ > kMaxDrained ? close() : read();
  }
  if (error) {
    if (state_ == State::kAnswering) return answered_ ? void() : client_is_gone();  // the rest is written as far as it goes
    if (state_ == State::kReading && error == asio::error::eof) return refuse({400, "the request ends too early"});
    return close();
  }
  in_.append(chunk_.data(), count);
  if (state_ == State::kAnswering) {  // it sends ahead, or goes on with what was refused
    if (has_body_left_) in_.clear();
    if (in_.size() < kMaxUnparsed) read();
    return;
  }
  process();
}

void HttpConnection::process() {
  if (state_ == State::kIdle) {
    // Blank lines before a request are passed over (RFC 9112, 2.2).
    while (in_.starts_with("\r\n")) in_.erase(0, 2);
    if (in_.empty()) return read();
    state_ = State::kReading;
    parser_.reset();
    arm(service_->limits.read_timeout);
  }
  if (!parser_ && !begin_request()) return;
  read_body();
}

// False: the head is not there yet, or was refused.
bool HttpConnection::begin_request() {
  const size_t end = in_.find("\r\n\r\n");
  const size_t length = end == std::string::npos ? in_.size() : end + 4;
  const std::string_view head = std::string_view(in_).substr(0, length);
  if (length > service_->limits.max_head_bytes) {
    refuse({431, fmt::format("the head is longer than {} bytes", service_->limits.max_head_bytes)});
    return false;
  }
  if (const auto error = end == std::string::npos ? check_head_so_far(head) : check_head(head)) {
    refuse(*error);
    return false;
  }
  if (end == std::string::npos) {
    read();
    return false;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(service_->limits.max_head_bytes));
  parser_->body_limit(service_->limits.max_body_bytes);
  error_code error;
  in_.erase(0, parser_->put(asio::buffer(in_.data(), length), error));
  if (error == http::error::need_more) error = {};
  if (error || !parser_->is_header_done()) {
    parse_failed(error);
    return false;
  }
  const auto& message = parser_->get();
  const auto text = [](auto view) { return std::string(view.data(), view.size()); };
  const std::string target = text(message.target());
  request_ = {text(message.method_string()),
              target.substr(0, target.find('?')),
              text(message[http::field::authorization]),
              text(message[http::field::content_type]),
              {},
              client_};
  is_head_ = request_.method == "HEAD";
  is_1_1_ = message.version() == 11;
  keep_alive_ = message.keep_alive();
  ++answer_;
  if (HttpResponse refusal; !service_->gate(request_, refusal)) {
    state_ = State::kAnswering;
    has_body_left_ = !parser_->is_done();
    keep_alive_ = keep_alive_ && !has_body_left_;
    respond(refusal);
    read();
    return false;
  }
  if (const auto expects = message.find(http::field::expect); expects != message.end()) {
    if (!boost::beast::iequals(expects->value(), "100-continue")) {
      refuse({417, "only 100-continue can be expected"});
      return false;
    }
    if (in_.empty() && !parser_->is_done()) send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  parser_->eager(true);
  return true;
}

// False: together with what others send it is too much.
bool HttpConnection::count_body(size_t bytes) {
  service_->bodies_bytes += bytes - counted_bytes_;  // modulo 2^64
  counted_bytes_ = bytes;
  return service_->bodies_bytes <= service_->limits.max_all_bodies_bytes || bytes == 0;
}

void HttpConnection::read_body() {
  while (!parser_->is_done() && !in_.empty()) {
    error_code error;
    in_.erase(0, parser_->put(asio::buffer(in_), error));
    if (error == http::error::need_more) break;
    if (error) return parse_failed(error);
  }
  if (!count_body(parser_->get().body().size())) return refuse({429, "too much is being received; try again later"});
  if (parser_->is_done()) return dispatch();
  if (in_.size() > kMaxUnparsed) return refuse({400, "a chunk of the body has too long a head"});
  read();
}

void HttpConnection::parse_failed(const error_code& error) {
  if (error == http::error::body_limit) {
    return refuse({413, fmt::format("the body is larger than {} bytes", service_->limits.max_body_bytes)});
  }
  refuse({400, fmt::format("the request cannot be parsed: {}", error.message())});
}

void HttpConnection::dispatch() {
  timer_.cancel();
  state_ = State::kAnswering;
  has_body_left_ = false;
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  const auto exchange = std::make_shared<Exchange>(shared_from_this());
  try {
    service_->handler(exchange);
  } catch (const std::exception& error) {
    spdlog::error("a request failed: {}", error.what());
    exchange->respond(error_response(500, "internal error"));
  }
  if (state_ == State::kAnswering && in_.size() < kMaxUnparsed) read();  // to learn when the client leaves
}

void HttpConnection::refuse(const HttpError& error) {
  spdlog::debug("{}: {}: {}", client_, error.status, error.message);
  state_ = State::kAnswering;
  ++answer_;
  has_body_left_ = true;
  keep_alive_ = false;
  is_1_1_ = true;
  respond(error_response(error.status, error.message));
  read();
}

std::string HttpConnection::head_of(int status, const std::string& content_type) const {
  return fmt::format("HTTP/1.1 {} {}\r\nServer: lockstep\r\nContent-Type: {}\r\nCache-Control: no-store\r\n{}", status,
                     reason_phrase(status), content_type, keep_alive_ ? "" : "Connection: close\r\n");
}

void HttpConnection::respond(const HttpResponse& response) {
  if (service_->draining) keep_alive_ = false;
  std::string head = head_of(response.status, response.content_type);
  for (const auto& [name, value] : response.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (keep_alive_ && !is_1_1_) head += "Connection: keep-alive\r\n";
  head += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
  answered_ = true;
  gone_ = nullptr;
  send(head + (is_head_ ? std::string() : response.body));
}

void HttpConnection::begin_stream(const std::string& content_type) {
  if (service_->draining || !is_1_1_) keep_alive_ = false;  // HTTP/1.0 knows the end by the connection's
  streams_ = true;
  send(head_of(200, content_type) + (is_1_1_ ? "Transfer-Encoding: chunked\r\n" : "") + "X-Accel-Buffering: no\r\n\r\n");
}

void HttpConnection::write_part(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!is_1_1_) return send(bytes);
  send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}

void HttpConnection::end_stream() {
  answered_ = true;
  gone_ = nullptr;
  send(is_1_1_ ? "0\r\n\r\n" : "");
}

void HttpConnection::send(std::string_view bytes) {
  if (state_ == State::kClosed) return;
  out_ += bytes;
  if (out_.size() > service_->limits.max_unsent_bytes && streams_) {
    spdlog::debug("{}: takes its answer too slowly", client_);
    return client_is_gone();
  }
  if (!writing_) flush();
}

void HttpConnection::flush() {
  sending_ = std::exchange(out_, {});
  writing_ = true;
  if (state_ == State::kAnswering) arm(service_->limits.send_timeout);
  transport_->write(asio::buffer(sending_), [self = shared_from_this()](const error_code& error, size_t) {
    self->writing_ = false;
    self->on_written(error);
  });
}

void HttpConnection::on_written(const error_code& error) {
  if (state_ == State::kClosed) return;
  if (error) return client_is_gone();
  if (!out_.empty()) return flush();
  if (state_ != State::kAnswering) return;  // that was 100 Continue
  timer_.cancel();
  if (answered_) end_answer();
}

void HttpConnection::end_answer() {
  answered_ = false;
  streams_ = false;
  request_ = {};
  count_body(0);
  if (!keep_alive_ || service_->draining) return shut_down();
  state_ = State::kIdle;
  parser_.reset();
  arm(service_->limits.idle_timeout);
  // Not at once: a client that sends thousands ahead would have us recurse.
  asio::post(transport_->socket().get_executor(), [self = shared_from_this()] {
    if (self->state_ == State::kIdle) self->process();
  });
}

// A connection that is closed while something unread is there is reset, and the client may lose the answer.
void HttpConnection::shut_down() {
  state_ = State::kClosing;
  arm(kLinger);
  transport_->shutdown([self = shared_from_this()](const error_code& error, size_t) {
    if (error) return self->close();
    self->read();
  });
}

void HttpConnection::client_is_gone() {
  const auto gone = std::exchange(gone_, nullptr);
  close();
  if (gone) gone();
}

void HttpConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.cancel();
  error_code ignored;
  transport_->socket().close(ignored);
  if (const auto gone = std::exchange(gone_, nullptr)) gone();
}

void HttpConnection::arm(HttpSeconds after) {
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(after));
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    // It may have been armed anew after this handler was queued.
    if (error || !self || self->timer_.expiry() > std::chrono::steady_clock::now()) return;
    self->on_timeout();
  });
}

void HttpConnection::on_timeout() {
  switch (state_) {
    case State::kReading: return refuse({408, "the request did not arrive in time"});
    case State::kAnswering: return client_is_gone();
    default: return close();
  }
}

}  // namespace lockstep
