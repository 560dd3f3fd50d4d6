// HttpServer: listens, and runs the connections in threads of its own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "serve/http_connection.h"

namespace lockstep {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;  // 0: any that is free
  int num_threads = 2;
  int64_t max_connections = 1024;
  HttpLimits limits;
  std::filesystem::path certificate, key;  // PEM; empty: plain HTTP
};

class HttpServer {
 public:
  // Listens from now on, but accepts only from start() on. Throws Error where it cannot listen, or certificate and key cannot be
  // used.
  explicit HttpServer(const HttpServerOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  boost::asio::io_context& io() { return io_; }
  void start(HttpGate gate, HttpHandler handler);
  // Accepts no more, and ends each connection with the answer that it is at.
  void drain();
  // Until no connection is open, for at most so long; then closes those that are, and ends the threads.
  void stop(HttpSeconds patience);
  int64_t num_connections() const;

 private:
  // Those that are open; the last of them may outlive the server.
  struct Connections {
    std::mutex mutex;
    std::map<uint64_t, std::weak_ptr<HttpConnection>> open;
    uint64_t next = 0;
  };
  void accept();
  void on_accept(boost::asio::ip::tcp::socket socket);

  HttpServerOptions options_;
  boost::asio::io_context io_;
  std::optional<boost::asio::ssl::context> tls_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;  // after accept has failed for want of descriptors
  std::shared_ptr<HttpService> service_;
  std::shared_ptr<Connections> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace lockstep
